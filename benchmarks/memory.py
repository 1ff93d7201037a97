"""Memory: the store of features on disk and while training from it, and the noun filter on
millions of sentences.

    python benchmarks/memory.py [captions] [sentences]
"""
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from common import record, rn50
from training import BATCH

from taidpt.all import COCO, NounFilter, PromptLearner, bundled_captions, ranking_loss
from taidpt.encoders.store import FeatureStore, stored_features
from taidpt.scores import branch_scores

D = 1024                # numbers of a feature


def resident(what: str = "VmRSS") -> int:
    """Bytes of this process in memory, pages of mapped files included; VmHWM is the most there
    ever were."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024


# The store of features

def write_store(path: Path, captions: int) -> dict:
    "As many captions as asked for, as long as real ones, with random features."
    tokens = rn50().tokenize(list(bundled_captions()))
    lengths = np.resize((tokens != 0).sum(1).numpy(), captions)
    block = np.random.default_rng(0).standard_normal((4096, D), np.float32)
    block = (block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float16)

    def encode(rows: Sequence[int], bar) -> dict[str, torch.Tensor]:
        counts = lengths[list(rows)]
        words = np.resize(block, (counts.sum(), D))
        features = dict(global_=block[:len(counts)], local=words, lengths=counts)
        return {name: torch.from_numpy(x) for name, x in features.items()}

    keys = [str(row) for row in range(captions)]
    stored_features(path, dict(kind="rows"), range(captions), 4096, keys, encode, progress=False)
    return dict(
        captions=captions, tokens_a_caption=float(lengths.mean()),
        bytes_on_disk=sum(part.stat().st_size for part in path.iterdir()),
        padded_float32=captions * 77 * D * 4)


def train_from_store(path: Path, steps: int) -> dict:
    "Steps on random batches of the store; the most memory that was resident after one of them."
    store = FeatureStore.load(path)
    prompts = PromptLearner(rn50(), COCO.names, seed=0)
    labels = torch.eye(80).bool().repeat(len(store)//80 + 1, 1)       # one positive a row
    optimizer = torch.optim.SGD(prompts.parameters(), 1e-4)
    for _ in range(2):                              # what a step takes without any features
        sum(embedding.sum() for embedding in prompts()).backward()
    before = resident()
    after = []
    for items in torch.randperm(len(store))[:steps * BATCH].split(BATCH):
        u, U, mask = store.batch(items, padded=False)
        scores = branch_scores(u, U, *prompts(), 0.02, mask)
        loss = sum(ranking_loss(s, labels[items]) for s in scores)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after.append(resident())
    return dict(
        steps=steps, captions_read=steps * BATCH, resident_before=before, resident=max(after))


# The noun filter

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


def with_peak(f: Callable, *args) -> dict: return f(*args) | dict(peak=resident("VmHWM"))


def in_a_process(*call) -> dict:
    """What a function tells, with the peak, in a process of its own, whose memory nothing else has
    touched."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool: return pool.submit(with_peak, *call).result()


def main(captions: int = 100_000, sentences: int = 3_000_000):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/"features"
        store = write_store(path, captions) | in_a_process(train_from_store, path, 12)
    figures = {
        "store": store,
        "noun filter": in_a_process(label, sentences),
    }
    for name, figure in figures.items(): print(f"{name}: {json.dumps(figure)}")
    record("memory", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
