"""A training step, and a whole run, beside the published procedure: same weights, same captions,
one process.

The published side is written here from its description: each step pads its captions to 77 tokens
and encodes them anew, encodes two full-length prompts for each class, and takes the ranking loss
over a table of all pairs of classes. RN50's text tower with random weights serves both sides;
speed does not depend on the weights.

    python benchmarks/training.py [rounds] [batch]
"""
import copy
import sys
import warnings
from collections.abc import Iterable
from functools import partial

import torch
import torch.nn.functional as F
from common import compare, interleave, record, rn50, show, spread
from torch import Tensor

from taidpt.all import (
    COCO, FrozenCLIP, NounFilter, PromptLearner, bundled_captions, encode_texts, ranking_loss)
from taidpt.scores import branch_scores

BATCH = 512
M = 16                  # vectors of a context
TAU = 0.02              # temperature of Eq. 6
SCALE = 4.0             # of scores in the loss
LR = 1e-4
EPOCHS = 20
TEMPLATES = 89          # sentences for each class
CAPTIONS = 100_543      # of COCO


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
    pairs = labels[:, :, None] & ~labels[:, None, :]
    return (hinge * pairs).sum((1, 2)).mean()


class Way:
    "Steps of gradient descent on contexts, with the losses before them."
    def __init__(self, clip: FrozenCLIP, sentences, labels: Tensor, parameters: Iterable[Tensor]):
        self.clip = clip
        self.sentences = sentences
        self.labels = labels
        self.contexts = list(parameters)
        self.optimizer = torch.optim.SGD(self.contexts, LR, 0.9, weight_decay=5e-4)
        self.losses = []

    def step(self, items: Tensor):
        "A step on some of the sentences."
        loss = sum(self.loss(SCALE * s, self.labels[items]) for s in self.scores(items))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())


class PublishedWay(Way):
    "Sentences are texts, encoded anew in each step."
    loss = staticmethod(published_loss)

    def __init__(self, clip: FrozenCLIP, texts: list[str], labels: Tensor, contexts: list[Tensor]):
        copies = [context.detach().clone().requires_grad_() for context in contexts]
        super().__init__(clip, texts, labels, copies)
        context = " ".join(["X"] * M)
        self.prompts = clip.tokenize([f"{context} {name}." for name in COCO.names])

    def embed(self, context: Tensor, words: Tensor) -> Tensor:
        "Class embeddings of one context: SOT, context, name, full stop, EOT, padding."
        contexts = context.expand(len(words), -1, -1)
        x = torch.cat([words[:, :1], contexts, words[:, 1 + M:]], 1)
        embedding, _ = encode(self.clip, x, self.prompts.argmax(1))
        return embedding

    def scores(self, items: Tensor) -> tuple[Tensor, Tensor]:
        "Global and local scores of sentences, N × C."
        tokens = self.clip.tokenize([self.sentences[i] for i in items])
        ends = tokens.argmax(1)
        with torch.no_grad():
            embed = self.clip.text.token_embedding
            h, H = encode(self.clip, embed(tokens), ends)
            words = embed(self.prompts)
        G, L = [self.embed(context, words) for context in self.contexts]
        unit = partial(F.normalize, dim=-1)
        p = unit(h) @ unit(G).T
        P = unit(H) @ unit(L).T
        padding = torch.arange(tokens.shape[1]) > ends[:, None]
        weights = (P / TAU).masked_fill(padding[..., None], -torch.inf).softmax(1)
        return p, (weights * P).sum(1)


# This package

class Ours(Way):
    "The same with `taidpt`: sentences are features, computed once."
    loss = staticmethod(ranking_loss)

    def __init__(self, clip: FrozenCLIP, features, labels: Tensor, contexts: list[Tensor]):
        self.prompts = PromptLearner(clip, COCO.names, M)
        super().__init__(clip, features, labels, self.prompts.parameters())
        with torch.no_grad():
            for target, context in zip(self.contexts, contexts): target.copy_(context)

    def scores(self, items: Tensor) -> list[Tensor]:
        "Global and local scores of sentences, N × C."
        u, U, mask = self.sentences.batch(items, padded=False)
        return branch_scores(u, U, *self.prompts(), TAU, mask)


# How far both are from each other

def away(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> float:
    "The largest distance of a pair, relative to the size of what the published way gives."
    return max(((a.float() - b).norm() / b.norm()).item() for a, b in zip(ours, theirs))


@torch.no_grad()
def agreement(ours: Ours, published: PublishedWay) -> dict[str, float]:
    "How far losses and prompts are from the published ones, after as many steps."
    losses = [abs(a - b) / b for a, b in zip(ours.losses, published.losses)]
    return {"loss": max(losses), "prompts": away(ours.contexts, published.contexts)}


# A whole run, multiplied out

def whole_run(step: float, per_sentence: float) -> dict[str, float]:
    "Seconds of a run on COCO: a sentence is encoded once, and steps are multiplied out."
    sentences = CAPTIONS + TEMPLATES * len(COCO)
    steps = sentences // BATCH * EPOCHS
    return dict(
        sentences=sentences, steps=steps, encoding=per_sentence * sentences, learning=steps * step)


# What is measured

def in_precisions(clip: FrozenCLIP) -> dict[str, FrozenCLIP]:
    "The CLIP, and if the processor has bfloat16, in that, too."
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported(): return {"float32": clip}
    half = FrozenCLIP(copy.deepcopy(clip.model).bfloat16(), clip.tokenizer)
    return {"float32": clip, "bfloat16": half}


def main(rounds: int = 3, batch: int = BATCH):
    warnings.filterwarnings("ignore")
    clip = rn50()
    train = NounFilter(COCO).label(list(bundled_captions())[:4000], progress=False)[:batch * 2]
    features = encode_texts(clip, train.texts, progress=False)
    start = [p.detach() for p in PromptLearner(clip, COCO.names, M, seed=0).parameters()]
    published = PublishedWay(clip, train.texts, train.labels, start)
    clips = in_precisions(clip)
    sides = {name: Ours(c, features, train.labels, start) for name, c in clips.items()}
    batches = torch.arange(2 * batch).split(batch)
    with torch.no_grad():
        theirs = published.scores(batches[0])
        scores = {name: away(side.scores(batches[0]), theirs) for name, side in sides.items()}
    for c in clips.values():                        # the first steps are slow
        for _ in range(2): Ours(c, features, train.labels, start).step(batches[0])

    # steps of all sides in turn, on two batches that alternate
    def step(way): way.step(batches[len(way.losses) % 2])
    ways = {name: partial(step, way) for name, way in (sides | {"published": published}).items()}
    taken = interleave(ways, rounds)
    figures = {}
    for name, side in sides.items():
        case = compare({"ours": taken[name], "published": taken["published"]})
        case["agreement"] = {"scores": scores[name], **agreement(side, published)}
        figures[f"step, {name}"] = case
        show(f"step, {name}", case)
        far = [f"{what} {value:.1e}" for what, value in case["agreement"].items()]
        print(f"   relative distance: {', '.join(far)}")

    # encoding, and the whole run multiplied out
    texts = train.texts[:256]
    encoding = {"float32": partial(encode_texts, clip, texts, progress=False)}
    per_sentence = min(interleave(encoding, 5)["float32"]) / len(texts)
    coco = whole_run(spread(taken["float32"])["median"], per_sentence)
    case = compare({
        "ours": [coco["encoding"] + coco["steps"] * step for step in taken["float32"]],
        "published": [coco["steps"] * step for step in taken["published"]]})
    show("20 epochs over COCO's captions, steps multiplied out, encoding included", case)
    figures |= {"whole run": case, "runs": {"float32": {"COCO": coco}}}
    record("training", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
