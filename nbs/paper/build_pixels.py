"""Scores of the page of statements that need the photos themselves, two side by side and in tiles,
to evidence/scores/from_pixels.safetensors: python build_pixels.py SHARED

SHARED/data/voc2012_dev/images has the photos."""
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from taidpt.classes import VOC2007
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.datasets.labelled import LabeledImages
from taidpt.encode import encode_images, encode_texts
from taidpt.encoders.images import open_rgb
from taidpt.files import save_tensors
from taidpt.predict import Model
from taidpt.scores import dense_scores, fuse
from taidpt.texts import template_sentences
from taidpt.wrappers import Centred
from taidpt.zeroshot import ZeroShotCLIP

from controls import Untrained
from evidence import FOLDER, photos
from sentence_prompts import learn_prompts, sample_of_captions

RATE = .1                   # of the ranking loss: the page finds it, on sentences held out


# Two photos side by side

def pairs_of(tested: LabeledImages) -> np.ndarray:
    "500 pairs of photos with a label each, another in each pair; their numbers, N × 2"
    single = (tested.labels.sum(1) == 1).nonzero()[:, 0].numpy()
    label = tested.labels.int().argmax(1)
    drawn = np.random.default_rng(0).choice(single, (2000, 2))
    return drawn[label[drawn[:, 0]] != label[drawn[:, 1]]][:500]


def side_by_side(*paths: Path) -> Image.Image:
    "Two photos, cut to half a square each, as one"
    both = Image.new('RGB', (224, 224))
    for k, path in enumerate(paths):
        both.paste(ImageOps.fit(open_rgb(path), (112, 224)), (112*k, 0))
    return both


def right_halves(U: torch.Tensor, L: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """For each pair the share of its two classes whose highest score is on their half.

    U: N × 49 × D, L: C × D, classes: N × 2"""
    maps = dense_scores(U, L).unflatten(1, (7, 7))
    ahead = maps[:, :, :3].amax((1, 2)) - maps[:, :, 4:].amax((1, 2))
    ahead = ahead.gather(1, classes).numpy()
    return ((ahead[:, 0] > 0).astype(float) + (ahead[:, 1] < 0))/2


# Tiles

def tiles(path: Path) -> list[Image.Image]:
    "Four overlapping parts of an image"
    image = open_rgb(path)
    w, h = (side/1.75 for side in image.size)
    corners = [(.75*w*x, .75*h*y) for y in (0, 1) for x in (0, 1)]
    return [image.crop(tuple(map(round, (x, y, x + w, y + h)))) for x, y in corners]


def best_of_tiles(clip: FrozenCLIP, models: Sequence[Model],
                  images: Sequence[Path]) -> list[torch.Tensor]:
    "For each model, scores of the images by their best tile, N × C"
    parts = []
    for image in images: parts += tiles(image)
    features = encode_images(clip, parts, progress=False)
    scores = []
    for model in models:
        branches = model.predict_branches(features)
        scores.append(fuse(*(s.unflatten(0, (-1, 4)).amax(1) for s in branches)))
    return scores


def main(images: Path):
    clip, classes = load_clip(device='cpu'), VOC2007.spelled_naturally()
    tested = photos('voc2012_dev', classes, 10)
    files = [images/image for image in tested.images]
    train, _ = sample_of_captions(classes)
    both = train + template_sentences(classes)
    features = encode_texts(clip, both.texts, progress=False)

    def learned(**settings):
        return [learn_prompts(clip, both, features, seed, **settings) for seed in (0, 1, 2)]

    methods = {
        'TaI-DPT': learned(scale=4., lr=RATE),
        'zero-shot CLIP with DPT': [ZeroShotCLIP(clip, classes)],
        'untrained, centred': [
            Centred(Untrained(clip, classes, seed=seed).fit(both)) for seed in (0, 1, 2)]}
    pairs = pairs_of(tested)
    pasted = [side_by_side(files[left], files[right]) for left, right in pairs]
    _, U, _ = encode_images(clip, pasted, progress=False).batch(torch.arange(len(pairs)), 'cpu')
    labels = tested.labels.int().argmax(1)[torch.as_tensor(pairs)]
    hits = []
    for models in methods.values():
        of_runs = [right_halves(U, model.embeddings()[1], labels) for model in models]
        hits.append(np.mean(of_runs, 0))

    scale_1 = learned(scale=1.)
    parts = [best_of_tiles(clip, scale_1, files[i:i + 200]) for i in range(0, len(files), 200)]
    best = torch.stack([torch.cat(of_model) for of_model in zip(*parts)])

    save_tensors(
        FOLDER/'scores'/'from_pixels.safetensors',
        {'pairs': torch.from_numpy(pairs).short(), 'hits': torch.from_numpy(np.stack(hits)).half(),
         'tiles': best.half()},
        {'methods': [*methods], 'rate': RATE})


if __name__ == '__main__': main(Path(sys.argv[1])/'data'/'voc2012_dev'/'images')
