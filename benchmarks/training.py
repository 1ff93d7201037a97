"""A training step, and a whole run, beside the published procedure: same weights, same captions, one process.

The published side is written here from its description: each step pads its captions to 77 tokens and encodes
them anew, encodes two full-length prompts for each class, and takes the ranking loss over a table of all pairs
of classes. RN50's text tower with random weights serves both sides; speed does not depend on the weights.

    python benchmarks/training.py [rounds]
"""
import copy
import sys
import warnings
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from common import compare, interleave, record, rn50, show, spread
from taidpt.all import COCO, FrozenCLIP, NounFilter, PromptLearner, bundled_captions, encode_sentences, ranking_loss
from taidpt.scores import branch_scores
from taidpt.training import train_epoch

BATCH, M, TAU, SCALE = 512, 16, 0.02, 4.0
EPOCHS, TEMPLATES = 20, 89  # for each class
RUNS = {"VOC2007": (66_087, 20), "COCO": (100_543, 80), "a million captions": (1_000_000, 80)}  # sentences, classes


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

    def scores(self, items: Tensor) -> list[Tensor]:
        u, U, mask = self.features.batch(items, padded=False)
        return [SCALE * s for s in branch_scores(u, U, *self.prompts(), TAU, mask)]

    def step(self, items: Tensor) -> float:
        batch = *self.features.batch(items, padded=False), self.labels[items]
        return train_epoch(self.prompts, [batch], self.optimizer, partial(branch_scores, tau=TAU),
                           lambda scores, labels: ranking_loss(SCALE * scores, labels))


# What is measured

def away(ours: Tensor, theirs: Tensor) -> float:
    "Distance relative to the size of what the published way gives."
    return ((ours.detach().float() - theirs.detach()).norm() / theirs.detach().norm()).item()


def agreement(side: Ours, published: PublishedWay, start: list[Tensor], ours: list[float], theirs: list[float]) -> dict[str, float]:
    "How far losses and prompts are from the published ones, after as many steps."
    pairs = list(zip(side.prompts.parameters(), published.contexts))
    return {"loss": max(abs(a - b) / b for a, b in zip(ours, theirs)), "prompts": max(away(a, b) for a, b in pairs),
            "change of the prompts": max(away(a.detach() - c, b.detach() - c) for (a, b), c in zip(pairs, start))}


def whole_run(run: str, step: float, each: float) -> dict[str, float]:
    "Seconds of a run: a sentence is encoded once, and steps are multiplied out."
    sentences, classes = RUNS[run]
    n = sentences + TEMPLATES * classes
    return dict(sentences=n, steps=n // BATCH * EPOCHS, encoding=each * n, learning=n // BATCH * EPOCHS * step)


def beside(ours: list[float], published: list[float], each: float) -> dict:
    "COCO's run on both sides."
    run = whole_run("COCO", 1., each)
    whole = {"ours": [run["encoding"] + run["steps"] * s for s in ours], "published": [run["steps"] * s for s in published]}
    return dict(captions=RUNS["COCO"][0], templates=TEMPLATES * RUNS["COCO"][1], epochs=EPOCHS, steps=run["steps"], encoding_once=run["encoding"],
                milliseconds_a_caption=1e3 * each, **compare(whole))


def main(rounds: int = 3):
    warnings.filterwarnings("ignore")
    clip, lr = rn50(), 1e-4
    train = NounFilter(COCO).label(list(bundled_captions())[:4000], progress=False)[:BATCH * 2]
    texts, labels, first = train.texts, train.labels, torch.arange(BATCH)
    start = [p.detach() for p in PromptLearner(clip, COCO.names, M, seed=0).parameters()]
    make = partial(Ours, features=encode_sentences(clip, texts, progress=False), labels=labels, contexts=start, lr=lr)
    published, sides = PublishedWay(clip, start, lr), {"ours": make(clip)}
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        half = FrozenCLIP(copy.deepcopy(clip.model).bfloat16(), clip.tokenizer)
        sides |= {"bfloat16": make(half), "bfloat16, compiled": make(FrozenCLIP(half.model, half.tokenizer).compile())}
    with torch.no_grad():
        theirs = published.scores(clip.tokenize(texts[:BATCH]))
        scores = {name: max(map(away, side.scores(first), theirs)) for name, side in sides.items()}
    for side in sides.values():
        for _ in range(2): make(side.prompts.clip).step(first)           # the first step of all is slow

    # steps of all sides in turn, on two batches that alternate
    losses = {name: [] for name in (*sides, "published")}

    def step(name):
        batch = torch.arange(2 * BATCH).split(BATCH)[len(losses[name]) % 2]
        if name == "published": losses[name].append(published.step([texts[i] for i in batch], labels[batch]))
        else: losses[name].append(sides[name].step(batch))

    taken, figures = interleave({name: partial(step, name) for name in losses}, rounds), {}
    for name, side in sides.items():
        figures[f"step, {'float32' if name == 'ours' else name}"] = case = compare({"ours": taken[name], "published": taken["published"]})
        case["agreement"] = dict(scores=scores[name]) | agreement(side, published, start, losses[name], losses["published"])
        show(f"step, {name}", case)
        print("   relative distance: " + ", ".join(f"{k} {v:.1e}" for k, v in case["agreement"].items()))

    # more of our own steps, which are short, and encoding, for the figures that are multiplied out
    extra = interleave({name: partial(side.step, first) for name, side in sides.items()}, 7)
    encoding = interleave({name: partial(encode_sentences, side.prompts.clip, texts[:256], progress=False)
                           for name, side in sides.items() if "compiled" not in name}, 5)
    each = {name: min(t) / 256 for name, t in encoding.items()}
    figures["whole run"] = case = beside(taken["ours"] + extra["ours"], taken["published"], each["ours"])
    show("20 epochs over COCO's captions, steps multiplied out, encoding included", case)
    figures["runs"] = {name: {run: whole_run(run, spread(extra[name])["median"], each[name.split(",")[0]]) for run in RUNS} for name in sides}
    record("training", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
