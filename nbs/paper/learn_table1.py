"""Learn the prompts of `table1.ipynb`, and write their scores to `evidence/scores/table1.npz`:

    python learn_table1.py

For each data set prompts learn by the recipe of the paper, with their mAP after each epoch, and as
the embedded CLIP recommends. For Fig. 7 they learn from more and more captions. All have
three seeds."""
import tempfile
import warnings
from dataclasses import replace
from typing import NamedTuple

import torch
from taidpt.classes import ClassSet
from taidpt.clip import load_clip
from taidpt.encoders.store import FeatureStore
from taidpt.evaluate import measured
from taidpt.learner import TaIDPT
from taidpt.metrics import Measured, mean_average_precision
from taidpt.paper.published import RUNS
from taidpt.paper.study import Material, Run, centred
from taidpt.paper.table1 import fig7, table1
from taidpt.scores import fuse
from taidpt.texts import template_sentences
from taidpt.wrappers import Centred

from development import PAPER, VERSIONS
from evidence import Results, StoredStudy, photos, save_results

SEEDS = 1, 2, 3
SIZES = 0, 250, 1000, 4000                      # captions beside the templates
WAYS = {'as many epochs': False, 'as many steps': True}


class Place(NamedTuple):
    "A set of photos, and on how many of them a class is that counts"
    photos: str
    least: int


def on(study: StoredStudy, place: Place) -> StoredStudy:
    "The same study with these photos"
    def labelled(name): return photos(place.photos, ClassSet.published(name), place.least)
    return replace(study, photos=labelled)


VOC2012, COCO = Place('voc2012_dev', 10), Place('coco_dev', 5)
ROWS = {                                        # of Table 1 -> its classes, its photos
    'voc2007, VOC2012 photos': ('voc2007', VOC2012),
    'voc2007, VOC2012 test photos': ('voc2007', Place('voc2012_test', 10)),
    'voc2007, Flickr8k photos': ('voc2007', Place('flickr8k_test', 10)),
    **{f'{name}, COCO photos': (name, COCO) for name in RUNS}}

Curve = list[dict[str, dict[str, float]]]       # of each epoch: mAP by version and branch


def branch_maps(model: TaIDPT, seen: FeatureStore, labels: torch.Tensor) -> dict:
    "mAP of both branches together and of each, as published and centred"
    maps = {}
    for version, kind in (('as published', model), ('centred', Centred(model))):
        p, q = kind.predict_branches(seen, progress=False)
        scores = {'both': fuse(p, q), 'global': p, 'local': q}
        maps[version] = {branch: mean_average_precision(labels, score)
                         for branch, score in scores.items()}
    return maps


def learned(m: Material, seed: int, recipe: dict) -> tuple[TaIDPT, Curve]:
    "Prompts, and their mAP after each epoch"
    settings = m.run.settings(m.study.clip) | recipe | {'lr': m.run.lr}
    model = TaIDPT(m.study.clip, m.classes, seed=seed, **settings)
    texts = (m.train + template_sentences(m.classes)).texts
    seen = m.study.features(m.test)
    steps = max(1, len(texts)//model.recipe_for(len(texts)).batch_size)
    curve = []

    def note(model, step):
        if step % steps == 0: curve.append(branch_maps(model, seen, m.test.labels))

    features = m.study.sentence_features(texts)
    model.fit(m.train, val=note, features=features, progress=False)
    return model, curve


def by_paper(m: Material, models: list[TaIDPT]) -> dict[str, Measured]:
    "What prompts of each seed score, as published and centred, by method"
    results = {}
    for version, change in zip(VERSIONS, (lambda run: run, centred)):
        cells = [m.study.cell(m.test, change(Run(model))) for model in models]
        results[f'TaI{version}'] = measured(m.test, [cell.alone for cell in cells])
        results[f'TaI-DPT{version}'] = measured(m.test, [cell.both for cell in cells])
    return results


def table1_rows(study: StoredStudy, recipe: dict) -> tuple[Results, dict]:
    """Of each row results by recipe and method: zero-shot CLIP is the same in both. And curves
    and losses of each data set, seed and epoch"""
    results, models, facts = {}, {}, {'curves': {}, 'losses': {}}
    for row, (name, place) in ROWS.items():
        of_place = on(study, place)
        m = Material(of_place, name)
        if name not in models:
            runs = [learned(m, seed, recipe) for seed in study.seeds]
            models[name] = [model for model, _ in runs]
            facts['curves'][name] = [curve for _, curve in runs]
            facts['losses'][name] = [
                [epoch['loss'] for epoch in model.history_] for model in models[name]]
        tuned = {method: by for (_, method), by in table1(of_place, [name]).items()}
        paper = tuned | by_paper(m, models[name])
        results[row] = {('tuned', method): by for method, by in tuned.items()}
        results[row] |= {('paper', method): by for method, by in paper.items()}
        print(row, flush=True)
    return results, facts


def fig7_curves(study: StoredStudy, sizes: tuple[int, ...]) -> Results:
    "Of each set of photos and way to train, results by size and method"
    results = {}
    for photos_name, place in (('VOC2012', VOC2012), ('COCO', COCO)):
        for way, equal_steps in WAYS.items():
            by_size = fig7(on(study, place), sizes=sizes, equal_steps=equal_steps)
            part = f'fig7, {photos_name}, {way}'
            results[part] = {(size, method): by for (_, size, method), by in by_size.items()}
            print(part, flush=True)
    return results


def learn(study: StoredStudy, recipe=PAPER, sizes=SIZES) -> tuple[Results, dict]:
    results, facts = table1_rows(study, recipe)
    return results | fig7_curves(study, sizes), facts


def main():
    warnings.filterwarnings('ignore', 'mAP over')       # VOC2012's photos lack seven classes
    with tempfile.TemporaryDirectory() as folder:
        results, facts = learn(StoredStudy(load_clip(), folder, seeds=SEEDS))
    save_results('table1', results, **facts)


if __name__ == '__main__': main()
