"""The picture tower in PyTorch and in OpenVINO, in turn: pictures a second on pixels, and `predict` on a folder of photos of
COCO's size. "Eager" is PyTorch with all cores on one batch after another; `predict` and the engine take a batch a core. With
the table of labelled photos, also what bfloat16 does to scores, best tags and average precision.

    python benchmarks/engines.py [rounds] [photos]
"""
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Callable

import torch

from common import SHARED, copies, interleave, ratios, record, rn50, spread
from pictures import enlarge
from taidpt.all import COCO, VOC2007, FrozenCLIP, TaIDPT, ZeroShotCLIP, load_clip, mean_average_precision, read_labels
from taidpt.encoders.engines import openvino_tower
from taidpt.encoders.pictures import in_batches, list_pictures, open_rgb
from taidpt.tags import reference_photos

WAYS = {"torch bfloat16": ("torch", "bfloat16"), "openvino": ("openvino", "float32"), "bfloat16": ("openvino", "bfloat16")}


def in_turn(name: str, ways: dict[str, Callable], rounds: int, pictures: int) -> dict:
    "Pictures a second of eager PyTorch, and round by round how many times as fast the others are, whose vectors are the same."
    want = ways["eager"]()
    for other, way in ways.items():                                         # warm, and right
        far = (way() - want).norm(dim=-1).max() / want.norm(dim=-1).max()
        assert far < (.1 if "bfloat16" in other else 1e-3), (other, far)
    ratio = ratios(taken := interleave(ways, rounds), "eager")
    del ratio["eager"]
    speed = spread([pictures / t for t in taken["eager"]])
    print(f"{name}: eager {speed['median']:.1f} pictures/s; " + ", ".join(
        f"{n} {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for n, r in ratio.items()), flush=True)
    return dict(eager=speed, rounds=rounds, ratio=ratio)


def on_pixels(name: str, clip: FrozenCLIP, rounds: int, batches: int = 4) -> dict:
    "The towers alone, on batches of four."
    pixels = torch.stack([clip.preprocess(open_rgb(p)) for p in reference_photos()[:4]])
    clips = {"a batch a core": clip}
    for way, precision in (("openvino", "float32"), ("bfloat16", "bfloat16")):
        clips[way] = FrozenCLIP(clip.model, clip.tokenizer, clip.preprocess, clip.name, tower=openvino_tower(clip.model.visual, precision))

    def one_by_one():
        for _ in range(batches): found = clip.encode_images(pixels)[0]
        return found

    def side_by_side(way):
        return list(in_batches(lambda i: pixels, lambda some: way.encode_images(some[0])[0], range(batches), 1, True))[-1]

    ways = {"eager": one_by_one} | {way: partial(side_by_side, clip) for way, clip in clips.items()}
    return in_turn(name, ways, rounds, batches * len(pixels))


def on_photos(folder: Path, rounds: int) -> dict:
    "`predict` with the embedded CLIP, from files to scores."
    models = {name: TaIDPT(load_clip(device="cpu", engine=engine, precision=precision), COCO)
              for name, (engine, precision) in {"a batch a core": ("torch", "float32"), **WAYS}.items()}
    for model in models.values(): model.prompts_ = model.fresh_prompts()
    plain, paths = models["a batch a core"], list_pictures(folder)

    @torch.no_grad()
    def eager():
        "As one would write it first: decode four photos, then all cores on these."
        scorer, found = plain.scorer(), []
        for i in range(0, len(paths), 4):
            pixels = torch.stack([plain.clip.preprocess(open_rgb(p)) for p in paths[i:i + 4]])
            found.append(sum(scorer(*plain.clip.encode_images(pixels))) / 2)
        return torch.cat(found)

    ways = {"eager": eager} | {name: partial(model.predict, folder, progress=False) for name, model in models.items()}
    return in_turn("predict on photos", ways, rounds, len(paths))


def beside_float32(table: Path) -> dict:
    "What engines do to cosines, best tags and mAP of zero-shot CLIP with the embedded CLIP on labelled photos."
    data = read_labels(table, VOC2007.spelled_naturally(), table.with_name("images"))

    def predict(engine, precision):
        clip = load_clip(device="cpu", engine=engine, precision=precision)
        return ZeroShotCLIP(clip, data.classes).predict(data.pictures, progress=False).float() / clip.logit_scale

    plain, found = predict("torch", "float32"), {}
    for name, how in WAYS.items():
        scores = predict(*how)
        found[name] = dict(largest=(scores - plain).abs().max().item(), typical=(scores - plain).abs().median().item(),
                           same_tag=(scores.argmax(1) == plain.argmax(1)).float().mean().item(),
                           mAP=mean_average_precision(data.labels, scores))
    return dict(photos=len(data.pictures), mAP=mean_average_precision(data.labels, plain), engines=found)


def main(rounds: int = 9, photos: int = 144):
    warnings.filterwarnings("ignore")
    cases = {name: on_pixels(name, clip, rounds) for name, clip in (("embedded", load_clip(device="cpu")), ("RN50", rn50()))}
    with tempfile.TemporaryDirectory() as d:
        folder = copies(enlarge(reference_photos(), Path(d)/"once", .3), photos, Path(d)/"photos")      # 640 pixels on the long side
        cases["predict"] = on_photos(folder, rounds)
    figures = dict(cases=cases, photos=photos)
    if (table := SHARED/"voc2012_dev/labels.tsv").is_file():
        figures["scores"] = beside_float32(table)
        print(figures["scores"])
    record("engines", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
