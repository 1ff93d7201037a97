"""`predict` on a folder of photos beside the bare image encoder on pixels that are decoded.

    python benchmarks/images.py [rounds] [photos]
"""
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from common import Times, copies, interleave, record, rn50, spread, untrained
from PIL import Image

from taidpt.all import COCO
from taidpt.clip import reference_photos
from taidpt.encoders.images import as_images


def beside_the_encoder(folder: Path, rounds: int) -> Times:
    "Seconds of `predict` on files with RN50, and of the encoder alone on pixels, four at a time."
    model = untrained(rn50(), COCO)
    photos = [Image.open(path).convert("RGB") for path in as_images(folder)]
    pixels = torch.stack([model.clip.preprocess(photo) for photo in photos])

    @torch.no_grad()
    def bare():
        for batch in pixels.split(4): model.clip.model.encode_image(batch)

    def predict(): model.predict(folder, progress=False)

    bare()
    predict()
    return interleave(dict(bare=bare, predict=predict), rounds)


def main(rounds: int = 5, photos: int = 72):
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = copies(reference_photos(), photos, Path(name)/"photos")
        taken = beside_the_encoder(folder, rounds)
    took = {way: spread(times) for way, times in taken.items()}
    more = spread([p / b - 1 for p, b in zip(taken["predict"], taken["bare"])])
    print(f"{photos} photos: bare encoder {took['bare']['median']:.2f} s, "
          f"predict {took['predict']['median']:.2f} s, "
          f"{more['median']:+.1%} (from {more['low']:+.1%} to {more['high']:+.1%})")
    record("images", dict(
        photos=photos, size=[224, 224], rounds=rounds, seconds=took, overhead=more))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
