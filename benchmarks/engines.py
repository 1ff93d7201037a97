"""The picture tower in PyTorch and in OpenVINO, in turn: pictures a second on pixels, and `predict` on a folder of photos of
COCO's size. "Eager" is PyTorch with all cores on one batch after another; `predict` and the engine take a batch a core. With
the table of labelled photos, also what bfloat16 does to scores, best tags and average precision.

    python benchmarks/engines.py [--rounds 9] [--photos 144]
"""
import argparse
import tempfile
import warnings
from pathlib import Path

import torch

from common import SHARED, bundled_paths, copies, interleave, record, rn50, spread
from pictures import enlarge
from taidpt.classes import COCO, VOC2007
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.datasets.labelled import read_labels
from taidpt.encoders.engines import openvino_tower
from taidpt.encoders.pictures import in_batches, list_pictures, open_rgb
from taidpt.learner import TaIDPT
from taidpt.metrics import mean_average_precision
from taidpt.zeroshot import ZeroShotCLIP

WAYS = {"torch bfloat16": ("torch", "bfloat16"), "openvino": ("openvino", "float32"), "bfloat16": ("openvino", "bfloat16")}


def in_openvino(clip: FrozenCLIP, precision: str) -> FrozenCLIP:
    "The same CLIP with its picture tower in OpenVINO."
    return FrozenCLIP(clip.model, clip.tokenizer, clip.preprocess, clip.name, tower=openvino_tower(clip.model.visual, precision))


def on_pixels(clip: FrozenCLIP, rounds: int, batches: int = 4) -> dict[str, list[float]]:
    "Seconds a picture of each way, in batches of four."
    size = clip.model.visual.image_size
    size = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    pixels = torch.randn(4, 3, *size)
    clips = {"a batch a core": clip, "openvino": in_openvino(clip, "float32"), "bfloat16": in_openvino(clip, "bfloat16")}
    want = clip.encode_images(pixels)[0]

    def one_by_one():
        for _ in range(batches): found = clip.encode_images(pixels)[0]
        return found

    def side_by_side(way):
        return list(in_batches(lambda i: pixels, lambda some: way.encode_images(some[0])[0], range(batches), 1, True))[-1]

    ways = {"eager": one_by_one} | {name: lambda way=way: side_by_side(way) for name, way in clips.items()}
    for name, way in ways.items():                                          # warm, and right
        far = (way() - want).norm(dim=-1).max() / want.norm(dim=-1).max()
        assert far < (.1 if name == "bfloat16" else 1e-3), (name, far)
    return {name: [t / batches / len(pixels) for t in times] for name, times in interleave(ways, rounds).items()}


def on_photos(folder: Path, rounds: int, photos: int) -> dict[str, list[float]]:
    "Seconds a photo of `predict` with the embedded CLIP, from files to scores."
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

    ways = {"eager": eager} | {name: lambda model=model: model.predict(folder, progress=False) for name, model in models.items()}
    want = eager()
    for name, way in ways.items(): assert (way() - want).abs().max() < (.1 if "bfloat16" in name else 1e-3), name
    return {name: [t / photos for t in times] for name, times in interleave(ways, rounds).items()}


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


def ratios(taken: dict[str, list[float]]) -> dict:
    "Pictures a second of eager PyTorch, and round by round how many times as fast the others are."
    eager = taken["eager"]
    return dict(eager=spread([1 / t for t in eager]), rounds=len(eager),
                ratio={n: spread([e / t for e, t in zip(eager, times)]) for n, times in taken.items() if n != "eager"})


def show(name: str, case: dict):
    print(f"{name}: eager {case['eager']['median']:.1f} pictures/s; " + ", ".join(
        f"{n} {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for n, r in case["ratio"].items()), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--photos", type=int, default=144)
    args, table = p.parse_args(), SHARED / "voc2012_dev/labels.tsv"
    warnings.filterwarnings("ignore")
    cases = {}
    for name, clip in {"embedded": load_clip(device="cpu"), "RN50": rn50()}.items():
        show(name, cases.setdefault(name, ratios(on_pixels(clip, args.rounds))))
    with tempfile.TemporaryDirectory() as d:
        folder = copies(enlarge(bundled_paths(), Path(d)/"once", .3), args.photos, Path(d)/"photos")      # 640 pixels on the long side
        show("predict on photos", cases.setdefault("predict", ratios(on_photos(folder, args.rounds, args.photos))))
    figures = dict(cases=cases, photos=args.photos)
    if table.is_file():
        figures["scores"] = beside_float32(table)
        print(figures["scores"])
    record("engines", figures)


if __name__ == "__main__": main()
