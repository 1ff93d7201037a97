"""Scores of `what_matters.ipynb` that need the photos themselves, two side by side and in tiles, to
evidence/scores/from_pixels.safetensors: python build_pixels.py SHARED

SHARED/data/voc2012_dev/images and voc2012_test/images have the photos. Prompts are those that
`learn_settings.py` has stored."""
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from taidpt.classes import VOC2007
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.datasets.labelled import LabeledImages
from taidpt.encode import encode_images
from taidpt.encoders.images import open_rgb
from taidpt.files import save_tensors
from taidpt.predict import Model
from taidpt.scores import dense_scores, fuse
from taidpt.texts import template_sentences
from taidpt.wrappers import Centred
from taidpt.zeroshot import ZeroShotCLIP

from controls import Untrained
from evidence import FOLDER, photos
from learn_settings import RECIPES, SEEDS
from sentence_prompts import load_settings

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


def with_centred(methods: dict[str, list[Model]]) -> dict[str, list[Model]]:
    "Each method as published, and centred"
    versions = {}
    for name, models in methods.items():
        versions[f'{name}, as published'] = models
        versions[f'{name}, centred'] = [Centred(model) for model in models]
    return versions


def hits_on_pairs(clip: FrozenCLIP, methods: dict[str, list[Model]], tested: LabeledImages,
                  folder: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    "Pairs of photos, and by method the share of right halves for each pair, a mean over seeds"
    pairs = pairs_of(tested)
    pasted = [side_by_side(*(folder/tested.images[i] for i in pair)) for pair in pairs]
    _, U, _ = encode_images(clip, pasted, progress=False).batch(torch.arange(len(pairs)), 'cpu')
    labels = tested.labels.int().argmax(1)[torch.as_tensor(pairs)]
    hits = []
    for models in methods.values():
        of_runs = [right_halves(U, model.embeddings()[1], labels) for model in models]
        hits.append(np.mean(of_runs, 0))
    return pairs, hits


def main(data: Path):
    clip, classes = load_clip(device='cpu'), VOC2007.spelled_naturally()
    of_recipe = [load_settings(name, clip, classes, SEEDS)[0]['TaI-DPT'] for name in RECIPES]
    templates = template_sentences(classes)
    methods = with_centred({
        'TaI-DPT': of_recipe[0], 'zero-shot CLIP with DPT': [ZeroShotCLIP(clip, classes)],
        'untrained': [Untrained(clip, classes, seed=seed).fit(templates) for seed in SEEDS]})
    tested = photos('voc2012_dev', classes, 10)
    pairs, hits = hits_on_pairs(clip, methods, tested, data/'voc2012_dev'/'images')

    files = [data/'voc2012_test'/'images'/image for image in photos('voc2012_test', classes).images]
    models = [version for models in of_recipe for version in (models, list(map(Centred, models)))]
    flat = [model for of_version in models for model in of_version]
    parts = [best_of_tiles(clip, flat, files[i:i + 200]) for i in range(0, len(files), 200)]
    best = torch.stack([torch.cat(of_model) for of_model in zip(*parts)])
    best = best.unflatten(0, (len(RECIPES), 2, len(SEEDS)))         # recipe, version, seed, N, C

    save_tensors(
        FOLDER/'scores'/'from_pixels.safetensors',
        {'pairs': torch.from_numpy(pairs).short(), 'hits': torch.from_numpy(np.stack(hits)).half(),
         'tiles': best.half()},
        {'methods': [*methods], 'images': [image.name for image in files]})


if __name__ == '__main__': main(Path(sys.argv[1])/'data')
