"""The folder `evidence`: features and labels of the photos that the paper's pages run on, scores
behind their intervals, and prompts from captions that may not be here. `build_evidence.py` makes
it."""
import json
import os
from collections.abc import Mapping, Sequence
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
from taidpt.paper.study import Study, draw

FOLDER = Path(__file__).parent/'evidence'

# The tests run each page on a slice: one seed, two epochs, few photos and sentences. Nothing that
# a slice computes is stored.
SLICE = 'TAIDPT_SLICE' in os.environ


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
    Flickr8k's. Of a slice, a draw of 100 photos, and of classes on two."""
    table = photo_table(name)
    if split: table = table[table['split'] == split]
    labelled = LabeledImages(
        [Path(image) for image in table['image']],
        class_columns(table[labels or classes.name], classes), classes)
    if SLICE and not split:
        labelled = labelled[draw(len(labelled), 100)]
        min_photos = min(min_photos, 2)
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


# Scores behind intervals

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
    "A weighted sum of mAPs with its interval, from scores in half precision, as they are stored"
    terms: 'list[tuple[float, Measured | Cases]]'

    @classmethod
    def of(cls, *terms: 'tuple[float, Measured | Cases]') -> 'Contrast':
        halves = [(weight, in_half_precision(measured)) for weight, measured in terms]
        value = sum(weight*np.mean(m.map_by_run) for weight, m in halves)
        drawn = sum(weight*m.drawn for weight, m in halves)
        contrast = cls(*Interval.of_draws(value, drawn, lowest=-100))
        contrast.terms = halves
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


@cache
def in_half_precision(measured: 'Measured | Cases') -> 'Measured | Cases':
    "The same with scores that a half float holds, which are those that are stored"
    runs = measured.runs.astype(np.float16).astype(np.float32)
    if np.array_equal(runs, measured.runs): return measured
    return Measured(measured.labels, runs, measured.names, measured.draws)


def gain(more: Measured, less: Measured) -> Contrast:
    "The gain in mAP of one over another"
    return Contrast.of((1, more), (-1, less))


class ScoreFile:
    """Contrasts of a page by cell and name, with the scores that they are of. A column, the scores
    of one class in one run, is stored once."""
    def __init__(self):
        self.columns = {}           # number of photos -> bytes of a column -> its place
        self.measured = {}          # id -> place, description, and what keeps the id in use
        self.cells = {}             # cell -> name -> (weight, place of what was measured)

    def places_of(self, matrix: np.ndarray) -> list[int]:
        "The place of each column"
        places = self.columns.setdefault(len(matrix), {})
        columns = [column.tobytes() for column in matrix.T.astype(np.float16)]
        return [places.setdefault(column, len(places)) for column in columns]

    def add(self, cell: str, numbers: dict[str, Contrast]):
        self.cells[cell] = {}
        for name, contrast in numbers.items():
            terms = [(weight, self.add_measured(m)) for weight, m in contrast.terms]
            self.cells[cell][name] = terms

    def add_measured(self, measured: Measured) -> int:
        if id(measured) not in self.measured:
            labels, runs = measured.labels, measured.runs
            if isinstance(measured, Measured):
                shown = labels.any(0)                       # only these classes count
                labels, runs = labels[:, shown], runs[:, :, shown]
            description = {'photos': len(labels), 'labels': self.places_of(labels),
                           'runs': [self.places_of(scores) for scores in runs]}
            self.measured[id(measured)] = len(self.measured), description, measured
        return self.measured[id(measured)][0]

    def write(self, page: str):
        arrays = {}
        for count, places in self.columns.items():
            columns = np.stack([np.frombuffer(column, np.float16) for column in places])
            arrays[str(count)] = bytes_apart(columns)
        measured = [description for _, description, _ in self.measured.values()]
        index = json.dumps({'cells': self.cells, 'measured': measured})
        with atomic_write(FOLDER/'scores'/f'{page}.npz') as part, part.open('wb') as file:
            np.savez_compressed(file, index=index, **arrays)


def bytes_apart(columns: np.ndarray) -> np.ndarray:
    "The low and the high byte of half floats, K × N -> 2 × K × N: apart they take a fifth less"
    return columns.view(np.uint8).reshape(*columns.shape, 2).transpose(2, 0, 1).copy()


def bytes_together(planes: np.ndarray) -> np.ndarray:
    "The half floats again"
    return np.ascontiguousarray(planes.transpose(1, 2, 0)).view(np.float16)[:, :, 0]


@cache
def score_file(page: str) -> tuple[dict, dict[str, np.ndarray]]:
    "What a page stored: its contrasts by cell and name, and columns by the number of photos"
    with np.load(FOLDER/'scores'/f'{page}.npz') as file:
        index = json.loads(str(file['index']))
        return index, {name: bytes_together(file[name]) for name in file if name != 'index'}


@cache
def stored_measured(page: str, place: int) -> 'Measured | Cases':
    "One of the things that a page measured"
    index, columns_of = score_file(page)
    description = index['measured'][place]
    columns = columns_of[str(description['photos'])]
    runs = [columns[run].T.astype(np.float32) for run in description['runs']]
    if not description['labels']: return Cases(runs[0][:, 0])
    labels = columns[description['labels']].T > 0
    return Measured(labels, runs, draws=20 if SLICE else DRAWS)


class StoredNumbers(Mapping):
    "Contrasts of a cell of a page by name, each computed from its scores when it is asked for"
    def __init__(self, page: str, cell: str):
        index, _ = score_file(page)
        self.page = page
        self.terms = index['cells'][cell]

    def __getitem__(self, name: str) -> Contrast:
        terms = self.terms[name]
        return Contrast.of(*((weight, stored_measured(self.page, i)) for weight, i in terms))

    def __iter__(self): return iter(self.terms)
    def __len__(self): return len(self.terms)
