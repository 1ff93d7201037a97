"""`taidpt reproduce` on the real layouts in miniature; the tables' pages run them on the bundled
data."""
import copy
import json
import shutil
from unittest import mock

import nbformat
import pytest
from conftest import ROOT
from taidpt.apps.cli import main
from taidpt.all import CoOp, DualCoOp, load_clip
from fake_datasets import write_miniature
from taidpt.encoders.openclip import Prepared
from taidpt.paper.pictures import cropped
from taidpt.paper.published import DUALCOOP, METHODS, PUBLISHED_MAP
from taidpt.paper.reproduce import TABLES, reproduce
from taidpt.paper.study import Material

BOTH_VERSIONS = *METHODS, *(f'{method}, centred' for method in METHODS)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """The layouts of the data sets in miniature; one image is gone from Flickr, and one is
    something else"""
    d = tmp_path_factory.mktemp('data')/'sets'
    write_miniature(d, captions=200)
    gone, broken = sorted((d/'NUSWIDE/Flickr').rglob('*.jpg'))[3:5]
    gone.unlink()
    broken.write_bytes(b'not an image')
    return d


@pytest.fixture
def table(data, tmp_path, monkeypatch):
    """A function that runs the command with one seed, one share of labels and few epochs, and gives
    the table as JSON after a look at its Markdown"""
    monkeypatch.setattr('taidpt.paper.pictures.SHARES', (.9,))
    monkeypatch.setattr('taidpt.paper.pictures.coop_epochs', lambda shots: 2)

    def run(what, *more):
        line = f'reproduce {what} --data {data} --seeds 1 --out {tmp_path}'
        assert main([*line.split(), *more]) == 0
        got = json.loads((tmp_path/f'{what}.json').read_text())
        text = (tmp_path/f'{what}.md').read_text()
        assert text.startswith(f'# {got["title"]}\n') and text.count('\n| ') == len(got['rows']) + 2
        for r in got['rows']:
            assert r['seeds'] == len(r['values'])
            assert 0 <= r['mAP'] <= 100 if r['values'] else r['published']
        return got
    return run


def test_table1_from_the_data_sets(table, tmp_path, monkeypatch):
    """Twelve rows, and twelve centred ones; all that they should be cited with; two images of
    NUS-WIDE are counted as missing"""
    got = table('table1')
    assert [(r['data'], r['method']) for r in got['rows']] == [
        (d, m) for d in ('voc2007', 'coco', 'nuswide') for m in BOTH_VERSIONS
    ]
    assert not any('published' in r for r in got['rows'])
    assert list(got['about']['data']) == ['voc2007', 'coco', 'nuswide']
    encoded = list((tmp_path/'features').glob('images-*'))
    assert len(encoded) == 3  # once for all epochs and seeds
    assert any('2 images were missing' in n for n in got['notes'])
    min((tmp_path/'scores').glob('*')).unlink()  # measured again, from the kept prompts
    # as with the published CLIP on all of the data
    monkeypatch.setattr(Material, 'published', True)
    monkeypatch.setattr('taidpt.clip.image_features', None)
    for before, r in zip(got['rows'], table('table1')['rows'], strict=True):
        printed = PUBLISHED_MAP.get((r['data'], r['method']))
        if printed is None:                             # the centred ones
            assert {key: r[key] for key in before} == before
        else:
            assert r == before | {
                'published': printed, 'difference': pytest.approx(r['mAP'] - printed)}


def test_table1_of_the_data_sets_that_are_there(data, tmp_path, capsys):
    """VOC2007 alone: what the others lack is told once, before the work; nothing is left out of
    those that are named, and without any the error has it all"""
    sets = tmp_path/'data'
    shutil.copytree(data/'VOCdevkit', sets/'VOCdevkit')
    captions = sets/'COCO/annotations/captions_train2017.json'
    captions.parent.mkdir(parents=True)
    shutil.copy(data/'COCO/annotations'/captions.name, captions)
    line = f'reproduce table1 --data {sets} --limit 36 --seeds 1 --out {tmp_path}'.split()

    assert main(line) == 0
    [coco, nuswide] = capsys.readouterr().err.splitlines()
    assert 'leaves out coco: ' in coco and 'instances_val2014.json' in coco
    assert 'leaves out nuswide: ' in nuswide
    assert 'Concepts81.txt' in nuswide and 'open_images_train_v6_captions.jsonl' in nuswide
    got = json.loads((tmp_path/'table1.json').read_text())
    rows = [(row['data'], row['method']) for row in got['rows']]
    assert rows == [('voc2007', method) for method in BOTH_VERSIONS]
    assert 'Left out, as the folder lacks files of them: coco, nuswide.' in got['notes']

    assert main([*line, '--datasets', 'voc2007,coco']) == 1
    assert 'error: MS-COCO val2014 needs what is not there' in capsys.readouterr().err
    captions.unlink()
    assert main(line) == 1
    error = capsys.readouterr().err
    for file in captions.name, 'instances_val2014.json', 'Concepts81.txt', '_v6_captions.jsonl (':
        assert error.count(file) == 1


def test_runs_that_others_sent(table, tmp_path, monkeypatch):
    "As the command writes them: mean of a seed that two files have; another CLIP does not count"
    monkeypatch.syspath_prepend(ROOT/'nbs/paper')
    from reproduced import sent_runs
    sent = tmp_path/'sent'
    sent.mkdir()
    line = 'table1', '--datasets', 'voc2007', '--limit', '36', '--seeds', '1,2'
    (sent/'one.json').write_text(json.dumps(table(*line)))
    with pytest.raises(ValueError, match="one.json has no data set with OpenAI's RN50"):
        sent_runs(sent)

    monkeypatch.setattr(Material, 'published', True)       # as with RN50 on all of the data
    one = table(*line)
    two = copy.deepcopy(one)
    two['about']['seeds'] = [2, 3]
    for row in two['rows']: row['values'] = [value + 1 for value in row['values']]
    for name, run in {'one': one, 'two': two}.items():
        (sent/f'{name}.json').write_text(json.dumps(run))
    got = sent_runs(sent)
    zero, _, _, ours = (row['values'] for row in one['rows'][:4])
    assert got['voc2007', 'zero-shot CLIP'] == pytest.approx([zero[0], zero[0] + .5, zero[0] + 1])
    first, second = ours
    assert got['voc2007', 'TaI-DPT'] == pytest.approx([first, (second + first + 1)/2, second + 1])


@pytest.mark.parametrize('what, rows, note', [
    ('fig6', {'TaI-DPT', 'CoOp', 'CoOp-DPT', 'CoOp-DPT + TaI-DPT'}, '36 photos with'),
    ('table2', {'TaI-DPT', 'Tip-Adapter'}, 'Classes: ')])
def test_few_images_from_the_data_sets(what, rows, note, table):
    """Learned from the official training split, scored on the official test split, each method also
    centred"""
    got = table(what, '--limit', '36')
    measured = {(r['method'], r['shots']): r['values'] for r in got['rows'] if r['values']}
    assert rows <= {method for method, _ in measured}
    published = {key: values for key, values in measured.items() if 'centred' not in key[0]}
    centred = {key: measured[f'{key[0]}, centred', key[1]] for key in published}
    assert len(measured) == 2*len(published) and centred != published
    assert any(note in n for n in got['notes']), got['notes']


def test_dualcoop_as_published(table, tmp_path, monkeypatch):
    "Without --limit, Table 3 has the recipe of DualCoOp*, named for the CLIP it is on; one epoch"
    monkeypatch.setitem(DUALCOOP, 'nuswide', DUALCOOP['nuswide'] | dict(epochs=1, batch_size=16))
    got = table('table3', '--dataset', 'nuswide', '--weights', '.7')
    name = 'DualCoOp on embedded at 224'
    ensemble = f'{name} + TaI-DPT'
    measured = {r['method'] for r in got['rows'] if r['values']}
    assert measured >= {name, ensemble, f'{name}, centred', f'{ensemble}, centred'}
    assert not any('published' in row for row in got['rows'])
    assert got['notes'][0] == 'Weight of DualCoOp in the ensemble: 0.7.'
    file, = tmp_path.glob('prompts/DualCoOp-*.safetensors')
    model = DualCoOp.load(file, load_clip(device='cpu'))
    assert model.get_params() == model.get_params() | dict(
        class_specific=True, learn_scale=True, weight_grad=False, epochs=1, batch_size=16, n_ctx=16
    )


def as_openai(origin, **settings):
    "The embedded CLIP as if `load_clip` had found these weights"
    clip = copy.copy(load_clip(device='cpu'))
    clip.name, clip.origin, clip.prepared = origin, origin, Prepared(**settings)
    return clip


@pytest.mark.parametrize(
    'second, name',
    [
        (dict(image_size=448, crop=False), 'DualCoOp*'),
        (dict(image_size=448), 'DualCoOp on RN101/openai at 224'),
    ],
)
def test_published_columns_by_origin(second, name, data, tmp_path, monkeypatch):
    """DualCoOp* is so called, and has published numbers beside it, on OpenAI's RN101 squeezed into
    448 pixels alone"""
    monkeypatch.setattr(Material, 'published', True)
    # one context for all: some classes have no image
    monkeypatch.setitem(DUALCOOP, 'voc2007', {'epochs': 1, 'batch_size': 36})
    pair = [as_openai('RN50/openai'), as_openai('RN101/openai', **second)]
    reproduce('table3', data, pair, seeds=(1,), out=tmp_path, progress=False, shares=(.9,))
    rows = json.loads((tmp_path/'table3.json').read_text())['rows']
    beside = {r['method'] for r in rows if r['values'] and r.get('published')}
    assert name in {r['method'] for r in rows if r['values']}
    assert beside == ({'DualCoOp*', 'DualCoOp* + TaI-DPT'} if name == 'DualCoOp*' else set())


SIZES = []                                             # of images that were cropped


def noted(image, rng, size):
    SIZES.append(size)
    return cropped(image, rng, size)


def test_coop_augments(data, tmp_path, monkeypatch):
    "As its code does, on whole data sets; more images per class mean more epochs"
    asked = []

    def quick(*args, epochs, **settings):
        asked.append(epochs)
        return CoOp(*args, epochs=2, batch_size=36, **settings)

    monkeypatch.setattr('taidpt.paper.pictures.CoOp', quick)
    monkeypatch.setattr('taidpt.paper.pictures.cropped', noted)
    options = dict(seeds=(1,), out=tmp_path, progress=False)
    reproduce('fig6', data, **options, limit=36, shots=(1, 2))
    assert not SIZES and asked == [50, 100]*2           # as published; centred, of the same prompts
    reproduce('fig6', data, **options, shots=(1,), coop={'epochs': 3})
    assert set(SIZES) == {224} and asked[4:] == [3, 3]


def test_broken_image(data, tmp_path, capsys):
    "Of a data set that should be whole: named before anything is learned from what is left"
    broken = tmp_path/'data'
    shutil.copytree(data, broken)
    image = min((broken/'VOCdevkit/VOC2007/JPEGImages').iterdir())
    image.write_bytes(b'')
    line = f'reproduce table3 --data {broken} --limit 36 --seeds 1 --out {tmp_path}/out'
    assert main(line.split()) == 1
    assert image.name in capsys.readouterr().err


def test_method_of_your_own(tmp_path, monkeypatch, capsys):
    "The method of the tutorial, moved to a file of its own, in a table with others"
    page = nbformat.read(ROOT/'nbs/tutorials/your_own_idea.ipynb', as_version=4)
    cells = {cell.id: cell.source for cell in page.cells}
    method = cells['yi-method-1'].partition('\nmodel = ')[0]
    (tmp_path/'mine.py').write_text(f'{cells["yi-imports"]}\n\n{method}')
    monkeypatch.chdir(tmp_path)
    line = 'reproduce family --member mine.py:Alone --only concepts --classes person,bus,cat'
    assert main([*line.split(), '--limit', '200', '--seeds', '1', '--out', '.']) == 0
    assert '\n| Alone |' in capsys.readouterr().out


def test_what_cannot_be_reproduced_is_said_before_the_work(tmp_path):
    "A table that is none, and files that are not there, by name"
    def table(what, **kwargs):
        return reproduce(what, clip=load_clip(device='cpu'), out=tmp_path, progress=False, **kwargs)

    with pytest.raises(KeyError): table('table9')
    for what, says in dict(table1='test.txt', fig6='trainval.txt', table2='train2014').items():
        with pytest.raises(FileNotFoundError, match=says): table(what, data=tmp_path)


def test_a_second_clip_by_name_sees_448_pixels(tmp_path):
    "Squeezed, as the published DualCoOp does, before anything is read"
    load = mock.Mock(return_value='RN101')
    both = [load_clip(device='cpu'), 'RN101/openai']
    with (mock.patch.dict(reproduce.__globals__, load_clip=load),
          mock.patch.dict(TABLES, table3=mock.Mock())):
        with pytest.raises(FileNotFoundError): reproduce('table3', clip=both, out=tmp_path)
    load.assert_called_once_with('RN101/openai', image_size=448, crop=False)
