"""Whole runs on a GPU, in seconds: VOC2007's 66,087 sentences and COCO's 100,543 with the templates of their classes,
encoded once, learned from in 20 epochs, and used on as many pictures as the test sets have; then the cells of the
notebooks that are flagged `cuda`.

The published code took 639 s and 1,450 s to learn, on an RTX 3090 (an independent run of it). This script has not been
run on a GPU: none was at hand when it was written, and results.json therefore holds no figure of it. Time depends
neither on which sentences and photos these are nor on the weights. So the bundled captions and photos stand in for
COCO's, again and again, and RN50's architecture with random weights from a seed for CLIP's.

    python benchmarks/gpu.py [--precision bfloat16] [--compile]    made to end within ten minutes on a card such as an H100; needs nbdev
    python benchmarks/gpu.py --small                           the same code, in seconds on the CPU; nothing is recorded
"""
import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from common import record
from pictures import rn50
from training import BATCH
from taidpt.classes import COCO, VOC2007, ClassSet
from taidpt.clip import FrozenCLIP, encode_sentences, load_clip
from taidpt.encoders.pictures import list_pictures
from taidpt.learner import TaIDPT
from taidpt.nounfilter import NounFilter
from taidpt.text.corpora import bundled_captions
from taidpt.texts import LabeledTexts, template_sentences

ROOT = Path(__file__).resolve().parent.parent


class Run(NamedTuple):
    "What is learned from and looked at, what the published code took to learn, and what a card of today should take."
    classes: ClassSet
    captions: int
    pictures: int
    published: int
    target: int


RUNS = dict(voc2007=Run(VOC2007, 66_087, 4_952, 639, 15), coco=Run(COCO, 100_543, 40_504, 1450, 25))


def sentences(classes: ClassSet, n: int, every: int = 1) -> LabeledTexts:
    "n labelled captions, the bundled ones again and again, and the templates, or one in so many of them."
    found = NounFilter(classes).label(bundled_captions(), progress=False)
    return found[torch.arange(n) % len(found)] + template_sentences(classes)[::every]


def photos(n: int) -> list[Path]:
    "Paths of n photos, the bundled ones again and again: each is decoded every time."
    return list(islice(cycle(list_pictures(files("taidpt") / "data" / "coco_demo" / "images")), n))


def timed(f: Callable) -> tuple[float, Any]:
    "Seconds until a function is done, on the GPU too, and what it returned."
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    start = time.perf_counter()
    found = f()
    wait()
    return time.perf_counter() - start, found


def whole_run(clip: FrozenCLIP, run: Run, epochs: int, every: int = 1) -> dict:
    "Seconds of encoding, of learning, and of scoring pictures."
    train = sentences(run.classes, run.captions, every)
    model = TaIDPT(clip, run.classes, epochs=epochs, batch_size=BATCH, templates=False)  # which are there already
    encoding, features = timed(lambda: encode_sentences(clip, train.texts, progress=False))
    learning, _ = timed(lambda: model.fit(train, features=features, progress=False))
    scoring, scores = timed(lambda: model.predict(photos(run.pictures), progress=False))
    if not scores.isfinite().all(): raise ValueError(f"Scores of {run.classes.name} hold NaN or infinity.")
    return dict(captions=run.captions, sentences=len(train), epochs=epochs, steps=max(1, len(train) // BATCH) * epochs,
                pictures=len(scores), seconds=dict(encoding=encoding, learning=learning, scoring=scoring),
                published_on_rtx3090=run.published, target=run.target)


def told(name: str, figures: dict) -> str:
    "One data set's seconds, in words."
    s = figures["seconds"]
    return (f"{name}: {s['encoding']:.1f} s to encode {figures['sentences']:,} sentences, {s['learning']:.1f} s for {figures['epochs']} epochs "
            f"(target for both: {figures['target']} s); {figures['pictures']:,} pictures scored in {s['scoring']:.1f} s")


def flagged() -> list[str]:
    "The notebooks that have cells for a GPU."
    folder = ROOT / "nbs"
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.ipynb")
                  if ".ipynb_checkpoints" not in p.parts and '"#| cuda\\n"' in p.read_text("utf-8"))


def run_notebook(name: str, limit: int = 240) -> str:
    "Run a notebook with its cells for a GPU: an empty text, or what went wrong."
    environment = os.environ | dict(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", MPLBACKEND="agg", TAIDPT_SHARED="/nowhere")
    command = [Path(sys.executable).with_name("nbdev_test"), "--path", f"nbs/{name}", "--flags", "cuda", "--n_workers", "0"]
    try: done = subprocess.run(command, cwd=ROOT, env=environment, timeout=limit, text=True, capture_output=True)
    except subprocess.TimeoutExpired: return f"not done after {limit} s"
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-2000:]


def prepared(precision: str, compiled: bool) -> FrozenCLIP:
    "RN50 with random weights, on the GPU."
    clip, dtype = rn50(), getattr(torch, precision)
    clip = FrozenCLIP(clip.model.to("cuda", dtype), clip.tokenizer, clip.preprocess, "RN50-quickgelu")
    return clip.compile() if compiled else clip


def main(arguments: list[str]) -> int:
    "The exit status: 1 if a notebook fails, 2 if there is no GPU."
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--small", action="store_true", help="a few sentences and pictures, with the embedded CLIP on the CPU")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "float16"], default="float32", help="of the weights")
    parser.add_argument("--compile", action="store_true", help="let torch.compile fuse the blocks of prompts")
    options = parser.parse_args(arguments)
    if not (options.small or torch.cuda.is_available()):
        print("There is no CUDA GPU here; --small runs the same code on the CPU.", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore")
    clip, runs = load_clip(device="cpu") if options.small else prepared(options.precision, options.compile), {}
    for name, run in RUNS.items():
        if options.small: runs[name] = whole_run(clip, run._replace(captions=200, pictures=8), epochs=2, every=20)
        else: runs[name] = whole_run(clip, run, epochs=20)
        print(told(name, runs[name]), flush=True)
    if options.small: return 0
    memory, names = torch.cuda.max_memory_allocated(), flagged()
    with ThreadPoolExecutor(4) as pool: faults = dict(zip(names, pool.map(run_notebook, names)))
    for name, fault in faults.items(): print(f"{name} with its cells for a GPU: {fault or 'passed'}", flush=True)
    record("gpu", dict(gpu=torch.cuda.get_device_name(), precision=options.precision, compiled=options.compile,
                       memory=memory, runs=runs, notebooks={name: not fault for name, fault in faults.items()}))
    return int(any(faults.values()))


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
