"""`predict` on a folder of photos beside the bare image encoder on pixels that are decoded. Then
photos of 12 megapixels, decoded at a fraction of their size and whole: pictures a second by
engine, and how far scores move, beside what another filter would move them.

    python benchmarks/pictures.py [rounds] [photos]
"""
import json
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import Times, copies, interleave, ratios, record, rn50, spread, untrained
from PIL import Image
from torchvision.transforms import Compose, InterpolationMode, Resize

from taidpt.all import COCO, FrozenCLIP, ZeroShotCLIP, load_clip
from taidpt.encoders.pictures import list_pictures
from taidpt.clip import reference_photos


def beside_the_encoder(folder: Path, rounds: int) -> Times:
    "Seconds of `predict` on files with RN50, and of the encoder alone on pixels, four at a time."
    model = untrained(rn50(), COCO)
    photos = [Image.open(path).convert("RGB") for path in list_pictures(folder)]
    pixels = torch.stack([model.clip.preprocess(photo) for photo in photos])

    @torch.no_grad()
    def bare():
        for batch in pixels.split(4): model.clip.model.encode_image(batch)

    def predict(): model.predict(folder, progress=False)

    bare()
    predict()
    return interleave(dict(bare=bare, predict=predict), rounds)


def enlarge(paths: list[Path], folder: Path, megapixels: float = 12) -> list[Path]:
    "Photos as a phone would take them: bicubically enlarged, with a little noise, as JPEG."
    folder.mkdir()
    random = np.random.default_rng(0)
    for path in paths:
        photo = Image.open(path).convert("RGB")
        longer = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
        size = [round(longer * side) for side in photo.size]
        photo = photo.resize(size, Image.Resampling.BICUBIC)
        noise = random.normal(0, 4, (photo.height, photo.width, 1)).astype(np.float32)
        pixels = (np.asarray(photo) + noise).clip(0, 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / path.name, quality=90)
    return list_pictures(folder)


def by_engine(folder: Path, rounds: int) -> dict[str, dict]:
    """Pictures a second of `predict` on large photos, decoded whole by PyTorch's side, or at a
    fraction, with either engine."""
    load = partial(load_clip, device="cpu")
    clips = {
        "whole, torch": load(draft=False),
        "torch": load(),
        "openvino": load(engine="openvino"),
        "bfloat16": load(engine="openvino", precision="bfloat16"),
    }
    ways = {}
    for name, clip in clips.items():
        ways[name] = partial(ZeroShotCLIP(clip, COCO).predict, folder, progress=False)
    for way in ways.values(): way()
    taken = interleave(ways, rounds)
    photos = len(list_pictures(folder))
    found = {}
    for name, ratio in ratios(taken, "whole, torch").items():
        speed = spread([photos / s for s in taken[name]])
        found[name] = dict(speed=speed, ratio=ratio)
    return found


def moved_scores(clip: FrozenCLIP, folder: Path) -> dict[str, dict[str, float]]:
    """How far cosines of photos are from those of photos that are decoded whole and resized by
    CLIP's filter."""
    def cosines(preprocess):
        model = ZeroShotCLIP(FrozenCLIP(clip.model, clip.tokenizer, preprocess), COCO)
        return model.predict(folder, progress=False) / clip.logit_scale

    side = clip.preprocess.side
    steps = clip.preprocess.transform.transforms[1:]
    ways = {"draft": clip.preprocess}
    for name in ("lanczos", "box", "bilinear"):
        ways[name] = Compose([Resize(side, InterpolationMode(name)), *steps])
    whole = cosines(clip.preprocess.transform)
    found = {}
    for name, way in ways.items():
        scores = cosines(way)
        moved = (scores - whole).abs()
        same = scores.argmax(1) == whole.argmax(1)
        found[name] = dict(
            mean=moved.mean().item(), largest=moved.max().item(),
            same_best=same.float().mean().item())
    return found


def main(rounds: int = 5, photos: int = 72):
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        taken = beside_the_encoder(copies(reference_photos(), photos, folder/"photos"), rounds)
        large = enlarge(reference_photos(), folder/"once")
        size = sum(path.stat().st_size for path in large) / len(large)
        moved = moved_scores(load_clip(device="cpu"), folder/"once")
        few = min(rounds, 3)
        engines = by_engine(copies(large, photos, folder/"large"), few)
    took = {way: spread(times) for way, times in taken.items()}
    more = spread([p / b - 1 for p, b in zip(taken["predict"], taken["bare"])])
    print(f"{photos} photos: bare encoder {took['bare']['median']:.2f} s, "
          f"predict {took['predict']['median']:.2f} s, "
          f"{more['median']:+.1%} (from {more['low']:+.1%} to {more['high']:+.1%})")
    print(f"large photos: {json.dumps(dict(engines=engines, moved=moved))}")
    record("pictures", dict(
        photos=photos, size=[224, 224], rounds=rounds, seconds=took, overhead=more))
    record("large photos", dict(
        photos=photos, bytes=size, rounds=few, engines=engines, moved=moved))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
