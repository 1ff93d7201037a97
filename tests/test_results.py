"""A result is what its inputs, its model and its code make of it, and it is there whole or not at
all."""
import errno
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from taidpt.all import (
    ClassSet, FrozenCLIP, LabeledTexts, Predictor, ZeroShotCLIP, load_clip, tag)
from taidpt.apps import cluster
from taidpt.apps.cluster import label_files, score_files
from taidpt.apps.evaluation import evaluate_model
from taidpt.apps.report import figures_of, figures_text, write_report
from taidpt.tags import calibrate
from taidpt.clip import reference_photos
from taidpt.baselines import concepts
from taidpt.datasets.labelled import LabeledPictures, bundled_photos
from taidpt.metrics import Measured
from taidpt.paper.family import Comparison, compare, keep_results, own_method, read_results
from taidpt.paper.study import Study

PETS = ClassSet('pets', ['cat', 'dog'])
PHOTOS = reference_photos()[:4]
TEXTS = ['a cat', 'two dogs', 'a cat on a sofa', 'a dog and a cat']


@cache
def clip() -> FrozenCLIP: return load_clip(device='cpu')


def photos(pictures=tuple(PHOTOS)) -> LabeledPictures:
    "Each shows one of two pets, so to speak"
    return LabeledPictures(list(pictures), torch.eye(2).bool().repeat(len(pictures)//2, 1), PETS)


def texts(*labels) -> LabeledTexts: return LabeledTexts(TEXTS, torch.tensor(labels), PETS)


class Sums(Predictor):
    "Adds up the sentences of a class, and does not say whether it has learned"
    def fit(self, train, labels=None, features=None, progress=True):
        self.sums_ = train.labels.float().T @ torch.as_tensor(features.global_[:len(train)]).float()
        return self

    def embeddings(self): return self.sums_, self.sums_


# Cells

def test_a_cell_is_of_what_was_learned(tmp_path):
    "Equal settings, other labels: other scores"
    study = Study(clip(), tmp_path)
    every = [texts([1, 0], [0, 1], [1, 0], [1, 1]), texts([0, 1], [1, 0], [0, 1], [1, 0])]
    for train in every:
        model = Sums(clip(), PETS).fit(train, features=study.sentence_features(TEXTS))
        cell = study.cell('sums', photos(), model)
        assert torch.allclose(cell.both, model.predict(PHOTOS, progress=False), atol=.02)
        [kept] = Comparison(study, photos(), train, members={'Sums': new_sums}).scores('Sums')
        assert torch.allclose(kept, cell.both, atol=.02)


def new_sums(clip, classes, seed): return Sums(clip, classes)


def test_a_row_says_its_limit(tmp_path):
    "So that a quick look is not taken for the whole"
    out = tmp_path/'results.csv'
    for limit in (36, 30):
        compare(clip(), only='zero-shot CLIP', limit=limit, seeds=1, out=out, progress=False)
    told = {row.n_photos: row.captions for row in read_results(out)}
    assert told == {36: 'COCO val2017, the first 36', 30: 'COCO val2017, the first 30'}


def test_a_cell_needs_a_source(tmp_path):
    model = Sums(clip(), PETS)
    with pytest.raises(ValueError, match="cell 'mine': give a hash of what Sums learns from"):
        Study(clip(), tmp_path).cell('mine', photos(), model, lambda: model)


# Methods of your own

MINE = '''
import torch
from taidpt.predict import Predictor
class {name}(Predictor):
    def embeddings(self):
        return (torch.eye({dim})[[{rows}]],)*2
'''


def write_method(path: Path, name: str, rows: str) -> str:
    path.write_text(MINE.format(name=name, rows=rows, dim=clip().dim))
    return f'{path}:{name}'


def test_a_method_is_its_code(tmp_path):
    "Two files of one name and one class have two cells"
    study = Study(clip(), tmp_path/'out')
    every = texts([1, 0], [0, 1], [1, 0], [1, 1])
    for folder, rows in (('a', '0, 1'), ('b', '5, 9')):
        (tmp_path/folder).mkdir()
        kind = own_method(write_method(tmp_path/folder/'mine.py', 'Mine', rows))
        members = {'Mine': lambda clip, classes, seed, kind=kind: kind(clip, classes)}
        [kept] = Comparison(study, photos(), every, members=members).scores('Mine')
        expected = kind(clip(), PETS).predict(PHOTOS, progress=False)
        assert torch.allclose(kept, expected, atol=.02)


def test_a_method_takes_no_name_of_the_family(tmp_path):
    kind = own_method(write_method(tmp_path/'mine.py', 'TaI', '0, 1'))
    with pytest.raises(ValueError, match='TaI is the name of a method of the family'):
        compare(
            clip(), classes=['cat', 'dog'], member=kind, out=tmp_path/'results.csv',
            progress=False,
        )
    assert not (tmp_path/'results.csv').exists()


def test_a_method_is_run_from_its_file_alone(tmp_path, monkeypatch):
    "What else is in the folder is not run, unless the file imports it"
    (tmp_path/'stranger.py').write_text('raise SystemExit("run")')
    (tmp_path/'mine.py').write_text('')
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    for member in ('mine.py:Mine', 'stranger:Mine', 'gone.py:Mine', 'mine'):
        with pytest.raises(ValueError, match=r'write FILE\.py:CLASS'): own_method(member)
    assert sys.path == before


def test_a_file_imports_what_is_beside_it(tmp_path):
    "Its own folder's module, not that of the method before; and no file replaces Python's modules"
    before = list(sys.path)
    for folder in ('a', 'b'):
        (tmp_path/folder).mkdir()
        (tmp_path/folder/'beside_mine.py').write_text(f'NAME = {folder!r}')
        (tmp_path/folder/'colorsys.py').write_text('raise SystemExit("run")')
        (tmp_path/folder/'mine.py').write_text(
            'import beside_mine, colorsys\nclass Mine: name = beside_mine.NAME')
        assert own_method(f'{tmp_path/folder}/mine.py:Mine').name == folder
    assert sys.path == before


@pytest.mark.parametrize(('text', 'told'), [
    ('x = 1\ndef oops(:', r'mine\.py, line 2: invalid syntax'),
    ('\n\nimport nosuchpackage', r"mine\.py, line 3: ModuleNotFoundError: .*'nosuchpackage'"),
    ('import torn_beside', r'torn_beside\.py, line 1: ')])
def test_a_file_that_cannot_be_run_is_named_with_its_line(tmp_path, text, told):
    (tmp_path/'torn_beside.py').write_text('1 +')
    (tmp_path/'mine.py').write_text(text)
    with pytest.raises(ValueError, match=told): own_method(f'{tmp_path}/mine.py:Mine')


def test_a_changed_module_beside_a_method_is_another_cell(tmp_path):
    (tmp_path/'mine.py').write_text(
        'import torch\nimport rows_beside\nfrom taidpt.predict import Predictor\n'
        'class Mine(Predictor):\n'
        '    def embeddings(self):\n'
        '        return (torch.eye(self.clip.dim)[rows_beside.ROWS],)*2\n')
    study = Study(clip(), tmp_path/'out')
    every = texts([1, 0], [0, 1], [1, 0], [1, 1])
    for rows in ([0, 1], [5, 19]):
        (tmp_path/'rows_beside.py').write_text(f'ROWS = {rows}')
        kind = own_method(f'{tmp_path}/mine.py:Mine')
        members = {'Mine': lambda clip, classes, seed, kind=kind: kind(clip, classes)}
        [kept] = Comparison(study, photos(), every, members=members).scores('Mine')
        expected = kind(clip(), PETS).predict(PHOTOS, progress=False)
        assert torch.allclose(kept, expected, atol=.02)


# Rows of results

def test_rows_of_two_folders_of_one_name(tmp_path):
    "Same names, classes and labels, other pictures: two rows a method"
    path = tmp_path/'results.csv'
    study = Study(clip(), tmp_path)
    rows = []
    for folder, first in (('a', 0), ('b', 2)):
        (tmp_path/folder/'photos').mkdir(parents=True)
        files = [tmp_path/folder/'photos'/f'{i}.jpg' for i in range(2)]
        for file, photo in zip(files, PHOTOS[first:]): file.write_bytes(photo.read_bytes())
        found = Comparison(study, photos(files), texts([1, 0], [0, 1], [1, 0], [1, 1]))
        rows.append(found.row('zero-shot CLIP', False, 'photos', 'pets', 'few'))
        keep_results(path, rows[-1:])
    assert len(read_results(path)) == 2
    assert len(keep_results(path, rows)) == 2


# Files of scores and labels

@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path/'model.safetensors'
    ZeroShotCLIP(clip(), PETS).save(path)
    return path


@pytest.fixture
def pictures(tmp_path) -> Path:
    "Two tables of a picture each"
    folder = tmp_path/'pictures'
    folder.mkdir()
    for name, photo in zip('ab', PHOTOS):
        pq.write_table(pa.table({'image': [photo.read_bytes()]}), folder/f'{name}.parquet')
    return folder


def score(model, source, out, **how):
    return score_files(model, source, out, progress=False, clip={'device': 'cpu'}, **how)


def rows_in(folder: Path) -> dict[str, list]:
    return {
        path.name[0]: pq.read_table(path)['scores'].to_pylist() for path in sorted(folder.iterdir())
    }


@pytest.mark.parametrize('cell', [
    str(PHOTOS[0]), 'memory://secret.jpg', {'bytes': str(PHOTOS[0]), 'path': 'a.jpg'}, 5])
def test_a_table_opens_no_other_file(cell, model, pictures, tmp_path):
    good = None
    if isinstance(cell, dict): good = {'bytes': '', 'path': ''}
    pq.write_table(pa.table({'image': [good, cell]}), pictures/'b.parquet')
    with pytest.raises(ValueError, match=r'b\.parquet: row 2 of image holds .*write the bytes'):
        score(model, pictures, tmp_path/'out', on_error='skip')
    assert rows_in(tmp_path/'out').keys() == {'a'}


def test_a_path_beside_bytes_is_a_name(model, pictures, tmp_path):
    cell = {'bytes': b'', 'path': str(PHOTOS[0])}
    pq.write_table(pa.table({'image': [cell]}), pictures/'b.parquet')
    score(model, pictures, tmp_path/'out', on_error='skip')
    assert rows_in(tmp_path/'out')['b'] == [None]


def test_scores_by_another_clip_are_made_again(model, pictures, tmp_path):
    "The same file and settings, and other weights under the same name"
    score(model, pictures, tmp_path/'out')
    before = rows_in(tmp_path/'out')
    assert score(model, pictures, tmp_path/'out') == []
    other = load_clip(device='cpu')
    with torch.no_grad(): next(other.model.visual.parameters()).mul_(1.5)
    other = FrozenCLIP(other.model, other.tokenizer, other.preprocess, 'embedded')
    with mock.patch.object(cluster, 'load_clip', lambda **how: other), pytest.warns(UserWarning):
        assert len(score(model, pictures, tmp_path/'out')) == 2
    assert rows_in(tmp_path/'out') != before


def test_results_of_files_that_are_gone(model, pictures, tmp_path):
    "They go, and nothing else does"
    out = tmp_path/'out'
    score(model, pictures, out)
    score(model, pictures/'b.parquet', tmp_path/'other')
    foreign = {'f.parquet': pictures/'a.parquet', 'o.parquet': tmp_path/'other'/'b.parquet.parquet'}
    for name, file in foreign.items(): (out/name).write_bytes(file.read_bytes())
    (pictures/'b.parquet').unlink()
    with pytest.warns(UserWarning, match=r'no longer there: b\.parquet\.parquet'):
        assert score(model, pictures, out) == []
    assert {path.name for path in out.iterdir()} == {'a.parquet.parquet', *foreign}


def on_a_full_disk(table, path, write=pq.write_table, **how):
    "Write half of a result, and fail; a temporary file is written"
    if Path(path).stem == '.labels.part': return write(table, path, **how)
    Path(path).write_bytes(b'PAR1')
    raise OSError(errno.ENOSPC, 'No space left on device', str(path))


def test_a_full_disk_tears_no_result(tmp_path):
    "The one that was there stays, here and in a bucket, and no other file is left"
    source = tmp_path/'captions'
    source.mkdir()
    (source/'a.txt').write_text('a cat')
    for out in (tmp_path/'out', 'memory://labels-of-e'):
        label_files(PETS, source, out, progress=False)
        full = mock.patch.object(cluster.pq, 'write_table', on_a_full_disk)
        with full, pytest.raises(ValueError, match=r'a\.txt: .*[Nn]o space left'):
            label_files(['dog', 'cat'], source, out, progress=False)
    [whole] = (tmp_path/'out').iterdir()
    [there] = MemoryFileSystem().ls('/labels-of-e', detail=False)
    for kept in (whole, MemoryFileSystem().open(there)):
        assert pq.read_table(kept)['text'].to_pylist() == ['a cat']


def test_a_bucket_that_fails_keeps_no_part(tmp_path):
    (tmp_path/'a.txt').write_text('a cat')
    down = mock.patch.object(MemoryFileSystem, 'mv', side_effect=OSError('the network is down'))
    with down, pytest.raises(ValueError, match=r'a\.txt: the network is down'):
        label_files(PETS, tmp_path/'a.txt', 'memory://parts-of-e', progress=False)
    assert MemoryFileSystem().ls('/parts-of-e') == []


# What a model gains

ROWS = ['zero-shot CLIP', 'zero-shot with DPT', 'tag --classes']


def guesses(labels: torch.Tensor, noise: float, seed: int) -> torch.Tensor:
    "Scores that know the labels but for the noise"
    return labels + noise*torch.randn(labels.shape, generator=torch.Generator().manual_seed(seed))


def test_models_are_compared_on_the_same_draws():
    "Gains are those of the scores; a copy gains nothing, whatever is drawn"
    pictures = bundled_photos(['person', 'bicycle', 'chair'])
    one, other = (ZeroShotCLIP(clip(), pictures.classes, [t]) for t in ('a {}.', 'no {}.'))
    models = {'one': one, 'copy': one, 'other': other}
    found = evaluate_model(models, pictures, over='one', progress=False)
    methods = found.figures['methods']
    assert list(methods) == [*ROWS, *models]
    assert (methods['copy']['gain'], methods['copy']['gain_interval']) == (0, [0, 0])
    for name in (*ROWS, 'other'):
        measured = (Measured(pictures.labels, found.scores[n]) for n in (name, 'one'))
        value, *limits = next(measured).gain(next(measured))
        assert (methods[name]['gain'], methods[name]['gain_interval']) == (value, limits)
    assert found.gain('copy') == found.gain('one') and 'over one' in str(found)
    assert 'favours it' not in str(found)                 # one was not chosen by its mAP


def test_the_class_concepts_are_no_row_beside_themselves():
    pictures = bundled_photos(['person', 'bicycle'])[:8]
    model = concepts.ready_to_tag(clip(), pictures.classes, progress=False)
    assert list(evaluate_model(model, pictures, progress=False).models) == [*ROWS[:2], model.title]
    asked = evaluate_model(model, pictures, over='tag --classes', progress=False)
    assert list(asked.models) == [*ROWS, model.title] and asked.gain() == (0, 0, 0)


def test_better_is_said_over_the_strongest(tmp_path):
    "A model far above zero-shot CLIP, and perhaps no better than the class concepts"
    pictures = bundled_photos(['person', 'bicycle', 'chair'])
    y, path = pictures.labels, tmp_path/'report.html'
    scores = {'zero-shot CLIP': guesses(y, 9., 0), 'tag --classes': guesses(y, .7, 1)}
    model = ZeroShotCLIP(clip(), pictures.classes)
    both = (None, 'This may be chance:'), ('zero-shot CLIP', 'Better, beyond chance:')
    for named, said in both:
        write_report(path, model, pictures, scores | {'mine': guesses(y, .7, 2)}, over=named)
        page = path.read_text(encoding='utf-8')
        assert said in page and f'over {named or "tag --classes"}<' in page
        assert ('favours it' in page) == (named is None)


def test_tables_of_many_models_fit_the_terminal():
    pictures = bundled_photos(['person', 'bicycle', 'chair'])
    names = [*ROWS, *(f'prompts_of_tuesday_{i}' for i in range(6))]
    scores = {name: guesses(pictures.labels, 1., i) for i, name in enumerate(names)}
    models = dict.fromkeys(names, ZeroShotCLIP(clip(), pictures.classes))
    told = figures_text(figures_of(models, scores, pictures), 3)
    assert max(map(len, told.splitlines())) <= 100
    for name in names[3:]: assert told.count(name) >= 4         # in each table


# Thresholds, and tables of tags

@pytest.mark.filterwarnings('ignore:On fewer than')
def test_thresholds_know_their_pictures(tmp_path):
    "By content: under another name, in another order; not others of the same number"
    model = ZeroShotCLIP(clip(), PETS)
    calibrate(model, PHOTOS, photos().labels, 'labels.tsv', progress=False)
    model.save(tmp_path/'m.safetensors')
    model = ZeroShotCLIP.load(tmp_path/'m.safetensors', clip())
    copies = [tmp_path/f'{i}.jpg' for i in range(4)]
    for copied, photo in zip(copies, reversed(PHOTOS)): copied.write_bytes(photo.read_bytes())
    for pictures, fitted in ((copies, True), (reference_photos()[4:8], False)):
        table = replace(photos(pictures), table='labels.tsv')
        assert evaluate_model(model, table, progress=False).fitted == fitted


@pytest.mark.filterwarnings('ignore:No bundled caption')
def test_each_column_has_a_name_of_its_own(monkeypatch):
    monkeypatch.setattr(concepts, 'bundled_captions', lambda: ['a picture'])
    names = ['tags', 'picture', 'picture (class)']
    frame = tag(PHOTOS[:1], names, clip(), progress=False, as_frame=True)
    assert frame.columns.is_unique
    assert len(frame.columns) == 5
