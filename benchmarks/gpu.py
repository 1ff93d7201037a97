"""Whole runs on a GPU, in seconds: VOC2007's 66,087 sentences and COCO's 100,543 with the templates of their classes,
encoded once, learned from in 20 epochs, and used on as many pictures as the test sets have.

The published code took 639 s and 1,450 s to learn, on an RTX 3090 (an independent run of it). This script has not been
run on a GPU: none was at hand when it was written, and results.json therefore holds no figure of it. Time depends
neither on which sentences and photos these are nor on the weights. So the bundled captions and photos stand in for
COCO's, again and again, and RN50's architecture with random weights from a seed for CLIP's.

    python benchmarks/gpu.py [--precision bfloat16] [--compile]    made to end within ten minutes on a card such as an H100
    python benchmarks/gpu.py --small                               the same code, in seconds on the CPU; nothing is recorded
"""
import argparse
import sys
import warnings
from itertools import cycle, islice
from typing import NamedTuple

import torch

from common import record, rn50, seconds
from training import BATCH
from taidpt.all import (
    COCO, VOC2007, ClassSet, FrozenCLIP, NounFilter, TaIDPT, bundled_captions, encode_sentences, load_clip,
    template_sentences)
from taidpt.tags import reference_photos


class Run(NamedTuple):
    "What is learned from and looked at, what the published code took to learn, and what a card of today should take."
    classes: ClassSet
    captions: int
    pictures: int
    published: int
    target: int


RUNS = dict(voc2007=Run(VOC2007, 66_087, 4_952, 639, 15), coco=Run(COCO, 100_543, 40_504, 1450, 25))


def whole_run(clip: FrozenCLIP, run: Run, epochs: int, every: int = 1) -> dict:
    "Seconds of encoding, of learning, and of scoring pictures; of the templates, one in so many."
    found = NounFilter(run.classes).label(bundled_captions(), progress=False)
    train = found[torch.arange(run.captions) % len(found)] + template_sentences(run.classes)[::every]
    photos = list(islice(cycle(reference_photos()), run.pictures))       # each is decoded anew
    model = TaIDPT(clip, run.classes, epochs=epochs, batch_size=BATCH, templates=False)   # which are there already
    done = {}

    def timed(name, f):
        def call():
            done[name] = f()
            if torch.cuda.is_available(): torch.cuda.synchronize()
        return seconds(call)

    took = dict(encoding=timed("features", lambda: encode_sentences(clip, train.texts, progress=False)),
                learning=timed("model", lambda: model.fit(train, features=done["features"], progress=False)),
                scoring=timed("scores", lambda: model.predict(photos, progress=False)))
    if not done["scores"].isfinite().all(): raise ValueError(f"Scores of {run.classes.name} hold NaN or infinity.")
    return dict(captions=run.captions, sentences=len(train), epochs=epochs, pictures=run.pictures, seconds=took,
                published_on_rtx3090=run.published, target=run.target)


def main(arguments: list[str]) -> int:
    "The exit status: 2 if there is no GPU."
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--small", action="store_true", help="a few sentences and pictures, with the embedded CLIP on the CPU")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "float16"], default="float32", help="of the weights")
    parser.add_argument("--compile", action="store_true", help="let torch.compile fuse the blocks of prompts")
    options = parser.parse_args(arguments)
    if not (options.small or torch.cuda.is_available()):
        print("There is no CUDA GPU here; --small runs the same code on the CPU.", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore")
    clip = load_clip(device="cpu") if options.small else rn50()
    if not options.small: clip = FrozenCLIP(clip.model.to("cuda", getattr(torch, options.precision)), clip.tokenizer, clip.preprocess, clip.name)
    if options.compile: clip = clip.compile()
    runs = {}
    for name, run in RUNS.items():
        if options.small: r = whole_run(clip, run._replace(captions=200, pictures=8), epochs=2, every=20)
        else: r = whole_run(clip, run, epochs=20)
        runs[name], s = r, r["seconds"]
        print(f"{name}: {s['encoding']:.1f} s to encode {r['sentences']:,} sentences, {s['learning']:.1f} s for {r['epochs']} epochs "
              f"(target for both: {run.target} s); {r['pictures']:,} pictures scored in {s['scoring']:.1f} s", flush=True)
    if not options.small:
        record("gpu", dict(gpu=torch.cuda.get_device_name(), precision=options.precision, compiled=options.compile,
                           memory=torch.cuda.max_memory_allocated(), runs=runs))
    return 0


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
