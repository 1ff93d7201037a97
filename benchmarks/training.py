"""A training step, and a whole run, beside the published procedure: same weights, same captions, one process.

The published side is written here from its description: each step pads its captions to 77 tokens and encodes
them anew, encodes two full-length prompts for each class, and takes the ranking loss over a table of all pairs
of classes. RN50's text tower with random weights serves both sides; speed does not depend on the weights.

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
from taidpt.losses import ranking_loss
from taidpt.nounfilter import NounFilter
from taidpt.scores import branch_scores
from taidpt.prompts import PromptLearner
from taidpt.training import feature_batches, train_epoch

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

    def embed(self, ctx: Tensor, rest: Tensor) -> Tensor:
        "Class embeddings of one context: SOT, context, name, full stop, EOT, padding."
        x = torch.cat([rest[:, :1], ctx.expand(len(rest), -1, -1), rest[:, 1 + M:]], 1)
        return encode(self.clip, x, self.prompts.argmax(1))[0]

    def scores(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        words = self.clip.text.token_embedding
        with torch.no_grad(): h, H = encode(self.clip, words(tokens), tokens.argmax(1))
        with torch.no_grad(): rest = words(self.prompts)
        G, L = (self.embed(ctx, rest) for ctx in self.contexts)
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

    @staticmethod
    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        return ranking_loss(SCALE * scores, labels)

    def scores(self, items: Tensor) -> list[Tensor]:
        u, U, mask = self.features.batch(items, padded=False)
        return [SCALE * s for s in branch_scores(u, U, *self.prompts(), TAU, mask)]

    def step(self, items: Tensor) -> float:
        batches = feature_batches(self.features, self.labels, items, BATCH)
        return train_epoch(self.prompts, batches, self.optimizer, partial(branch_scores, tau=TAU), self.loss)


# What is measured


def away(ours: Tensor, theirs: Tensor) -> float:
    "Distance relative to the size of what the published way gives."
    return ((ours.detach().float() - theirs.detach()).norm() / theirs.detach().norm()).item()


@torch.no_grad()
def away_before(sides: dict, published: PublishedWay, texts: list[str], items: Tensor) -> dict[str, float]:
    "How far each side's scores are from the published ones, before a step is taken."
    theirs = published.scores(published.clip.tokenize(texts))
    return {name: max(away(a, b) for a, b in zip(side.scores(items), theirs)) for name, side in sides.items()}


def take_turns(sides: dict, published: PublishedWay, texts: list[str], labels: Tensor, rounds: int):
    "Steps of all sides in turn, on batches that alternate: seconds, and losses."
    batches = torch.arange(2 * BATCH).split(BATCH)
    losses = {name: [] for name in (*sides, "published")}

    def step(name):
        batch = batches[len(losses[name]) % 2]
        if name == "published": loss = published.step([texts[i] for i in batch], labels[batch])
        else: loss = sides[name].step(batch)
        losses[name].append(loss)

    return interleave({name: partial(step, name) for name in losses}, rounds), losses


def away_after(side: Ours, published: PublishedWay, start: list[Tensor], losses: dict, name: str) -> dict[str, float]:
    "How far losses and prompts are from the published ones, after as many steps."
    pairs = list(zip(side.prompts.parameters(), published.contexts))
    changes = [(a.detach() - c, b.detach() - c) for (a, b), c in zip(pairs, start)]
    return {"loss": max(abs(a - b) / b for a, b in zip(losses[name], losses["published"])),
            "prompts": max(away(a, b) for a, b in pairs),
            "change of the prompts": max(away(a, b) for a, b in changes)}


def whole_run(ours: list[float], published: list[float], each: float) -> dict:
    "Seconds of a run on COCO: steps multiplied out; on our side `each` caption is encoded once."
    N = COCO_RUN["captions"] + COCO_RUN["templates"]
    steps = N // BATCH * COCO_RUN["epochs"]
    whole = {"ours": [each * N + steps * s for s in ours], "published": [steps * s for s in published]}
    ratio = spread([p / o for p, o in zip(whole["published"], whole["ours"])])
    return dict(COCO_RUN, steps=steps, encoding_once=each * N, milliseconds_a_caption=1e3 * each,
                seconds={k: spread(v) for k, v in whole.items()}, ratio=ratio)


def main(rounds: int = 3):
    warnings.filterwarnings("ignore")
    clip, lr = text_tower(), 1e-4
    train = NounFilter(COCO).label(list(bundled_captions())[:4000], progress=False)[:BATCH * 2]
    texts, labels, first = train.texts, train.labels, torch.arange(BATCH)
    start = [p.detach() for p in PromptLearner(clip, COCO.names, M, seed=0).parameters()]

    store = {}
    encoding = [seconds(lambda: store.update(features=encode_sentences(clip, texts, progress=False)))]
    make = partial(Ours, features=store["features"], labels=labels, contexts=start, lr=lr)
    published, sides = PublishedWay(clip, start, lr), {"ours": make(clip)}
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        sides["bfloat16"] = make(FrozenCLIP(copy.deepcopy(clip.model).bfloat16(), clip.tokenizer))

    scores = away_before(sides, published, texts[:BATCH], first)
    for side in sides.values(): make(side.prompts.clip).step(first)  # the first step of all is slow
    taken, losses = take_turns(sides, published, texts, labels, rounds)

    figures = {}
    for name, side in sides.items():
        figures[f"step, {'float32' if name == 'ours' else name}"] = case = compare(
            {"ours": taken[name], "published": taken["published"]})
        case["agreement"] = dict(scores=scores[name]) | away_after(side, published, start, losses, name)
        show(f"step, {name}", case)
        print("   relative distance: " + ", ".join(f"{k} {v:.1e}" for k, v in case["agreement"].items()))

    # more of our own steps, which are short, for the figure that is multiplied out
    extra = interleave({name: partial(side.step, first) for name, side in sides.items()}, 5)
    encoding.append(seconds(lambda: encode_sentences(clip, texts, progress=False)))
    each = min(encoding) / len(texts)
    figures["whole run"] = case = whole_run(taken["ours"] + extra["ours"], taken["published"], each)
    case["rounds"] = rounds
    show("20 epochs over COCO's captions, steps multiplied out, encoding included", case)
    record("training", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
