"""A training step, and a whole run, beside the published procedure: same weights, same captions, one process.

The published side is written here from its description: each step pads its captions to 77 tokens and encodes them anew, encodes
two full-length prompts for each class, and takes the ranking loss over a table of all pairs of classes. RN50's text tower with
random weights serves both sides; speed does not depend on the weights.

    python benchmarks/training.py [rounds]
"""
import copy
import logging
import sys
import warnings
from functools import partial

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from common import compare, interleave, record, seconds, show, spread
from taidpt.support.encode import encode_sentences
from taidpt.classes import COCO
from taidpt.clip import FrozenCLIP
from taidpt.support.captions import bundled_captions
from taidpt.learner import branch_scores, train_epoch
from taidpt.losses import ranking_loss
from taidpt.nounfilter import NounFilter
from taidpt.prompts import PromptLearner

BATCH, M, TAU, SCALE = 512, 16, 0.02, 4.0
COCO_RUN = dict(captions=100_543, templates=89 * 80, epochs=20)  # what the published run on MS-COCO learns from


def text_tower(name: str = "RN50-quickgelu", dtype: torch.dtype = torch.float32) -> FrozenCLIP:
    "The text tower with random weights from a seed."
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # open_clip says that the weights are random
    model = open_clip.create_model(name)
    logging.disable(logging.NOTSET)
    model.visual = torch.nn.Identity()  # no picture is looked at here
    return FrozenCLIP(model.to(dtype), open_clip.get_tokenizer("RN50"), name=name)


# The published procedure


def encode(clip: FrozenCLIP, x: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    "Word vectors N × 77 × W to h, N × D, and H, N × 77 × D."
    text = clip.text
    x = text.transformer(x + text.positional_embedding, attn_mask=text.attn_mask)
    H = text.ln_final(x) @ text.text_projection
    return H[torch.arange(len(H)), ends], H


def published_loss(scores: Tensor, labels: Tensor) -> Tensor:
    "Eq. 7 over the table of all pairs of classes, N × C × C."
    hinge = (1 - scores[:, :, None] + scores[:, None, :]).clamp(min=0)
    return (hinge * (labels[:, :, None] & ~labels[:, None, :])).sum((1, 2)).mean()


class PublishedWay:
    "Prompts and a step of gradient descent on them."

    def __init__(self, clip: FrozenCLIP, contexts: list[Tensor], lr: float):
        self.clip, self.contexts = clip, [c.detach().clone().requires_grad_() for c in contexts]
        self.prompts = clip.tokenize([f"{' '.join(['X'] * M)} {n}." for n in COCO.names])
        self.optimizer = torch.optim.SGD(self.contexts, lr, 0.9, weight_decay=5e-4)

    def scores(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        words = self.clip.text.token_embedding
        with torch.no_grad(): h, H = encode(self.clip, words(tokens), tokens.argmax(1))
        with torch.no_grad(): rest = words(self.prompts)
        G, L = (encode(self.clip, torch.cat([rest[:, :1], ctx.expand(len(rest), -1, -1), rest[:, 1 + M:]], 1), self.prompts.argmax(1))[0]
                for ctx in self.contexts)
        unit = partial(F.normalize, dim=-1)
        p, P = unit(h) @ unit(G).T, unit(H) @ unit(L).T
        padding = torch.arange(tokens.shape[1]) > tokens.argmax(1)[:, None]
        weights = (P / TAU).masked_fill(padding[..., None], -torch.inf).softmax(1)
        return SCALE * p, SCALE * (weights * P).sum(1)

    def step(self, texts: list[str], labels: Tensor) -> float:
        tokens = self.clip.tokenize(texts)
        loss = sum(published_loss(s, labels) for s in self.scores(tokens))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


# This package


class Ours:
    "The same with `taidpt`: features computed once, then `train_epoch`."

    def __init__(self, clip: FrozenCLIP, features, labels: Tensor, contexts: list[Tensor], lr: float):
        self.features, self.labels, self.prompts = features, labels, PromptLearner(clip, COCO.names, M)
        with torch.no_grad():
            for p, c in zip(self.prompts.parameters(), contexts): p.copy_(c)
        self.optimizer = torch.optim.SGD(self.prompts.parameters(), lr, 0.9, weight_decay=5e-4)

    def step(self, items: Tensor) -> float:
        return train_epoch(self.prompts, self.features, self.labels, self.optimizer, items, partial(branch_scores, tau=TAU),
                           lambda s, y: ranking_loss(SCALE * s, y), BATCH)


def away(ours: Tensor, theirs: Tensor) -> float:
    "Distance relative to the size of what the published way gives."
    return ((ours.detach().float() - theirs.detach()).norm() / theirs.detach().norm()).item()


def main(rounds: int = 3):
    warnings.filterwarnings("ignore")
    clip = text_tower()
    train = NounFilter(COCO).label(list(bundled_captions())[:4000], progress=False)[:BATCH * 2]
    texts, labels, items = train.texts, train.labels, [torch.arange(BATCH), torch.arange(BATCH, 2 * BATCH)]
    contexts = [p.detach() for p in PromptLearner(clip, COCO.names, M, seed=0).parameters()]
    bf16 = FrozenCLIP(copy.deepcopy(clip.model).bfloat16(), clip.tokenizer) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None

    store = {}
    encoding = [seconds(lambda: store.update(features=encode_sentences(clip, texts, progress=False)))]
    features, lr = store["features"], 1e-4
    published = PublishedWay(clip, contexts, lr)
    sides = {"ours": Ours(clip, features, labels, contexts, lr)} | ({"bfloat16": Ours(bf16, features, labels, contexts, lr)} if bf16 else {})

    # the same numbers?
    with torch.no_grad(): theirs = published.scores(clip.tokenize(texts[:BATCH]))
    agreement = {}
    for name, side in sides.items():
        with torch.no_grad():
            u, U, mask = features.batch(items[0], padded=False)
            ours = [SCALE * s for s in branch_scores(u, U, *side.prompts(), TAU, mask)]
        agreement[name] = dict(scores=max(away(a, b) for a, b in zip(ours, theirs)), loss=[])

    # steps, in turn; the batches alternate
    for name in sides: sides[name].warm = Ours(sides[name].prompts.clip, features, labels, contexts, lr).step(items[0])
    losses = {name: [] for name in (*sides, "published")}
    n = {name: 0 for name in losses}

    def step(name):
        batch, n[name] = items[n[name] % 2], n[name] + 1
        side = published if name == "published" else sides[name]
        losses[name].append(side.step([texts[i] for i in batch], labels[batch]) if side is published else side.step(batch))

    taken = interleave({name: partial(step, name) for name in losses}, rounds)
    for name, side in sides.items():
        agreement[name]["loss"] = max(abs(a - b) / b for a, b in zip(losses[name], losses["published"]))
        agreement[name]["prompts"] = max(away(a, b) for a, b in zip(side.prompts.parameters(), published.contexts))
        agreement[name]["change of the prompts"] = max(away(a.detach() - c, b.detach() - c) for a, b, c in zip(side.prompts.parameters(), published.contexts, contexts))

    # more of our own steps, which are short, for the figure that is multiplied out
    extra = interleave({name: partial(side.step, items[0]) for name, side in sides.items()}, 5)
    encoding += [seconds(lambda: encode_sentences(clip, texts, progress=False)) for _ in range(1)]
    figures = {}
    for name in sides:
        figures[f"step, {'float32' if name == 'ours' else name}"] = case = compare({"ours": taken[name], "published": taken["published"]})
        case["agreement"] = agreement[name]
        show(f"step, {name}", case)
        print("   relative distance: " + ", ".join(f"{k} {v:.1e}" for k, v in agreement[name].items()))

    N = COCO_RUN["captions"] + COCO_RUN["templates"]
    steps, each = N // BATCH * COCO_RUN["epochs"], min(encoding) / len(texts)
    whole = {"ours": [each * N + steps * s for s in taken["ours"] + extra["ours"]], "published": [steps * s for s in taken["published"]]}
    ratio = spread([p / o for p, o in zip(whole["published"], whole["ours"])])
    figures["whole run"] = case = dict(COCO_RUN, steps=steps, encoding_once=each * N, milliseconds_a_caption=1e3 * each,
                                       seconds={k: spread(v) for k, v in whole.items()}, ratio=ratio, rounds=rounds)
    show("20 epochs over COCO's captions, steps multiplied out, encoding included", case)
    record("training", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
