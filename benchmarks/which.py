"""Models of nbs/tutorials/bring_your_clip.ipynb's table: images a second beside RN50, here.

    python benchmarks/which.py [rounds] [images]

Weights are random, since the arithmetic is the same. RN50 and one other model are in memory at a
time and take turns. Timed are both kinds of features, f and F, of images that are prepared.
"""
import gc
import sys
from functools import partial

import pandas as pd
import torch
from open_clip.utils import to_2tuple
from torch import nn

from common import interleave, random_model, ratios, record, spread

from taidpt.encoders.image_tower import image_features
from taidpt.files import DATA

BASE = "RN50"


def laid_out(name: str) -> nn.Module:
    "A model as `FrozenCLIP` lays it out."
    model = random_model(name).eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last)


def encode(visual: nn.Module, images: int) -> partial:
    "A call that computes the features of so many images of the tower's own size."
    height, width = to_2tuple(visual.image_size)
    pixels = torch.randn(images, 3, height, width).contiguous(memory_format=torch.channels_last)
    return partial(torch.inference_mode()(image_features), visual, pixels)


def beside_base(name: str, base: nn.Module, rounds: int, images: int) -> dict:
    "Images a second of one model, and how many times as fast as the base it is."
    model = laid_out(name)
    ways = {BASE: encode(base.visual, images), name: encode(model.visual, images)}
    for way in ways.values(): way()                         # warm up
    taken = interleave(ways, rounds)
    return dict(
        speed=spread([images / seconds for seconds in taken[name]]),
        ratio=ratios(taken, BASE)[name])


def main(rounds: int = 5, images: int = 8):
    base = laid_out(BASE)
    results = {}
    for name in dict.fromkeys(pd.read_csv(DATA/"clips.csv", comment="#")["model"]):
        results[name] = case = beside_base(name, base, rounds, images)
        speed, ratio = case["speed"]["median"], case["ratio"]
        print(f"{name:20} {speed:6.2f} images a second; {ratio['median']:.2f} times RN50 "
              f"({ratio['low']:.2f} to {ratio['high']:.2f})", flush=True)
        gc.collect()
    record("which", dict(models=results, rounds=rounds, images=images))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
