"""What the benchmarks share: two ways of doing one thing timed in turn, and the file that holds
the results."""
import json
import logging
import os
import platform
import re
import shutil
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Callable

import open_clip
import torch
from torch import nn

from taidpt.classes import ClassSet
from taidpt.clip import FrozenCLIP
from taidpt.encoders.openclip import preprocessing
from taidpt.files import atomic_write
from taidpt.learner import TaIDPT
from taidpt.training import PUBLISHED, Fitted

RESULTS = Path(__file__).with_name("results.json")
BESIDE = Path(__file__).resolve().parents[2] / "shared"
SHARED = Path(os.environ.get("TAIDPT_SHARED", BESIDE)) / "data"          # may not be there
LIBRARIES = "torch", "open_clip_torch", "nltk", "numpy", "pyarrow", "pillow"

Times = dict[str, list[float]]      # of each way, its seconds in each round


def random_model(name: str) -> nn.Module:
    "A model of open_clip's with random weights from a seed, as speed does not depend on them."
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # open_clip says that the weights are random
    model = open_clip.create_model(name)
    logging.disable(logging.NOTSET)
    return model


def rn50() -> FrozenCLIP:
    "The paper's model with random weights."
    model = random_model("RN50-quickgelu")
    tokenizer = open_clip.get_tokenizer("RN50")
    return FrozenCLIP(model, tokenizer, preprocessing(model, draft=False), "RN50-quickgelu")


def untrained(clip: FrozenCLIP, classes: ClassSet) -> TaIDPT:
    "A model with the prompts that learning starts with."
    model = TaIDPT(clip, classes)
    model.fitted_ = Fitted(model.fresh_prompts(PUBLISHED), recipe=PUBLISHED)
    return model


def copies(paths: list[Path], photos: int, folder: Path) -> Path:
    "A folder of so many photos, these again and again."
    folder.mkdir()
    for i in range(photos): shutil.copy(paths[i % len(paths)], folder/f"{i:04}.jpg")
    return folder


def seconds(f: Callable) -> float:
    "How long a call takes."
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def interleave(ways: dict[str, Callable], repeats: int) -> Times:
    "Seconds that each way takes in each round, in which the ways take turns."
    taken = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items(): taken[name].append(seconds(way))
    return taken


def spread(numbers: list[float]) -> dict[str, float]:
    "Median, least and greatest."
    return dict(median=statistics.median(numbers), low=min(numbers), high=max(numbers))


def ratios(taken: Times, base: str) -> dict[str, dict]:
    "How many times as fast as one way each way is, round by round."
    spreads = {}
    for name, times in taken.items():
        spreads[name] = spread([slow / fast for slow, fast in zip(taken[base], times)])
    return spreads


def compare(taken: Times) -> dict:
    "Seconds of both ways, ours and the published one, and their ratio."
    return dict(
        seconds={name: spread(times) for name, times in taken.items()},
        ratio=ratios(taken, "published")["ours"],
        rounds=len(taken["ours"]))


def show(name: str, case: dict):
    "Print what `compare` has found."
    times = [f"{way} {took['median']:.4g} s" for way, took in case["seconds"].items()]
    ratio = case["ratio"]
    range_ = f"from {ratio['low']:.1f} to {ratio['high']:.1f} in {case['rounds']} rounds"
    print(f"{name}: {', '.join(times)}; ratio {ratio['median']:.1f} ({range_})", flush=True)


def machine() -> dict:
    "What a time depends on, on Linux; no names."
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return dict(
        cpu=cpu[1] if cpu else platform.machine(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        python=platform.python_version(),
        **{name: version(name) for name in LIBRARIES})


def record(name: str, figures: dict):
    "Put one benchmark's figures into results.json; what the others left there stays."
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = dict(figures, machine=machine())
    text = json.dumps(dict(sorted(results.items())), indent=1)
    with atomic_write(RESULTS) as new: new.write_text(f"{text}\n")
