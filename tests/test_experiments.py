"""A result is what its inputs, its model and its code make of it, and it is there whole or not at
all."""
import json
import sys
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest
import torch
from factories import clip

from taidpt.all import (
    ClassSet, Ensemble, LabeledTexts, Model, NounFilter, TaIDPT, TextConcepts, TextLinear,
    Tiled, ZeroShotCLIP)
from taidpt.apps.cli import main
from taidpt.apps.cluster import ImageScorer
from taidpt.apps.report import UNTRAINED, evaluate_model
from taidpt.tags import calibrate
from taidpt.clip import load_clip, reference_photos
from taidpt.datasets.labelled import LabeledImages
from taidpt.paper.family import FAMILY, compare_family, family_cells
from taidpt.evaluate import own_method
from taidpt.files import progress_bar
from taidpt.paper.study import Material, Run, Study
from taidpt.paper.table1 import table1

PETS = ClassSet('pets', ['cat', 'dog'])
PHOTOS = reference_photos()[:4]
TEXTS = ['a cat', 'two dogs', 'a cat on a sofa', 'a dog and a cat']


def photos(images=tuple(PHOTOS)) -> LabeledImages:
    "Each shows one of two pets, so to speak"
    return LabeledImages(list(images), torch.eye(2).bool().repeat(len(images)//2, 1), PETS)


def texts(*labels) -> LabeledTexts: return LabeledTexts(TEXTS, torch.tensor(labels), PETS)


class Sums(Model):
    "Adds up the sentences of a class, and does not say whether it has learned"
    def fit(self, train, labels=None, features=None, progress=True):
        self.sums_ = train.labels.float().T @ torch.as_tensor(features.global_[:len(train)]).float()
        return self

    def embeddings(self): return self.sums_, self.sums_


# Cells

def scores_of(study, photos, train, kind) -> torch.Tensor:
    [cell] = family_cells(study, photos, train, {'Mine': kind})['Mine']
    return cell.both


def test_a_cell_is_of_what_was_learned(tmp_path):
    "Equal settings, other labels: other scores"
    study = Study(clip(), tmp_path)
    every = [texts([1, 0], [0, 1], [1, 0], [1, 1]), texts([0, 1], [1, 0], [0, 1], [1, 0])]
    for train in every:
        model = Sums(clip(), PETS).fit(train, features=study.sentence_features(TEXTS))
        expected = model.predict(PHOTOS, progress=False)
        cell = study.cell(photos(), Run(model))
        assert torch.allclose(cell.both, expected, atol=.02)
        assert torch.allclose(scores_of(study, photos(), train, Sums), expected, atol=.02)


def test_scores_that_are_no_number(tmp_path):
    "Are an error, and no image that could not be read"
    class Lost(Sums):
        def score_features(self, f, F): return [s*torch.nan for s in super().score_features(f, F)]
    with pytest.raises(ValueError, match='Lost gives NaN'):
        scores_of(Study(clip(), tmp_path), photos(), texts([1, 0], [0, 1], [1, 0], [1, 1]), Lost)


def test_a_row_says_its_limit(tmp_path):
    "So that a quick look is not taken for the whole; rows of both are kept"
    out = tmp_path/'results.csv'
    for limit in (12, 9, 12):
        options = {'only': ['zero-shot CLIP'], 'limit': limit, 'seeds': [1]}
        frame = compare_family(clip(), out=out, progress=False, **options)
        assert list(frame['method']) == [
            'zero-shot CLIP', 'zero-shot CLIP, relative', 'zero-shot CLIP, centred']
    rows = pd.read_csv(out)
    captions = {row.n_photos: row.captions for row in rows.itertuples()}
    assert captions == {12: 'COCO val2017, the first 12', 9: 'COCO val2017, the first 9'}
    assert len(rows) == 6


def test_a_row_is_of_one_preparation(tmp_path):
    "Of images by the same CLIP; rows of an older file, which does not say it, stay"
    out = tmp_path/'results.csv'
    options = {'only': ['zero-shot CLIP'], 'limit': 4, 'out': out, 'progress': False}
    squeezed = load_clip(device='cpu', crop=False)
    for one in (clip(), squeezed, clip()): compare_family(one, **options)
    rows = pd.read_csv(out)
    assert len(rows) == 6 and rows['preparation'].nunique() == 2
    older = rows[:2].drop(columns=['preparation', 'variant'])
    older['relative'] = [False, True]
    older.to_csv(out, index=False)
    compare_family(clip(), **options)
    both = pd.read_csv(out)
    assert list(both['preparation'].isna()) == [True]*2 + [False]*3
    assert list(both['variant'][:2]) == ['as published', 'relative']


# Methods of your own

SEEDED = '''
import torch
from taidpt.predict import Model
class Mine(Model):
    def __init__(self, clip, classes, seed=0):
        super().__init__(clip, classes)
        self.seed = seed
    def fit(self, train, labels=None, features=None, progress=True):
        print('seed', self.seed)
        return self
    def embeddings(self): return (torch.eye({dim})[[0, 1]],)*2
'''


def test_the_seeds_that_are_asked_for(tmp_path, capsys):
    "No other, and each once"
    (tmp_path/'mine.py').write_text(SEEDED.format(dim=clip().dim))
    line = 'reproduce family --classes person,car --limit 9 --seeds 4,5 --member'.split()
    only = '--only', 'zero-shot CLIP', '--out', tmp_path
    assert main([*line, f'{tmp_path}/mine.py:Mine', *only]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [text for text in out if text.startswith('seed ')] == ['seed 4', 'seed 5']


MINE = '''
import torch, rows_beside
from taidpt.predict import Model
class Mine(Model):
    def embeddings(self):
        return (torch.eye({dim})[[{rows}]],)*2
'''


def test_a_method_is_its_file(tmp_path):
    "Two files of one name and one class have two cells; a file may import what is beside it"
    study = Study(clip(), tmp_path/'out')
    every = texts([1, 0], [0, 1], [1, 0], [1, 1])
    for folder, rows in (('a', '0, 1'), ('b', '5, 9')):
        (tmp_path/folder).mkdir()
        (tmp_path/folder/'rows_beside.py').write_text('')
        path = tmp_path/folder/'mine.py'
        path.write_text(MINE.format(rows=rows, dim=clip().dim))
        kind = own_method(f'{path}:Mine')
        expected = kind(clip(), PETS).predict(PHOTOS, progress=False)
        assert torch.allclose(scores_of(study, photos(), every, kind), expected, atol=.02)
    assert len(list((tmp_path/'out'/'scores').iterdir())) == 2


BASE = '''
import torch
from taidpt.predict import Model
class Base(Model):
    def fit(self, train, features=None, progress=True):
        print('learns')
        h = torch.as_tensor(features.global_[:len(train)]).float()
        self.sums_ = {sign}(train.labels.float().T @ h)
        return self
    def embeddings(self): return self.sums_, self.sums_
'''
LOSS = '''
def loss(scores, labels):
    print('learns')
    return {sign}scores[labels].mean()
'''
METHODS = '''
from taidpt.all import TaIDPT
import base_beside, loss_beside
class Mine(base_beside.Base): pass
class Losing(TaIDPT):
    def __init__(self, clip, classes, loss=loss_beside.loss):
        super().__init__(clip, classes, 2, lr=1., epochs=1, loss=loss)
'''


@pytest.fixture
def compared(tmp_path, capsys):
    "A function that compares the methods of a file, and says whether any of them learned"
    def run(sign, out):
        for name, text in (('base_beside', BASE), ('loss_beside', LOSS), ('methods', METHODS)):
            (tmp_path/f'{name}.py').write_text(text.format(sign=sign))
            sys.modules.pop(name, None)                 # as in a program of its own
        members = [own_method(f'{tmp_path}/methods.py:{name}') for name in ('Mine', 'Losing')]
        frame = compare_family(
            clip(), classes=['person', 'car', 'dog'], limit=300, seeds=[1], member=members,
            only=['zero-shot CLIP'], out=tmp_path/out/'results.csv', progress=False)
        mine = frame[~frame['method'].str.startswith('zero-shot')]
        return dict(zip(mine['method'], mine['mAP'])), 'learns' in capsys.readouterr().out
    return run


def test_scores_are_of_the_code_as_it_is(compared, tmp_path):
    """A base class and a loss are changed, each in a file beside that of the methods: no number is
    that of the older code. An equal run learns nothing, and stores nothing."""
    before, learned = compared('-', 'one')
    stored = {file: file.stat().st_mtime_ns for file in (tmp_path/'one/scores').iterdir()}
    assert learned and len(before) == 4
    assert compared('-', 'one') == (before, False)
    assert stored == {file: file.stat().st_mtime_ns for file in (tmp_path/'one/scores').iterdir()}
    after, _ = compared('1*', 'one')
    fresh, _ = compared('1*', 'fresh')
    assert after == fresh and not set(after.values()) & set(before.values())


def tiles(clip, classes): return Tiled(TextConcepts(clip, classes))
def together(clip, classes):
    return Ensemble([TaIDPT(clip, classes, n_ctx=2, epochs=1), TextConcepts(clip, classes)])


def test_what_makes_a_model_is_a_row(tmp_path):
    """A class, a `partial` that wants no templates, or a function that wraps models; the scores
    are those of the model by itself"""
    prompts = partial(TaIDPT, n_ctx=2, epochs=1, templates=False)
    every = texts([1, 0], [0, 1], [1, 0], [1, 1])
    for new in TextLinear, prompts, tiles, together:
        model = new(clip(), PETS)
        learners = [model] if hasattr(model, 'fit') else model.children()
        for learner in learners: learner.fit(every, progress=False)
        expected = model.predict(PHOTOS, progress=False)
        study = Study(clip(), tmp_path)
        [cell] = family_cells(study, photos(), every, {'Mine': new}, [0])['Mine']
        assert torch.allclose(cell.both, expected, atol=.02), new


def test_a_partial_has_a_name(tmp_path):
    "That of its class with its arguments; a function has its own"
    frame = compare_family(
        clip(), classes=['person', 'car'], limit=99, seeds=[1], only=['zero-shot CLIP'],
        member=[partial(TextLinear, penalty=.1), tiles], out=tmp_path/'r.csv', progress=False)
    assert {'TextLinear(penalty=0.1)', 'tiles'} < {*frame['method']}
    with pytest.raises(ValueError, match='Tiled wraps a model: name a function'):
        compare_family(clip(), member=[Tiled])


# What takes long on whole data sets

def test_an_equal_command_computes_nothing(tmp_path, monkeypatch):
    "Not the labels of sentences, nor prompts, nor intervals; both show a bar"
    def table():
        study = Study(clip(), tmp_path, seeds=[1], limit=60, progress=True)
        table1(study, ['voc2007'])
        return json.loads((tmp_path/'table1.json').read_text())['rows']

    bars = []
    def bar(items=None, name='', progress=True, **options):
        if progress: bars.append(name)
        return progress_bar(items, name, progress, **options)
    for module in ('nounfilter', 'evaluate'):
        monkeypatch.setattr(f'taidpt.{module}.progress_bar', bar)

    def files(): return {file: file.stat().st_mtime_ns for file in tmp_path.rglob('*.safetensors')}

    rows, stored = table(), files()
    assert bars == ['labelling', 'intervals']
    for what in ('learner.TaIDPT.fit', 'nounfilter.NounFilter.label', 'metrics._bootstrap_ap'):
        monkeypatch.setattr(f'taidpt.{what}', pytest.fail)
    assert (table(), files()) == (rows, stored)


def test_labels_that_are_stored(tmp_path):
    "Are those of the noun filter, with the number of sentences that it dropped"
    captions = ['A cat.', 'Nothing.', 'Two dogs and a cat.', 'Nobody.']
    reader = NounFilter(ClassSet.published('voc2007').spelled_naturally(), rules='published')
    for _ in range(2):
        material = Material(Study(clip(), tmp_path), 'voc2007')
        material.captions = captions
        train, expected = material.train, reader.label(captions, progress=False)
        assert train.texts == expected.texts and torch.equal(train.labels, expected.labels)
        assert train.shares() == expected.shares()


# A table of images

@pytest.mark.parametrize('file', [str(PHOTOS[0]), 'memory://secret.jpg'])
def test_a_table_opens_no_other_file(file, tmp_path):
    path = tmp_path/'model.safetensors'
    ZeroShotCLIP(clip(), PETS).save(path)
    score = ImageScorer(str(path), 'skip', device='cpu')
    with pytest.raises(TypeError): score({'path': ['a.jpg'], 'bytes': [file]})


def test_a_column_holds_one_thing(tmp_path):
    path = tmp_path/'model.safetensors'
    ZeroShotCLIP(clip(), ['cat', 'image_path']).save(path)
    with pytest.raises(ValueError, match='its class image_path'):
        ImageScorer(str(path), device='cpu')


# Names

def test_a_method_has_one_name():
    "In the paper's tables and in reports"
    assert {*UNTRAINED} < {*FAMILY}
    for name in ('zero-shot CLIP with DPT', 'prompts on pairs', 'linear on pairs'):
        assert FAMILY[name](clip(), PETS).title == name


# Calibration

@pytest.mark.filterwarnings('ignore:On fewer than')
def test_thresholds_know_their_images(tmp_path):
    "By content: under another name, in another order; not others of the same number"
    model = ZeroShotCLIP(clip(), PETS)
    calibrate(model, PHOTOS, photos().labels, 'labels.tsv', progress=False)
    model.save(tmp_path/'m.safetensors')
    model = ZeroShotCLIP.load(tmp_path/'m.safetensors', clip())
    copies = [tmp_path/f'{i}.jpg' for i in range(4)]
    for copied, photo in zip(copies, reversed(PHOTOS)): copied.write_bytes(photo.read_bytes())
    for images, fitted in ((copies, ['mine']), (reference_photos()[4:8], [])):
        table = replace(photos(images), table='labels.tsv')
        evaluation = evaluate_model({'mine': model}, table, by_names=False, progress=False)
        assert evaluation.fitted == fitted
