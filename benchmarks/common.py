"""What the benchmarks share: two ways of doing one thing timed in turn, and the file that holds the results."""
import json
import logging
import os
import platform
import shutil
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Callable

import open_clip
import torch

from taidpt.clip import FrozenCLIP
from taidpt.encoders.weights import preprocessing
from taidpt.files import write_whole

RESULTS = Path(__file__).with_name("results.json")
SHARED = Path(os.environ.get("TAIDPT_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"    # may not be there


def rn50() -> FrozenCLIP:
    "The paper's model with random weights from a seed, as speed does not depend on them."
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # open_clip says that the weights are random
    model = open_clip.create_model("RN50-quickgelu")
    logging.disable(logging.NOTSET)
    return FrozenCLIP(model, open_clip.get_tokenizer("RN50"), preprocessing(model, draft=False), "RN50-quickgelu")


def copies(paths: list[Path], photos: int, folder: Path) -> Path:
    "A folder of so many photos, these again and again."
    folder.mkdir()
    for i in range(photos): shutil.copy(paths[i % len(paths)], folder/f"{i:04}.jpg")
    return folder


def seconds(f: Callable) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def interleave(ways: dict[str, Callable], repeats: int, times: dict[str, int] = {}) -> dict[str, list[float]]:
    "Seconds that each way takes in each round, in which the ways take turns; of a way that is called several `times`, the median."
    taken = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items(): taken[name].append(statistics.median(seconds(way) for _ in range(times.get(name, 1))))
    return taken


def spread(numbers: list[float]) -> dict[str, float]:
    "Median, least and greatest."
    return dict(median=statistics.median(numbers), low=min(numbers), high=max(numbers))


def ratios(taken: dict[str, list[float]], base: str) -> dict[str, dict]:
    "How many times as fast as one way each way is, round by round."
    return {name: spread([b / t for b, t in zip(taken[base], times)]) for name, times in taken.items()}


def compare(taken: dict[str, list[float]]) -> dict:
    "Seconds of both ways, ours and the published one, and their ratio."
    return dict(seconds={n: spread(t) for n, t in taken.items()}, ratio=ratios(taken, "published")["ours"], rounds=len(taken["ours"]))


def show(name: str, case: dict):
    r, s = case["ratio"], case["seconds"]
    print(f"{name}: " + ", ".join(f"{n} {t['median']:.4g} s" for n, t in s.items()) +
          f"; ratio {r['median']:.1f} (from {r['low']:.1f} to {r['high']:.1f} in {case['rounds']} rounds)", flush=True)


def cpu() -> str:
    "The processor's name, where the system tells."
    try: lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError: return platform.processor() or platform.machine()
    return next((l.split(":", 1)[1].strip() for l in lines if l.startswith("model name")), platform.machine())


def machine() -> dict:
    "What a time depends on; no names."
    libraries = "torch", "open_clip_torch", "nltk", "numpy", "pyarrow", "pillow"
    return dict(cpu=cpu(), cores=os.cpu_count(), threads=torch.get_num_threads(), instructions=torch.backends.cpu.get_cpu_capability(),
                python=platform.python_version(), **{n: version(n) for n in libraries})


def record(name: str, figures: dict):
    "Put one benchmark's figures into results.json; what the others left there stays."
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = dict(figures, machine=machine())
    with write_whole(RESULTS) as new: new.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
