"""The image tower in PyTorch and in OpenVINO, in turn: images a second on pixels, and by
`predict` on a folder of photos of COCO's size. "Eager" is PyTorch with all cores on one batch
after another; `predict` and the engine take a batch a core. With a table of labelled photos, also
what bfloat16 does to scores, best tags and average precision.

    python benchmarks/engines.py [rounds] [photos]
"""
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Callable

import torch
from common import SHARED, copies, interleave, ratios, record, rn50, spread, untrained
from PIL import Image

from taidpt.all import (
    COCO, VOC2007, FrozenCLIP, ZeroShotCLIP, fuse, load_clip, mean_average_precision, read_labels)
from taidpt.clip import reference_photos
from taidpt.encoders.openvino import OpenVINOTower
from taidpt.encoders.images import as_images, in_batches, open_rgb

PRECISIONS = {"openvino": "float32", "bfloat16": "bfloat16"}            # of OpenVINO


def by_engine(clip: FrozenCLIP) -> dict[str, FrozenCLIP]:
    "The CLIP itself, and with OpenVINO's tower in each precision."
    clips = {"a batch a core": clip}
    for name, precision in PRECISIONS.items():
        clips[name] = FrozenCLIP(
            clip.model, clip.tokenizer, clip.preprocess, clip.name,
            tower=OpenVINOTower(clip.model.visual, precision))
    return clips


def in_turn(name: str, ways: dict[str, Callable], rounds: int, images: int) -> dict:
    """Images a second of eager PyTorch, and round by round how many times as fast the others
    are, whose vectors are the same."""
    wanted = ways["eager"]()
    for way, call in ways.items():                  # afterwards they are warm
        far = (call() - wanted).norm(dim=-1).max() / wanted.norm(dim=-1).max()
        assert far < (.1 if way == "bfloat16" else 1e-3), (way, far)
    taken = interleave(ways, rounds)
    ratio = ratios(taken, "eager")
    del ratio["eager"]
    speed = spread([images / t for t in taken["eager"]])
    others = [f"{way} {times['median']:.2f} ({times['low']:.2f} to {times['high']:.2f})"
              for way, times in ratio.items()]
    print(f"{name}: eager {speed['median']:.1f} images/s; {', '.join(others)}", flush=True)
    return dict(eager=speed, rounds=rounds, ratio=ratio)


def on_pixels(name: str, clip: FrozenCLIP, rounds: int, batches: int = 4) -> dict:
    "The towers alone, on batches of four."
    pixels = torch.stack([clip.preprocess(open_rgb(path)) for path in reference_photos()[:4]])

    def one_by_one():
        for _ in range(batches): features = clip.encode_image(pixels)[0]
        return features

    def side_by_side(way):
        def read(i): return pixels
        def encode(batch): return way.encode_image(batch[0])[0]
        return list(in_batches(read, encode, range(batches), 1, True))[-1]

    ways = {"eager": one_by_one}
    for way, variant in by_engine(clip).items(): ways[way] = partial(side_by_side, variant)
    return in_turn(name, ways, rounds, batches * len(pixels))


def on_photos(folder: Path, rounds: int) -> dict:
    "`predict` with the embedded CLIP, from files to scores."
    clip, paths = load_clip(device="cpu"), as_images(folder)
    model = untrained(clip, COCO).prepared()

    @torch.no_grad()
    def eager():
        "As one would write it first: decode four photos, then all cores on these."
        scores = []
        for i in range(0, len(paths), 4):
            pixels = [clip.preprocess(open_rgb(path)) for path in paths[i:i + 4]]
            f, F = clip.encode_image(torch.stack(pixels))
            scores.append(fuse(*model.score_features(f, F)))
        return torch.cat(scores)

    ways = {"eager": eager}
    for way, variant in by_engine(clip).items():
        ways[way] = partial(untrained(variant, COCO).predict, paths, progress=False)
    return in_turn("predict on photos", ways, rounds, len(paths))


def beside_float32(table: Path) -> dict:
    """What engines do to cosines, best tags and mAP of zero-shot CLIP with the embedded CLIP on
    labelled photos."""
    data = read_labels(table, VOC2007.spelled_naturally())

    def cosines(clip):
        scores = ZeroShotCLIP(clip, data.classes).predict(data.images, progress=False)
        return scores.float() / clip.logit_scale

    clip = load_clip(device="cpu")
    plain = cosines(clip)
    differences = {}
    for name, variant in by_engine(clip).items():
        if variant is clip: continue
        scores = cosines(variant)
        far = (scores - plain).abs()
        same = scores.argmax(1) == plain.argmax(1)
        differences[name] = dict(
            largest=far.max().item(), typical=far.median().item(),
            same_tag=same.float().mean().item(),
            mAP=mean_average_precision(data.labels, scores))
    before = mean_average_precision(data.labels, plain)
    return dict(photos=len(data.images), mAP=before, engines=differences)


def main(rounds: int = 9, photos: int = 144):
    warnings.filterwarnings("ignore")
    cases = {name: on_pixels(name, clip, rounds)
             for name, clip in {"embedded": load_clip(device="cpu"), "RN50": rn50()}.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = copies(reference_photos(), photos, Path(name)/"photos")
        for path in folder.iterdir():               # the size of COCO's
            Image.open(path).convert("RGB").resize((640, 480)).save(path, quality=90)
        cases["predict"] = on_photos(folder, rounds)
    figures = dict(cases=cases, photos=photos)
    table = SHARED/"voc2012_dev/labels.tsv"
    if table.is_file():
        figures["scores"] = beside_float32(table)
        print(figures["scores"])
    record("engines", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
