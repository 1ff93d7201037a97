"""Whole runs on a GPU, in seconds: VOC2007's 66,087 sentences and COCO's 100,543 with templates of
their classes, encoded once, learned from in 20 epochs, and used on as many images as the test
sets have.

The published code took 639 s and 1,450 s to learn, on an RTX 3090 (an independent run of it). This
script has not been run on a GPU: none was at hand when it was written, and results.json therefore
holds no figure of it. Time depends neither on which sentences and photos these are nor on the
weights. So the bundled captions and photos stand in for COCO's, again and again, and RN50's
architecture with random weights from a seed for CLIP's.

    python benchmarks/gpu.py [--precision bfloat16] [--compile]
                                        made to end within ten minutes on a card such as an H100
    python benchmarks/gpu.py --small    the same code, in seconds on the CPU; nothing is recorded
"""
import sys
import time
import warnings
from collections.abc import Callable
from itertools import cycle, islice
from typing import NamedTuple

import torch
import typer
from common import record, rn50
from training import BATCH

from taidpt.all import (
    COCO, VOC2007, ClassSet, FrozenCLIP, NounFilter, TaIDPT, bundled_captions, encode_texts,
    load_clip, template_sentences)
from taidpt.clip import reference_photos


class Run(NamedTuple):
    "What is learned from and looked at, and how long learning took and should take."
    classes: ClassSet
    captions: int
    images: int
    published: int      # seconds that the published code took to learn
    target: int         # seconds that a card of today should take


RUNS = {
    "voc2007": Run(VOC2007, 66_087, 4_952, 639, 15),
    "coco": Run(COCO, 100_543, 40_504, 1450, 25),
}


def timed(f: Callable, *args, **kwargs) -> tuple:
    "What a call gives, and its seconds, until the GPU has done it."
    start = time.perf_counter()
    given = f(*args, **kwargs)
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return given, time.perf_counter() - start


def whole_run(clip: FrozenCLIP, run: Run, epochs: int, every: int) -> dict:
    "Seconds of encoding, of learning, and of scoring images; of the templates, one in so many."
    labelled = NounFilter(run.classes).label(bundled_captions(), progress=False)
    captions = labelled[torch.arange(run.captions) % len(labelled)]
    train = captions + template_sentences(run.classes)[::every]
    photos = list(islice(cycle(reference_photos()), run.images))       # each is decoded anew
    # templates are there already
    model = TaIDPT(clip, run.classes, epochs=epochs, batch_size=BATCH, templates=False)

    features, encoding = timed(encode_texts, clip, train.texts, progress=False)
    _, learning = timed(model.fit, train, features=features, progress=False)
    scores, scoring = timed(model.predict, photos, progress=False)
    assert scores.isfinite().all()
    return dict(
        captions=run.captions, sentences=len(train), epochs=epochs, images=run.images,
        seconds=dict(encoding=encoding, learning=learning, scoring=scoring),
        published_on_rtx3090=run.published, target=run.target)


def show(name: str, figures: dict):
    "Print what `whole_run` has found."
    took = figures["seconds"]
    print(f"{name}: {took['encoding']:.1f} s to encode {figures['sentences']:,} sentences, "
          f"{took['learning']:.1f} s for {figures['epochs']} epochs "
          f"(target for both: {figures['target']} s); "
          f"{figures['images']:,} images scored in {took['scoring']:.1f} s", flush=True)


def clip_on_gpu(precision: str, compiled: bool) -> FrozenCLIP:
    "RN50 on the GPU"
    plain = rn50()
    model = plain.model.to("cuda", getattr(torch, precision))
    clip = FrozenCLIP(model, plain.tokenizer, plain.preprocess, plain.name)
    return clip.compile() if compiled else clip


def main(small: bool = False, precision: str = "float32", compile: bool = False):
    warnings.filterwarnings("ignore")
    if small:
        for name, run in RUNS.items():
            run = run._replace(captions=200, images=8)
            show(name, whole_run(load_clip(device="cpu"), run, 2, 20))
        return
    if not torch.cuda.is_available(): sys.exit("There is no CUDA GPU; --small runs on the CPU.")
    clip = clip_on_gpu(precision, compile)
    figures = {}
    for name, run in RUNS.items():
        figures[name] = whole_run(clip, run, 20, 1)
        show(name, figures[name])
    record("gpu", dict(
        gpu=torch.cuda.get_device_name(), precision=precision, compiled=compile, runs=figures))


if __name__ == "__main__": typer.run(main)
