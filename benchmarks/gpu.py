"""Whole runs on a GPU: VOC's 66,087 captions and COCO's 100,543, 20 epochs, RN50's text tower, in seconds.

The published code took 639 s and 1,450 s on an RTX 3090 (an independent run of it). This script has not been run:
no GPU was at hand when it was written, and results.json therefore holds no figure of it. Time depends neither on
which captions are learned from nor on the weights, so the bundled captions, repeated, stand in for COCO's, and
random weights for CLIP's.

    python benchmarks/gpu.py [--half] [--compile]
"""
import sys
import time
import warnings

import torch

from common import record
from taidpt.classes import COCO, VOC2007
from taidpt.support.captions import bundled_captions
from taidpt.learner import TaIDPT
from taidpt.nounfilter import NounFilter
from taidpt.texts import LabeledTexts
from training import text_tower

RUNS = dict(voc2007=(VOC2007, 66_087, 639), coco=(COCO, 100_543, 1450))


def sentences(classes, n: int) -> LabeledTexts:
    """n labelled captions: the bundled ones again and again, each time with another ending, so that none is encoded
    twice for free."""
    found = NounFilter(classes).label(bundled_captions(), progress=False)
    rows = torch.arange(n) % len(found)
    texts = [f"{found.texts[r]} {i // len(found) or ''}".rstrip() for i, r in enumerate(rows.tolist())]
    return LabeledTexts(texts, found.labels[rows], classes)


def fit_seconds(model: TaIDPT, train: LabeledTexts) -> float:
    "Seconds of a fit, until the GPU is done."
    torch.cuda.synchronize()
    start = time.perf_counter()
    model.fit(train, progress=False)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def main(half: bool, compiled: bool):
    if not torch.cuda.is_available(): sys.exit("There is no CUDA GPU here.")
    warnings.filterwarnings("ignore")
    figures = dict(gpu=torch.cuda.get_device_name(), precision="float16" if half else "float32", compiled=compiled,
                   runs={})
    for name, (classes, n, published) in RUNS.items():
        clip = text_tower(dtype=torch.float16 if half else torch.float32).to("cuda")
        if compiled: clip.compile()
        took = fit_seconds(TaIDPT(clip, classes), sentences(classes, n))
        figures["runs"][name] = dict(captions=n, seconds=took, published_on_rtx3090=published)
        print(f"{name}: {took:.0f} s, encoding included (published code on an RTX 3090: {published} s)")
    record("gpu", figures)


if __name__ == "__main__": main("--half" in sys.argv, "--compile" in sys.argv)
