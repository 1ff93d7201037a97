"""Memory: the store of features on disk and while training from it, the noun filter on millions of
sentences, the ranking loss for many classes, the loss of pairs for large batches, and what is
larger than anybody's: a folder of 20,000 tiny pictures, 5,000 classes, a caption of a million
words.

    python benchmarks/memory.py [captions]
"""
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import copies, record, rn50, seconds
from PIL import Image
from training import published_loss

from taidpt.all import (
    COCO, ClassSet, LabeledTexts, NounFilter, PromptLearner, TaIDPT, ZeroShotCLIP,
    bundled_captions, encode_sentences, load_clip)
from taidpt.encoders.features import load_features, stored_features
from taidpt.losses import pairs_loss, ranking_loss
from taidpt.scores import branch_scores

D = 1024                # numbers of a feature
BATCH = 512


def resident(what: str = "VmRSS") -> int:
    """Bytes of this process in memory, pages of mapped files included; VmHWM is the most there
    ever were."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what): return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {what}")


# The store of features

def write_store(path: Path, captions: int) -> dict:
    "As many captions as asked for, as long as real ones, with random features."
    tokens = rn50().tokenize(list(bundled_captions()))
    lengths = np.resize((tokens != 0).sum(1).numpy(), captions)
    block = np.random.default_rng(0).standard_normal((4096, D), np.float32)
    block = (block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float16)

    def batches(done):
        for rows in np.array_split(np.arange(captions), max(1, captions // 1000)):
            words = np.resize(block, (int(lengths[rows].sum()), D))
            yield rows, block[:len(rows)], words

    stored_features(path, dict(kind="random"), lambda: (lengths, [D]), batches, every=100_000)
    return dict(
        captions=captions, tokens_a_caption=float(lengths.mean()),
        bytes_on_disk=path.stat().st_size, padded_float32=captions * 77 * D * 4)


def labels_of(rows: int, classes: int, each: int = 1) -> torch.Tensor:
    """Labels, rows × classes, with as many positives in each row, one class on from those of the
    row before."""
    return (torch.arange(classes) - torch.arange(rows)[:, None]) % classes < each


def train_from_store(path: Path, steps: int) -> dict:
    "Steps on random batches of the store; the most memory that was resident after one of them."
    store = load_features(path)
    prompts = PromptLearner(rn50(), COCO.names, seed=0)
    labels = labels_of(len(store), 80)
    optimizer = torch.optim.SGD(prompts.parameters(), 1e-4)
    scores = partial(branch_scores, tau=0.02)
    for _ in range(2):                              # what a step takes without any features
        sum(embedding.sum() for embedding in prompts()).backward()
    before = resident()
    after = []
    for items in torch.randperm(len(store))[:steps * BATCH].split(BATCH):
        u, U, mask = store.batch(items, padded=False)
        loss = sum(ranking_loss(s, labels[items]) for s in scores(u, U, *prompts(), mask=mask))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after.append(resident())
    return dict(
        steps=steps, captions_read=steps * BATCH, resident_before=before, resident=max(after))


# Losses

def step_of(loss: Callable, rows: int, classes: int, each: int) -> Callable:
    "A step of a loss, forward and backward, with as many positives in each row."
    scores = torch.randn(rows, classes, requires_grad=True)
    labels = labels_of(rows, classes, each)
    return lambda: loss(scores, labels).backward()


def typical_step(loss: Callable, classes: int, rounds: int = 7) -> float:
    "Median seconds of a step."
    return statistics.median(seconds(step_of(loss, BATCH, classes, 5)) for _ in range(rounds))


def loss_by_classes(sizes: tuple[int, ...]) -> list[dict]:
    "Seconds of a step for each number of classes; for few also with all pairs in one tensor."
    found = []
    for classes in sizes:
        case = dict(classes=classes, seconds=typical_step(ranking_loss, classes))
        if classes <= 200: case["all pairs"] = typical_step(published_loss, classes)
        found.append(case)
    return found


def loss_memory(loss: Callable, rows: int, classes: int, each: int) -> dict:
    "A step of a loss."
    before = resident()
    step = step_of(loss, rows, classes, each)
    return dict(rows=rows, classes=classes, seconds=seconds(step), resident_before=before)


# What is larger than anybody's

def label(sentences: int) -> dict:
    """A stream of captions, each with a word that no other has, through the noun filter; what is
    resident as it goes on."""
    captions = list(bundled_captions())
    before = resident()
    stream = (f"{captions[i % len(captions)]} x{i:x}" for i in range(sentences))
    after = []
    for seen, _ in enumerate(NounFilter(COCO).stream(stream), 1):
        if seen % (sentences // 3) == 0: after.append(dict(sentences=seen, resident=resident()))
    return dict(resident_before=before, resident=after)


def tiny_pictures(photos: int) -> dict:
    "Zero-shot scores of a folder of pictures of 16 pixels, all with one content."
    model = ZeroShotCLIP(load_clip(device="cpu"), COCO)
    with tempfile.TemporaryDirectory() as name:
        one = Path(name)/"a.png"
        Image.linear_gradient("L").resize((16, 16)).save(one)
        folder = copies([one], photos, Path(name)/"photos")
        model.predict([str(one)], progress=False)
        before = resident()
        model.predict(folder, progress=False)
    return dict(photos=photos, resident_before=before)


def many_classes(classes: int, sentences: int = 930) -> dict:
    "An epoch of ten steps over sentences each of which names a class, with the embedded CLIP."
    names = ClassSet("many", [f"thing {i}" for i in range(classes)])
    texts = [f"a photo of a thing {i % classes}" for i in range(sentences)]
    train = LabeledTexts(texts, labels_of(sentences, classes), names)
    clip = load_clip(device="cpu")
    model = TaIDPT(clip, names, templates=False, epochs=1, batch_size=sentences // 10)
    before = resident()
    model.fit(train, progress=False)
    return dict(classes=classes, sentences=sentences, resident_before=before)


def long_caption(words: int) -> dict:
    "One caption, labelled and encoded."
    clip = load_clip(device="cpu")
    text = "a dog sits on a long road and " * (words // 8)
    noun_filter = NounFilter(COCO)
    before = resident()
    [(_, found)] = noun_filter.stream([text])
    encode_sentences(clip, [text], progress=False)
    return dict(words=words, classes=len(found), resident_before=before)


def with_peak(f: Callable, *args) -> dict: return f(*args) | dict(peak=resident("VmHWM"))


def in_a_process(*call) -> dict:
    """What a function tells, with the peak, in a process of its own, whose memory nothing else has
    touched."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool: return pool.submit(with_peak, *call).result()


def main(captions: int = 100_000):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/"features.safetensors"
        store = write_store(path, captions) | in_a_process(train_from_store, path, 12)
    as_captions = 2_048, 80, 3                      # a batch of the size of captions'
    figures = {
        "store": store,
        "noun filter": in_a_process(label, 3_000_000),
        "ranking loss": in_a_process(loss_memory, ranking_loss, BATCH, 10_000, 5),
        "loss of pairs": in_a_process(loss_memory, pairs_loss, *as_captions),
        "tiny pictures": [in_a_process(tiny_pictures, n) for n in (1_000, 20_000)],
        "many classes": [in_a_process(many_classes, n) for n in (500, 5_000)],
        "long caption": [in_a_process(long_caption, n) for n in (1_000, 1_000_000)],
        "ranking loss by classes": loss_by_classes((80, 200, 1000, 2000, 5000, 10_000)),
    }
    for name, found in figures.items(): print(f"{name}: {json.dumps(found)}")
    record("memory", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
