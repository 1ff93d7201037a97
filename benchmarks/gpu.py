"""Whole runs on a GPU, in seconds: VOC2007's 66,087 sentences and COCO's 100,543 with templates of
their classes, encoded once, learned from in 20 epochs, and used on as many pictures as the test
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
import argparse
import sys
import time
import warnings
from collections.abc import Callable
from itertools import cycle, islice
from typing import NamedTuple

import torch
from common import record, rn50
from training import BATCH

from taidpt.all import (
    COCO, VOC2007, ClassSet, FrozenCLIP, NounFilter, TaIDPT, bundled_captions, encode_sentences,
    load_clip, template_sentences)
from taidpt.clip import reference_photos


class Run(NamedTuple):
    "What is learned from and looked at, and how long learning took and should take."
    classes: ClassSet
    captions: int
    pictures: int
    published: int      # seconds that the published code took to learn
    target: int         # seconds that a card of today should take


RUNS = {
    "voc2007": Run(VOC2007, 66_087, 4_952, 639, 15),
    "coco": Run(COCO, 100_543, 40_504, 1450, 25),
}


def timed(f: Callable, *args, **how) -> tuple:
    "What a call gives, and its seconds, until the GPU has done it."
    start = time.perf_counter()
    given = f(*args, **how)
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return given, time.perf_counter() - start


def whole_run(clip: FrozenCLIP, run: Run, epochs: int, every: int) -> dict:
    "Seconds of encoding, of learning, and of scoring pictures; of the templates, one in so many."
    found = NounFilter(run.classes).label(bundled_captions(), progress=False)
    captions = found[torch.arange(run.captions) % len(found)]
    train = captions + template_sentences(run.classes)[::every]
    photos = list(islice(cycle(reference_photos()), run.pictures))       # each is decoded anew
    # templates are there already
    model = TaIDPT(clip, run.classes, epochs=epochs, batch_size=BATCH, templates=False)

    features, encoding = timed(encode_sentences, clip, train.texts, progress=False)
    _, learning = timed(model.fit, train, features=features, progress=False)
    scores, scoring = timed(model.predict, photos, progress=False)
    if not scores.isfinite().all():
        raise ValueError(f"Scores of {run.classes.name} hold NaN or infinity.")
    return dict(
        captions=run.captions, sentences=len(train), epochs=epochs, pictures=run.pictures,
        seconds=dict(encoding=encoding, learning=learning, scoring=scoring),
        published_on_rtx3090=run.published, target=run.target)


def show(name: str, found: dict):
    "Print what `whole_run` has found."
    took = found["seconds"]
    print(f"{name}: {took['encoding']:.1f} s to encode {found['sentences']:,} sentences, "
          f"{took['learning']:.1f} s for {found['epochs']} epochs "
          f"(target for both: {found['target']} s); "
          f"{found['pictures']:,} pictures scored in {took['scoring']:.1f} s", flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--small", action="store_true", help="a few sentences, on the CPU")
    parser.add_argument("--precision", default="float32", help="or bfloat16, float16")
    parser.add_argument("--compile", action="store_true", help="use torch.compile on prompts")
    return parser.parse_args(arguments)


def clip_for(options: argparse.Namespace) -> FrozenCLIP:
    "The embedded CLIP on the CPU, or RN50 on the GPU"
    if options.small:
        clip = load_clip(device="cpu")
    else:
        plain = rn50()
        model = plain.model.to("cuda", getattr(torch, options.precision))
        clip = FrozenCLIP(model, plain.tokenizer, plain.preprocess, plain.name)
    return clip.compile() if options.compile else clip


def main(arguments: list[str]) -> int:
    "The exit status: 2 if there is no GPU."
    options = parse(arguments)
    if not options.small and not torch.cuda.is_available():
        print("There is no CUDA GPU here; --small runs the same code on the CPU.", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore")
    clip = clip_for(options)
    runs, epochs, every = RUNS, 20, 1
    if options.small:
        runs = {name: run._replace(captions=200, pictures=8) for name, run in RUNS.items()}
        epochs, every = 2, 20
    found = {}
    for name, run in runs.items():
        found[name] = whole_run(clip, run, epochs, every)
        show(name, found[name])
    if not options.small:
        record("gpu", dict(
            gpu=torch.cuda.get_device_name(), precision=options.precision,
            compiled=options.compile, memory=torch.cuda.max_memory_allocated(), runs=found))
    return 0


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
