"""The folder `evidence`: features and labels of the photos that the paper's pages run on, scores
that studies have measured, and prompts from captions that may not be here. `build_evidence.py`
makes the first, `make studies` the scores."""
import json
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from taidpt.classes import ClassSet, as_classset
from taidpt.datasets.labelled import LabeledImages
from taidpt.encoders.store import FeatureStore
from taidpt.files import atomic_write, load_tensors
from taidpt.metrics import DRAWS, Interval, Measured
from taidpt.paper.study import Study

FOLDER = Path(__file__).parent/'evidence'


# Photos and their features

@cache
def photo_table(name: str) -> pd.DataFrame:
    "A set of photos: file name, width and height, and the classes that each shows, by class set"
    return pd.read_csv(FOLDER/'photos'/f'{name}.tsv', sep='\t', keep_default_na=False)


def class_columns(labels: pd.Series, classes: ClassSet) -> torch.Tensor:
    "Names with commas between as a matrix, N × C bool"
    shown = labels.str.get_dummies(',')
    shown = shown.reindex(columns=as_classset(classes.name).names, fill_value=0)
    return torch.tensor(shown.to_numpy(bool))


def photos(name: str, classes: ClassSet, min_photos: int = 1, labels: str = '',
           split: str = '') -> LabeledImages:
    """The photos of a set; a class that fewer than `min_photos` show has no label.

    `labels` is the column of labels, by default that of the class set; `split` is one of
    Flickr8k's."""
    table = photo_table(name)
    if split: table = table[table['split'] == split]
    labelled = LabeledImages(
        [Path(image) for image in table['image']],
        class_columns(table[labels or classes.name], classes), classes)
    labelled.labels = labelled.labels & (labelled.labels.sum(0) >= min_photos)
    return labelled


@cache
def stored_codes() -> tuple[dict[str, torch.Tensor], dict]:
    """Codes of all photos, and what they are: for each photo f and then F, 50 vectors in steps of
    their own along 128 principal axes"""
    return load_tensors(FOLDER/'features.safetensors')


def image_features(images: Sequence[Path]) -> FeatureStore:
    "Features of photos by their file names"
    return features_by_name(tuple(Path(image).name for image in images))


@lru_cache(2)
def features_by_name(names: tuple[str, ...]) -> FeatureStore:
    "The same; of the last two sets of photos they are kept"
    stored, metadata = stored_codes()
    row = {image: i for i, image in enumerate(metadata['images'])}
    rows = [row[name] for name in names]
    components = stored['codes'][rows].float()*stored['steps'][rows].float()[..., None]
    vectors = F.normalize(stored['mean'] + components @ stored['axes'], dim=-1).half()
    f, places = vectors[:, 0], vectors[:, 1:]                       # N × 256, N × 49 × 256
    offsets = torch.arange(len(f) + 1)*places.shape[1]
    return FeatureStore(f, places.flatten(0, 1), offsets, **metadata['recipe'])


class StoredStudy(Study):
    "A study whose photos are known by their stored features"
    def features(self, images, clip=None, on_error='raise'):
        return image_features(images.images)


# Scores of the authors' models, and labels by their code

def authors_scores() -> dict[str, np.ndarray]:
    """Of VOC2007's test set, 4,952 × 20: `labels` (1, 0 = difficult, -1), `taidpt_global`,
    `taidpt_local` and `dualcoop_local`"""
    tensors, _ = load_tensors(FOLDER/'voc2007_authors.safetensors')
    return {name: t.float().numpy() if t.is_floating_point() else t.numpy()
            for name, t in tensors.items()}


def published_labels(name: str) -> np.ndarray:
    "What the published code labels the bundled captions, in their order: 24,373 × C, bool"
    with np.load(FOLDER/f'published_labels_{name}.npz') as z:
        return np.unpackbits(z['labels'], axis=1)[:, :len(z['classes'])].astype(bool)


# Differences with intervals

class Cases:
    "A share of cases in percent, over a base: as `Measured` in a contrast"
    def __init__(self, hits: np.ndarray, base: float = 0.):         # N, from 0 to 1
        self.runs = np.float16(hits - base).astype(float)[None, :, None]
        self.labels = np.zeros((len(hits), 0), bool)
        self.map_by_run = [100*self.runs.mean()]

    @cached_property
    def drawn(self) -> np.ndarray:
        hits = self.runs[0, :, 0]
        return 100*np.random.default_rng(0).choice(hits, (DRAWS, len(hits))).mean(1)


class Contrast(Interval):
    "A weighted sum of mAPs with its interval, in joint draws of photos and runs"
    terms: 'list[tuple[float, Measured | Cases]]'

    @classmethod
    def of(cls, *terms: 'tuple[float, Measured | Cases]') -> 'Contrast':
        value = sum(weight*np.mean(measured.map_by_run) for weight, measured in terms)
        drawn = sum(weight*measured.drawn for weight, measured in terms)
        contrast = cls(*Interval.of_draws(value, drawn, lowest=-100))
        contrast.terms = [*terms]
        return contrast

    def seed_variance(self) -> float:
        "The part of the variance that comes from the seeds, whose mean it is of"
        by_seed = sum(weight*np.array(measured.map_by_run) for weight, measured in self.terms)
        return by_seed.var(ddof=1)/len(by_seed) if len(by_seed) > 1 else 0.

    def seeds_dominate(self) -> bool:
        "Whether seeds move the mean more than photos do: three seeds make the interval too narrow"
        error = (self.high - self.low)/2/1.96
        return self.seed_variance() > error**2/2

    def __neg__(self): return Contrast.of(*((-weight, measured) for weight, measured in self.terms))

    def __sub__(self, other): return Contrast.of(*self.terms, *(-other).terms)


def gain(more: Measured, less: Measured) -> Contrast:
    "The gain in mAP of one over another"
    return Contrast.of((1, more), (-1, less))


# Results of a study: what it measured, by name

Key = str | tuple
Results = dict[str, dict[Key, Measured]]            # by part of the study, and name


def save_results(study: str, results: Results, **facts):
    """Store what a study measured in `scores/STUDY.npz`: scores in half precision, of the classes
    that a photo shows. `facts` are whatever else JSON can hold."""
    arrays, index, places = {}, [], {}
    for part, by_name in results.items():
        for name, measured in by_name.items():
            shown = measured.labels.any(0)
            labels = measured.labels[:, shown]
            place = places.setdefault((labels.shape, labels.tobytes()), f'labels {len(places)}')
            arrays[place] = labels
            arrays[f'scores {len(index)}'] = bytes_apart(measured.runs[:, :, shown])
            classes = [str(name) for name, yes in zip(measured.names, shown) if yes]
            index.append([part, name, place, classes])
    arrays['index'] = json.dumps({'results': index, 'facts': facts}, ensure_ascii=False)
    with atomic_write(FOLDER/'scores'/f'{study}.npz') as unfinished, unfinished.open('wb') as file:
        np.savez_compressed(file, **arrays)


@cache
def results_of(study: str) -> tuple[Results, dict]:
    "What a study stored, and its facts"
    with np.load(FOLDER/'scores'/f'{study}.npz') as file:
        index = json.loads(str(file['index']))
        results = {}
        for i, (part, name, place, classes) in enumerate(index['results']):
            key = tuple(name) if isinstance(name, list) else name
            runs = bytes_together(file[f'scores {i}'])
            results.setdefault(part, {})[key] = Measured(file[place], runs, classes)
    return results, index['facts']


def bytes_apart(scores: np.ndarray) -> np.ndarray:
    "The low and the high bytes of scores in half precision: apart they take a fifth less in a file"
    halves = np.ascontiguousarray(scores, np.float16)
    return np.moveaxis(halves.view(np.uint8).reshape(*halves.shape, 2), -1, 0)


def bytes_together(planes: np.ndarray) -> np.ndarray:
    "The scores again, in single precision"
    halves = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view(np.float16)
    return halves[..., 0].astype(np.float32)
