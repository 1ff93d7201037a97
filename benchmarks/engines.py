"""The picture tower in PyTorch and in OpenVINO, in turn: pictures a second on pixels, and by
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
from pictures import enlarge

from taidpt.all import (
    COCO, VOC2007, FrozenCLIP, ZeroShotCLIP, fuse, load_clip, mean_average_precision, read_labels)
from taidpt.encoders.engines import openvino_tower
from taidpt.encoders.pictures import in_batches, list_pictures, open_rgb
from taidpt.clip import reference_photos

WAYS = {                                            # engine and precision
    "torch bfloat16": ("torch", "bfloat16"),
    "openvino": ("openvino", "float32"),
    "bfloat16": ("openvino", "bfloat16"),
}
PLAIN = "torch", "float32"


def clip_by(engine: str, precision: str) -> FrozenCLIP:
    "The embedded CLIP with an engine."
    return load_clip(device="cpu", engine=engine, precision=precision)


def check_same(ways: dict[str, Callable]):
    "All give the vectors of the eager way; afterwards they are warm."
    wanted = ways["eager"]()
    for name, way in ways.items():
        far = (way() - wanted).norm(dim=-1).max() / wanted.norm(dim=-1).max()
        allowed = .1 if "bfloat16" in name else 1e-3
        assert far < allowed, (name, far)


def in_turn(name: str, ways: dict[str, Callable], rounds: int, pictures: int) -> dict:
    """Pictures a second of eager PyTorch, and round by round how many times as fast the others
    are, whose vectors are the same."""
    check_same(ways)
    taken = interleave(ways, rounds)
    ratio = ratios(taken, "eager")
    del ratio["eager"]
    speed = spread([pictures / t for t in taken["eager"]])
    others = []
    for way, found in ratio.items():
        others.append(f"{way} {found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})")
    print(f"{name}: eager {speed['median']:.1f} pictures/s; {', '.join(others)}", flush=True)
    return dict(eager=speed, rounds=rounds, ratio=ratio)


def on_pixels(name: str, clip: FrozenCLIP, rounds: int, batches: int = 4) -> dict:
    "The towers alone, on batches of four."
    pixels = torch.stack([clip.preprocess(open_rgb(path)) for path in reference_photos()[:4]])

    def by_openvino(precision):
        tower = openvino_tower(clip.model.visual, precision)
        return FrozenCLIP(clip.model, clip.tokenizer, clip.preprocess, clip.name, tower=tower)

    def one_by_one():
        for _ in range(batches): found = clip.encode_images(pixels)[0]
        return found

    def side_by_side(way):
        def read(i): return pixels
        def encode(some): return way.encode_images(some[0])[0]
        return list(in_batches(read, encode, range(batches), 1, True))[-1]

    ways = {
        "eager": one_by_one,
        "a batch a core": partial(side_by_side, clip),
        "openvino": partial(side_by_side, by_openvino("float32")),
        "bfloat16": partial(side_by_side, by_openvino("bfloat16")),
    }
    return in_turn(name, ways, rounds, batches * len(pixels))


def on_photos(folder: Path, rounds: int) -> dict:
    "`predict` with the embedded CLIP, from files to scores."
    plain = untrained(clip_by(*PLAIN), COCO)
    models = {"a batch a core": plain}
    for name, how in WAYS.items(): models[name] = untrained(clip_by(*how), COCO)
    paths = list_pictures(folder)

    @torch.no_grad()
    def eager():
        "As one would write it first: decode four photos, then all cores on these."
        model = plain.prepared()
        found = []
        for i in range(0, len(paths), 4):
            pixels = [plain.clip.preprocess(open_rgb(path)) for path in paths[i:i + 4]]
            f, F = plain.clip.encode_images(torch.stack(pixels))
            found.append(fuse(*model.branches(f, F)))
        return torch.cat(found)

    ways = {"eager": eager}
    for name, model in models.items(): ways[name] = partial(model.predict, folder, progress=False)
    return in_turn("predict on photos", ways, rounds, len(paths))


def beside_float32(table: Path) -> dict:
    """What engines do to cosines, best tags and mAP of zero-shot CLIP with the embedded CLIP on
    labelled photos."""
    data = read_labels(table, VOC2007.spelled_naturally(), table.with_name("images"))

    def cosines(engine, precision):
        clip = clip_by(engine, precision)
        scores = ZeroShotCLIP(clip, data.classes).predict(data.pictures, progress=False)
        return scores.float() / clip.logit_scale

    plain = cosines(*PLAIN)
    found = {}
    for name, how in WAYS.items():
        scores = cosines(*how)
        far = (scores - plain).abs()
        same = scores.argmax(1) == plain.argmax(1)
        found[name] = dict(
            largest=far.max().item(), typical=far.median().item(),
            same_tag=same.float().mean().item(),
            mAP=mean_average_precision(data.labels, scores))
    before = mean_average_precision(data.labels, plain)
    return dict(photos=len(data.pictures), mAP=before, engines=found)


def main(rounds: int = 9, photos: int = 144):
    warnings.filterwarnings("ignore")
    cases = {
        "embedded": on_pixels("embedded", load_clip(device="cpu"), rounds),
        "RN50": on_pixels("RN50", rn50(), rounds),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once = enlarge(reference_photos(), folder/"once", .3)       # 640 pixels on the long side
        cases["predict"] = on_photos(copies(once, photos, folder/"photos"), rounds)
    figures = dict(cases=cases, photos=photos)
    table = SHARED/"voc2012_dev/labels.tsv"
    if table.is_file():
        figures["scores"] = beside_float32(table)
        print(figures["scores"])
    record("engines", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
