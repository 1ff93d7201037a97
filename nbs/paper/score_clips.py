"""Scores of a miniature CLIP on three sets of photos:

    python score_clips.py NAME DATA [FOLDER]

NAME is `original`, the embedded CLIP, or a variant that `other_clips.py` has written into FOLDER.
DATA has the folders of photos that `build_evidence.py` names. The scores are stored in
`evidence/scores/clip_NAME.npz`.

Which differences count was written down here before the first of the new CLIPs was scored. They are
those of `CLAIMS`: each is the difference in mAP of two methods, as a mean over seeds and then over
the three sets of photos, one vote a set. The CLIPs are the random factor: `original`, `seed`,
`captions` and `tower` give four values of each difference, and a t distribution with three degrees
of freedom its interval and its p-value; Holm's correction counts all claims. The CLIP `gap` differs
in kind, and stands apart."""
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from taidpt.baselines.concepts import TextConcepts, TextLinear
from taidpt.classes import VOC2007, ClassSet
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.datasets.labelled import LabeledImages
from taidpt.encode import encode_images, encode_texts
from taidpt.encoders.store import FeatureStore
from taidpt.losses import LOSSES
from taidpt.metrics import Measured
from taidpt.nounfilter import NounFilter
from taidpt.predict import Model
from taidpt.text.captions import bundled_captions
from taidpt.texts import template_sentences
from taidpt.wrappers import Attended, Centred
from taidpt.zeroshot import ZeroShotCLIP

from controls import Untrained, label_sentences, permuted
from development import PAPER, joined
from evidence import FOLDER, photos
from sentence_prompts import drawn, learn_prompts

SEEDS = 0, 1, 2
RECIPES = {'': PAPER, ' †': {}}                     # † what the CLIP recommends
SIGMOID_LOSSES = 'bce', 'focal', 'asymmetric'
OTHER_LOSSES = *SIGMOID_LOSSES, 'pairs'              # beside Eq. 7, 'ranking'

CLAIMS = {                                  # name -> two methods, and the form of both
    'TaI-DPT over untrained prompts': ('TaI-DPT', 'untrained', 'centred'),
    'captions over permuted labels': ('TaI-DPT', 'permuted labels', 'centred'),
    'captions over label sentences †': ('TaI-DPT †', 'label sentences †', 'centred'),
    'TaI-DPT over zero-shot CLIP with DPT': ('TaI-DPT', 'zero-shot CLIP with DPT', 'centred')}
for form in ('raw', 'centred'):
    for loss in SIGMOID_LOSSES:                     # the paper's claim
        CLAIMS[f'Eq. 7 over {loss}, {form}'] = ('TaI-DPT', f'TaI-DPT, {loss}', form)
    CLAIMS[f'pairs over Eq. 7, {form}'] = ('TaI-DPT, pairs', 'TaI-DPT', form)


# Photos

def photo_sets(data: Path, classes: ClassSet) -> dict[str, LabeledImages]:
    "Three sets of photos, by their files; a class that few of them show has no label"
    coco = joined(photos('coco_dev', classes), photos('coco_demo', classes))
    coco.labels &= coco.labels.sum(0) >= 5
    sets = {
        'VOC2012': photos('voc2012_test', classes, 10),
        'COCO': coco,
        'Flickr8k': photos('flickr8k_test', classes, 10)}
    folders = [data/name/'images' for name in ('voc2012_test', 'coco_dev', 'coco_demo', 'flickr8k')]
    for labelled in sets.values():
        labelled.images = [file_of(image, folders) for image in labelled.images]
    return sets


def file_of(image: Path, folders: list[Path]) -> Path:
    "The file of this name in one of the folders"
    return next(folder/image.name for folder in folders if (folder/image.name).exists())


# Methods

def methods(clip: FrozenCLIP, classes: ClassSet) -> Iterator[tuple[str, int, Model]]:
    "Name, seed and model of each method; of one that draws nothing, seed 0"
    captions = drawn(NounFilter(classes).label(bundled_captions(), progress=False), 3000)
    templates = template_sentences(classes)
    sets = {'TaI-DPT': captions, 'permuted labels': permuted(captions),
            'label sentences': label_sentences(captions)}
    sets = {name: texts + templates for name, texts in sets.items()}
    features = {name: encode_texts(clip, texts.texts, progress=False)
                for name, texts in sets.items()}
    both, of_both = sets['TaI-DPT'], features['TaI-DPT']

    def learned(name: str, seed: int, **settings) -> Model:
        return learn_prompts(clip, sets[name], features[name], seed, **settings)

    for name, local in (('zero-shot CLIP', False), ('zero-shot CLIP with DPT', True)):
        yield name, 0, ZeroShotCLIP(clip, classes, local=local)
    concepts = TextConcepts(clip, classes, templates=False)
    yield 'concepts', 0, concepts.fit(both, features=of_both, progress=False)
    linear = TextLinear(clip, classes, loss='pairs').fit(both, features=of_both, progress=False)
    yield 'linear on pairs with attention', 0, Attended(linear, of_both)
    for seed in SEEDS:
        yield 'untrained', seed, Untrained(clip, classes, seed=seed).fit(both)
        for mark, recipe in RECIPES.items():
            for name in sets: yield name + mark, seed, learned(name, seed, **recipe)
        for loss in OTHER_LOSSES:
            yield f'TaI-DPT, {loss}', seed, learned('TaI-DPT', seed, loss=LOSSES[loss], **PAPER)


# Scores

def cosines(photos: FeatureStore, sentences: FeatureStore) -> list[float]:
    """Mean cosines between features of two photos, of two sentences, and of a photo and a sentence;
    and the distance between the means of both kinds"""
    means, among = [], []
    for store in (photos, sentences):
        f = F.normalize(store.global_.float(), dim=-1)
        n, mean = len(f), f.mean(0)
        means.append(mean)
        among.append((n*mean @ mean - 1)/(n - 1))           # but for each one with itself
    return [float(x) for x in (*among, means[0] @ means[1], (means[0] - means[1]).norm())]


def shown_classes(sets: dict[str, LabeledImages]) -> dict[str, torch.Tensor]:
    return {place: labelled.labels.any(0) for place, labelled in sets.items()}


def label_arrays(sets: dict[str, LabeledImages]) -> dict[str, np.ndarray]:
    "Labels of the classes that each set shows"
    shown = shown_classes(sets)
    return {f'{place}/labels': labelled.labels[:, shown[place]].numpy()
            for place, labelled in sets.items()}


def both_forms(model: Model, features: dict[str, FeatureStore], shown: dict[str, torch.Tensor]
               ) -> Iterator[tuple[str, str, np.ndarray]]:
    "A set of photos, raw or centred, and a model's scores of the classes that the set shows"
    for form, kind in (('raw', model), ('centred', Centred(model))):
        for place, store in features.items():
            scores = kind.predict(store, progress=False)[:, shown[place]]
            yield place, form, scores.half().numpy()


def scored(clip: FrozenCLIP, data: Path) -> dict[str, np.ndarray]:
    "Scores in half precision, by set of photos, method, form and seed, with labels and classes"
    classes = VOC2007.spelled_naturally()
    sets = photo_sets(data, classes)
    features = {place: encode_images(clip, labelled.images, progress=False)
                for place, labelled in sets.items()}
    sentences = encode_texts(clip, list(bundled_captions())[:3000], progress=False)
    arrays = {'cosines': np.array(cosines(features['Flickr8k'], sentences))}
    shown = shown_classes(sets)
    arrays |= label_arrays(sets)
    for place in sets:
        arrays[f'{place}/classes'] = np.array(classes.names)[shown[place].numpy()]
    for method, seed, model in methods(clip, classes):
        for place, form, scores in both_forms(model, features, shown):
            arrays[f'{place}/{method}/{form}/{seed}'] = scores
        print(f'{time.process_time():.0f} s of processor: {method}, seed {seed}', flush=True)
    return arrays


def main(name: str, data: Path, folder: Path | None = None):
    clip = load_clip(device='cpu') if name == 'original' else load_clip(folder/name, device='cpu')
    np.savez_compressed(file_of_scores(name), **scored(clip, data))


# What is read from them

def file_of_scores(name: str) -> Path: return FOLDER/'scores'/f'clip_{name}.npz'


def clip_results(name: str) -> dict[tuple[str, str, str], Measured]:
    "What a CLIP reaches by method, form and set of photos, with all seeds"
    return stored_results(file_of_scores(name))


def stored_results(path: Path) -> dict[tuple[str, ...], Measured]:
    """What a file of scores gives. An array `.../PLACE/METHOD/FORM/SEED` is a run of
    `(..., METHOD, FORM, PLACE)`"""
    runs, labels = {}, {}
    with np.load(path) as file:
        for key in file:
            if key.count('/') < 3: continue                         # no scores
            *case, place, method, form, _ = key.split('/')
            labels[place] = file[f'{place}/labels']
            run = file[key].astype(np.float32)
            runs.setdefault((*case, method, form, place), []).append(run)
    return {key: Measured(labels[key[-1]], scores) for key, scores in runs.items()}


if __name__ == '__main__': main(sys.argv[1], *map(Path, sys.argv[2:]))
