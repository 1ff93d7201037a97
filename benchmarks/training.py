"""A training step, and a whole run, beside the published procedure: same weights, same captions,
one process.

The published side is written here from its description: each step pads its captions to 77 tokens
and encodes them anew, encodes two full-length prompts for each class, and takes the ranking loss
over a table of all pairs of classes. RN50's text tower with random weights serves both sides;
speed does not depend on the weights.

    python benchmarks/training.py [rounds]
"""
import copy
import sys
import warnings
from functools import partial

import torch
import torch.nn.functional as F
from common import compare, interleave, record, rn50, show, spread
from torch import Tensor

from taidpt.all import (
    COCO, FrozenCLIP, NounFilter, PromptLearner, bundled_captions, encode_sentences, ranking_loss)
from taidpt.scores import branch_scores

BATCH = 512
M = 16                  # vectors of a context
TAU = 0.02              # temperature of Eq. 6
SCALE = 4.0             # of scores in the loss
LR = 1e-4
EPOCHS = 20
TEMPLATES = 89          # sentences for each class
RUNS = {                # sentences, classes
    "VOC2007": (66_087, 20),
    "COCO": (100_543, 80),
    "a million captions": (1_000_000, 80),
}


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


class PublishedWay:
    "Prompts and a step of gradient descent on them."
    def __init__(self, clip: FrozenCLIP, contexts: list[Tensor]):
        self.clip = clip
        self.contexts = [context.detach().clone().requires_grad_() for context in contexts]
        context = " ".join(["X"] * M)
        self.prompts = clip.tokenize([f"{context} {name}." for name in COCO.names])
        self.optimizer = torch.optim.SGD(self.contexts, LR, 0.9, weight_decay=5e-4)

    def embed(self, context: Tensor, words: Tensor) -> Tensor:
        "Class embeddings of one context: SOT, context, name, full stop, EOT, padding."
        contexts = context.expand(len(words), -1, -1)
        x = torch.cat([words[:, :1], contexts, words[:, 1 + M:]], 1)
        embedding, _ = encode(self.clip, x, self.prompts.argmax(1))
        return embedding

    def scores(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        "Global and local scores of sentences, N × C."
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
        return SCALE * p, SCALE * (weights * P).sum(1)

    def step(self, texts: list[str], labels: Tensor) -> float:
        "A step of gradient descent; the loss before it."
        tokens = self.clip.tokenize(texts)
        loss = sum(published_loss(scores, labels) for scores in self.scores(tokens))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


# This package

class Ours:
    "The same with `taidpt`: features computed once."
    def __init__(self, clip: FrozenCLIP, features, labels: Tensor, contexts: list[Tensor]):
        self.clip = clip
        self.features = features
        self.labels = labels
        self.prompts = PromptLearner(clip, COCO.names, M)
        with torch.no_grad():
            for own, context in zip(self.prompts.parameters(), contexts): own.copy_(context)
        self.optimizer = torch.optim.SGD(
            self.prompts.parameters(), LR, 0.9, weight_decay=5e-4)

    def scores(self, items: Tensor) -> list[Tensor]:
        "Global and local scores of sentences, N × C."
        u, U, mask = self.features.batch(items, padded=False)
        return [SCALE * s for s in branch_scores(u, U, *self.prompts(), TAU, mask)]

    def step(self, items: Tensor) -> float:
        "A step of gradient descent; the loss before it."
        loss = sum(ranking_loss(s, self.labels[items]) for s in self.scores(items))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


# How far both are from each other

def away(ours: Tensor, theirs: Tensor) -> float:
    "Distance relative to the size of what the published way gives."
    theirs = theirs.detach()
    return ((ours.detach().float() - theirs).norm() / theirs.norm()).item()


def furthest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    "The largest distance of a pair."
    return max(map(away, ours, theirs))


def changes(now: list[Tensor], start: list[Tensor]) -> list[Tensor]:
    "What steps have changed."
    return [after.detach() - before for after, before in zip(now, start)]


def agreement(side: Ours, published: PublishedWay, start: list[Tensor]) -> dict[str, float]:
    "How far prompts are from the published ones, after as many steps."
    ours = list(side.prompts.parameters())
    theirs = published.contexts
    moved = furthest(changes(ours, start), changes(theirs, start))
    return {"prompts": furthest(ours, theirs), "change of the prompts": moved}


# Whole runs, multiplied out

def whole_run(run: str, step: float, each: float) -> dict[str, float]:
    "Seconds of a run: a sentence is encoded once, and steps are multiplied out."
    captions, classes = RUNS[run]
    sentences = captions + TEMPLATES * classes
    steps = sentences // BATCH * EPOCHS
    return dict(
        sentences=sentences, steps=steps, encoding=each * sentences, learning=steps * step)


def beside(ours: list[float], published: list[float], each: float) -> dict:
    "COCO's run on both sides, from the seconds of their steps."
    run = whole_run("COCO", 1., each)
    taken = {
        "ours": [run["encoding"] + run["steps"] * step for step in ours],
        "published": [run["steps"] * step for step in published],
    }
    captions, classes = RUNS["COCO"]
    return dict(
        captions=captions, templates=TEMPLATES * classes, epochs=EPOCHS, steps=run["steps"],
        encoding_once=run["encoding"], milliseconds_a_caption=1e3 * each, **compare(taken))


# What is measured

class Sides:
    "This package in one or more precisions, and the published way, all with the same start."
    def __init__(self, clip: FrozenCLIP):
        captions = list(bundled_captions())[:4000]
        train = NounFilter(COCO).label(captions, progress=False)[:BATCH * 2]
        self.texts = train.texts
        self.labels = train.labels
        self.features = encode_sentences(clip, self.texts, progress=False)
        fresh = PromptLearner(clip, COCO.names, M, seed=0)
        self.start = [parameter.detach() for parameter in fresh.parameters()]
        self.published = PublishedWay(clip, self.start)
        self.ours = {"ours": self.made(clip)}
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            half = FrozenCLIP(copy.deepcopy(clip.model).bfloat16(), clip.tokenizer)
            compiled = FrozenCLIP(half.model, half.tokenizer).compile()
            self.ours["bfloat16"] = self.made(half)
            self.ours["bfloat16, compiled"] = self.made(compiled)
        self.losses = {name: [] for name in (*self.ours, "published")}

    def made(self, clip: FrozenCLIP) -> Ours:
        "This package's side with some CLIP."
        return Ours(clip, self.features, self.labels, self.start)

    def warm(self):
        "The first step of all is slow."
        for side in self.ours.values():
            for _ in range(2): self.made(side.clip).step(torch.arange(BATCH))

    @torch.no_grad()
    def scores_away(self) -> dict[str, float]:
        "How far the scores of the first batch are from the published ones."
        theirs = self.published.scores(self.published.clip.tokenize(self.texts[:BATCH]))
        first = torch.arange(BATCH)
        return {name: furthest(side.scores(first), theirs) for name, side in self.ours.items()}

    def step(self, name: str):
        "A step of one side, on one of two batches that alternate."
        losses = self.losses[name]
        batches = torch.arange(2 * BATCH).split(BATCH)
        items = batches[len(losses) % 2]
        if name == "published":
            texts = [self.texts[i] for i in items]
            losses.append(self.published.step(texts, self.labels[items]))
        else:
            losses.append(self.ours[name].step(items))

    def loss_away(self, name: str) -> float:
        "How far the losses of one side's steps are from the published ones."
        pairs = zip(self.losses[name], self.losses["published"])
        return max(abs(ours - theirs) / theirs for ours, theirs in pairs)


def main(rounds: int = 3):
    warnings.filterwarnings("ignore")
    sides = Sides(rn50())
    scores = sides.scores_away()
    sides.warm()

    # steps of all sides in turn
    taken = interleave({name: partial(sides.step, name) for name in sides.losses}, rounds)
    figures = {}
    for name, side in sides.ours.items():
        case = compare({"ours": taken[name], "published": taken["published"]})
        case["agreement"] = {
            "scores": scores[name],
            "loss": sides.loss_away(name),
            **agreement(side, sides.published, sides.start),
        }
        figures[f"step, {'float32' if name == 'ours' else name}"] = case
        show(f"step, {name}", case)
        far = [f"{what} {value:.1e}" for what, value in case["agreement"].items()]
        print(f"   relative distance: {', '.join(far)}")

    # more of our own steps, which are short, and encoding, for the figures that are multiplied out
    first = torch.arange(BATCH)
    steps = {name: partial(side.step, first) for name, side in sides.ours.items()}
    extra = interleave(steps, 7)
    encoding = {}
    for name, side in sides.ours.items():
        if "compiled" in name: continue
        encoding[name] = partial(encode_sentences, side.clip, sides.texts[:256], progress=False)
    each = {name: min(times) / 256 for name, times in interleave(encoding, 5).items()}

    case = beside(taken["ours"] + extra["ours"], taken["published"], each["ours"])
    figures["whole run"] = case
    show("20 epochs over COCO's captions, steps multiplied out, encoding included", case)
    runs = {}
    for name in sides.ours:
        step = spread(extra[name])["median"]
        precision = name.split(",")[0]
        runs[name] = {run: whole_run(run, step, each[precision]) for run in RUNS}
    figures["runs"] = runs
    record("training", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
