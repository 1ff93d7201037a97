"""`predict` on a folder of photos beside the bare image encoder on pixels that are decoded already. Then photos of 12
megapixels, decoded at a fraction of their size and whole: pictures a second by engine, and how far scores move, beside what
another filter would move them.

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
from PIL import Image
from torchvision.transforms import Compose, InterpolationMode, Resize

from common import copies, interleave, ratios, record, rn50, spread
from taidpt.all import COCO, FrozenCLIP, TaIDPT, ZeroShotCLIP, load_clip
from taidpt.encoders.pictures import list_pictures
from taidpt.tags import reference_photos


def beside_the_encoder(folder: Path, rounds: int) -> dict[str, list[float]]:
    "Seconds of `predict` on files with RN50, and of the encoder alone on pixels, four at a time."
    model = TaIDPT(rn50(), COCO)
    model.prompts_ = model.fresh_prompts()
    pixels = torch.stack([model.clip.preprocess(Image.open(p).convert("RGB")) for p in list_pictures(folder)])

    @torch.no_grad()
    def bare():
        for batch in pixels.split(4): model.clip.model.encode_image(batch)

    def predict(): model.predict(folder, progress=False)

    bare(), predict()
    return interleave(dict(bare=bare, predict=predict), rounds)


def enlarge(paths: list[Path], folder: Path, megapixels: float = 12) -> list[Path]:
    "Photos as a phone would take them: bicubically enlarged, with a little noise, as JPEG."
    folder.mkdir()
    noise = np.random.default_rng(0)
    for path in paths:
        photo = Image.open(path).convert("RGB")
        longer = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
        photo = photo.resize([round(longer * side) for side in photo.size], Image.Resampling.BICUBIC)
        pixels = np.asarray(photo) + noise.normal(0, 4, (photo.height, photo.width, 1)).astype(np.float32)
        Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(folder / path.name, quality=90)
    return list_pictures(folder)


def by_engine(folder: Path, rounds: int) -> dict[str, dict]:
    "Pictures a second of `predict` on large photos, decoded whole by PyTorch's side, or at a fraction, with either engine."
    clips = {"whole, torch": load_clip(device="cpu", draft=False), "torch": load_clip(device="cpu"),
             "openvino": load_clip(device="cpu", engine="openvino"), "bfloat16": load_clip(device="cpu", engine="openvino", precision="bfloat16")}
    ways = {name: partial(ZeroShotCLIP(clip, COCO).predict, folder, progress=False) for name, clip in clips.items()}
    for way in ways.values(): way()
    taken, n = interleave(ways, rounds), len(list_pictures(folder))
    return {name: dict(speed=spread([n / s for s in taken[name]]), ratio=r) for name, r in ratios(taken, "whole, torch").items()}


def moved_scores(clip: FrozenCLIP, folder: Path) -> dict[str, dict[str, float]]:
    "How far cosines of photos are from those of photos that are decoded whole and resized by CLIP's filter."
    side, steps = clip.preprocess.side, clip.preprocess.transform.transforms[1:]
    ways = {"whole": clip.preprocess.transform, "draft": clip.preprocess}
    ways |= {name: Compose([Resize(side, InterpolationMode(name)), *steps]) for name in ("lanczos", "box", "bilinear")}
    found = {name: ZeroShotCLIP(FrozenCLIP(clip.model, clip.tokenizer, way), COCO).predict(folder, progress=False) / clip.logit_scale
             for name, way in ways.items()}
    whole = found.pop("whole")
    return {name: dict(mean=(s - whole).abs().mean().item(), largest=(s - whole).abs().max().item(),
                       same_best=(s.argmax(1) == whole.argmax(1)).float().mean().item()) for name, s in found.items()}


def main(rounds: int = 5, photos: int = 72):
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as d:
        taken = beside_the_encoder(copies(reference_photos(), photos, Path(d)/"photos"), rounds)
        large = enlarge(reference_photos(), Path(d)/"once")
        size = sum(p.stat().st_size for p in large) / len(large)
        moved = moved_scores(load_clip(device="cpu"), Path(d)/"once")
        engines = by_engine(copies(large, photos, Path(d)/"large"), min(rounds, 3))
    more, took = spread([p / b - 1 for p, b in zip(taken["predict"], taken["bare"])]), {n: spread(t) for n, t in taken.items()}
    print(f"{photos} photos: bare encoder {took['bare']['median']:.2f} s, predict {took['predict']['median']:.2f} s, "
          f"{more['median']:+.1%} (from {more['low']:+.1%} to {more['high']:+.1%})")
    print(f"large photos: {json.dumps(dict(engines=engines, moved=moved))}")
    record("pictures", dict(photos=photos, size=[224, 224], rounds=rounds, seconds=took, overhead=more))
    record("large photos", dict(photos=photos, bytes=size, rounds=min(rounds, 3), engines=engines, moved=moved))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
