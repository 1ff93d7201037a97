"""`taidpt reproduce` on the real layouts in miniature; the tables' pages run them on the bundled
data."""
import copy
import json
import shutil
from dataclasses import replace
from itertools import islice
from unittest import mock

import nbformat
import pytest
from conftest import ROOT
from taidpt.apps.cli import main
from taidpt.all import CoOp, DualCoOp, ZeroShotCLIP, bundled_captions, load_clip
from taidpt.baselines.coop import PicturePrompts
from miniature import write_miniature
from taidpt.encoders.towers import Prepared
from taidpt.paper.family import FAMILY
from taidpt.paper.pictures import cropped
from taidpt.paper.published import DUALCOOP, METHODS, PUBLISHED_MAP
from taidpt.paper.reproduce import reproduce
from taidpt.paper.study import Material

pytestmark = [pytest.mark.xdist_group('reproduce'), pytest.mark.usefixtures('one_clip')]


@pytest.fixture(scope='module')
def data(tmp_path_factory, one_clip):
    """The layouts of the data sets in miniature; one picture is gone from Flickr, and one is
    something else"""
    d = tmp_path_factory.mktemp('data')/'sets'
    with mock.patch(
        'miniature.bundled_captions', lambda: islice(bundled_captions(), 200)
    ):
        write_miniature(d)
    gone, broken = sorted((d/'NUSWIDE/Flickr').rglob('*.jpg'))[3:5]
    gone.unlink()
    broken.write_bytes(b'not a picture')
    return d


@pytest.fixture
def table(data, tmp_path):
    """A function that runs the command with one seed, and gives the table as JSON after a look at
    its Markdown"""

    def run(what, *more):
        status = main(
            ['reproduce', what, '--data', str(data), '--seeds', '1', '--out', str(tmp_path), *more]
        )
        assert status == 0
        got = json.loads((tmp_path/f'{what}.json').read_text())
        text = (tmp_path/f'{what}.md').read_text()
        assert text.startswith(f'# {got["title"]}\n') and text.count('\n| ') == len(got['rows']) + 2
        for r in got['rows']:
            assert r['seeds'] == len(r['values'])
            assert 0 <= r['mAP'] <= 100 if r['values'] else r['published']
        return got
    return run


def test_table1_from_the_data_sets(table, tmp_path, monkeypatch):
    """Twelve rows, and all that they should be cited with; two pictures of NUS-WIDE are counted as
    missing"""
    got = table('table1')
    assert got['title'] == 'Table 1: the embedded CLIP'
    assert [(r['data'], r['method']) for r in got['rows']] == [
        (d, m) for d in ('voc2007', 'coco', 'nuswide') for m in METHODS
    ]
    assert not any('published' in r for r in got['rows'])
    assert list(got['about']['data']) == ['voc2007', 'coco', 'nuswide']
    assert got['about']['seeds'] == [1]
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path/'features').glob('pictures-*.safetensors')}
    assert len(kept) == 3  # encoded once for all epochs and seeds
    assert any('2 pictures were missing' in n for n in got['notes'])
    assert not any('66,087 captions, drawn' in n for n in got['notes'])
    min((tmp_path/'scores').glob('*')).unlink()  # measured again, from the kept prompts
    # as with the published CLIP on all of the data
    monkeypatch.setattr(Material, 'published', True)
    for before, r in zip(got['rows'], table('table1')['rows'], strict=True):
        assert r == before | {
            'published': PUBLISHED_MAP[r['data'], r['method']],
            'difference': pytest.approx(r['mAP'] - r['published']),
        }
    assert kept == {
        p: p.stat().st_mtime_ns for p in (tmp_path/'features').glob('pictures-*.safetensors')
    }


@pytest.mark.parametrize(
    'what, rows, note',
    [
        ('fig6', {'TaI-DPT', 'CoOp', 'CoOp-DPT', 'CoOp-DPT + TaI-DPT'}, '36 photos with'),
        ('table2', {'TaI-DPT', 'Tip-Adapter'}, 'Classes: '),
        ('table3 --dataset nuswide', {'DualCoOp', 'DualCoOp + TaI-DPT'}, '4 pictures were missing'),
        (
            'ablations --dataset nuswide',
            {'0.25 (unchanged)', 'local weight 0.5 (unchanged)', 'focal'},
            'pictures were missing',
        ),
    ],
)
def test_few_pictures_from_the_data_sets(what, rows, note, table):
    "Learned from the official training split, scored on the official test split"
    got = table(*what.split(), '--limit', '36')
    assert rows <= {r.get('method', r.get('value')) for r in got['rows'] if r['values']}
    assert any(note in n for n in got['notes']), got['notes']


def test_dualcoop_as_published(table, tmp_path, monkeypatch):
    """Without --limit, Table 3 has the recipe of DualCoOp*, named for the CLIP it is on; two epochs
    and one share for a test"""
    monkeypatch.setitem(DUALCOOP, 'nuswide', DUALCOOP['nuswide'] | dict(epochs=2, batch_size=16))
    monkeypatch.setattr('taidpt.paper.pictures.SHARES', (.9,))
    got = table('table3', '--dataset', 'nuswide', '--weights', '.7')
    ours = {r['method']: r for r in got['rows'] if r['values'] and .9 in r.values()}
    name = 'DualCoOp on the embedded CLIP at 224'
    assert set(ours) == {name, f'{name} + TaI-DPT'}
    assert not any('published' in row for row in got['rows'])
    assert got['notes'][:2] == [
        f'Weight of {name} in the ensemble: 0.7.',
        f"{name}: the authors' recipe of DualCoOp*, which is on RN101/openai at 448.",
    ]
    assert (tmp_path/'table3-nuswide.md').read_text() == (tmp_path/'table3.md').read_text()
    file, = tmp_path.glob('prompts/table3.nuswide-*.0.9.seed1-*.safetensors')
    model = DualCoOp.load(file, load_clip(device='cpu'))
    assert model.get_params() == model.get_params() | dict(
        class_specific=True, learn_scale=True, weight_grad=False, epochs=2, batch_size=16, n_ctx=16
    )


def as_openai(origin, **how):
    "The embedded CLIP as if `load_clip` had found these weights"
    found = copy.copy(load_clip(device='cpu'))
    found.name, found.origin, found.prepared = origin, origin, Prepared(**how)
    return found


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
    # one context for all: some classes have no picture
    monkeypatch.setitem(DUALCOOP, 'voc2007', {'epochs': 1, 'batch_size': 36})
    pair = [as_openai('RN50/openai'), as_openai('RN101/openai', **second)]
    reproduce('table3', data, pair, seeds=(1,), out=tmp_path, progress=False, shares=(.9,))
    rows = json.loads((tmp_path/'table3.json').read_text())['rows']
    beside = {r['method'] for r in rows if r['values'] and r.get('published')}
    assert name in {r['method'] for r in rows if r['values']}
    assert beside == ({'DualCoOp*', 'DualCoOp* + TaI-DPT'} if name == 'DualCoOp*' else set())


def test_rn50_alone_takes_rn101(data, tmp_path, monkeypatch):
    "Table 3 on whole data sets; with a limit, or another CLIP, there is no second one"
    asked = mock.Mock(side_effect=RuntimeError('asked'))
    monkeypatch.setattr('taidpt.paper.reproduce.load_clip', asked)
    with pytest.raises(RuntimeError, match='asked'):
        reproduce('table3', data, as_openai('RN50/openai'), out=tmp_path, progress=False)
    asked.assert_called_once_with('RN101', 'openai', image_size=448, crop=False)
    reproduce(
        'table3', data, as_openai('RN50/openai'), seeds=(1,), limit=36, out=tmp_path,
        progress=False, shares=(.9,), dual={'epochs': 1},
    )
    assert asked.call_count == 1 and '| DualCoOp | 0.9 |' in (tmp_path/'table3.md').read_text()


def test_weights_of_few_shots(table, tmp_path):
    "All of the weight is CoOp-DPT's, or TaI-DPT's; the note says so, and nothing is learned again"
    maps = {}
    for weight in ('1', '0'):
        got = table('fig6', '--limit', '36', '--weights', weight)
        assert f'Weight of CoOp-DPT in the ensemble: {weight}.' in got['notes']
        maps[weight] = {(r['method'], r['shots']): r['mAP'] for r in got['rows']}
    for k in (1, 2):
        assert maps['1']['CoOp-DPT + TaI-DPT', k] == pytest.approx(maps['1']['CoOp-DPT', k])
        assert maps['0']['CoOp-DPT + TaI-DPT', k] == pytest.approx(maps['0']['TaI-DPT', 0])
    assert len(list((tmp_path/'scores').glob('fig6.*CoOp*'))) == 2


@pytest.mark.parametrize('what', ['fig6', 'table2'])
def test_coop_augments(what, data, tmp_path, monkeypatch):
    "As its code does, on whole data sets or if asked; each epoch sees other crops"
    seen = []
    monkeypatch.setattr(
        'taidpt.paper.pictures.cropped',
        lambda picture, rng, size: seen.append(size) or cropped(picture, rng, size),
    )
    how = dict(
        seeds=(1,), limit=36, out=tmp_path, progress=False, shots=(1,),
        coop={'epochs': 2, 'batch_size': 36},
    )
    plain = reproduce(what, data, **how)
    assert not seen and 'pictures as they are; its code crops' in plain
    changed = reproduce(what, data, **how, augment=True)
    assert set(seen) == {224}
    assert 'cropped and mirrored anew in each epoch, as in its code' in changed
    rows = [
        {line for line in text.split('\n') if line.startswith('| CoOp |')}
        for text in (plain, changed)
    ]
    assert rows[0] != rows[1]


@pytest.mark.parametrize('what', ['fig6', 'table2'])
def test_epochs_of_coop(what, data, tmp_path, monkeypatch):
    "More pictures per class mean more epochs, as in CoOp's code, unless epochs are given"
    asked = []
    def quick(*args, epochs, **settings):
        asked.append(epochs)
        return CoOp(*args, epochs=1, **settings)

    monkeypatch.setattr('taidpt.paper.pictures.CoOp', quick)
    how = dict(seeds=(1,), limit=36, out=tmp_path, progress=False, shots=(1, 2))
    reproduce(what, data, **how)
    reproduce(what, data, **how, coop={'epochs': 3})
    assert asked == [50, 100, 3, 3]


@pytest.mark.parametrize(
    'what, sets', [('table3', ('voc2007', 'coco', 'nuswide')), ('fig6', ('voc2007', 'coco'))]
)
def test_each_data_set_has_a_command(what, sets, table, tmp_path, monkeypatch):
    """Of the data sets, and of the bundled pictures; a table stays when another data set is
    measured. One epoch, for a test"""
    recipe = PicturePrompts.recipe
    monkeypatch.setattr(PicturePrompts, 'recipe', lambda model: replace(recipe(model), epochs=1))
    monkeypatch.setattr(
        Material, 'prompts', lambda m, seed: (ZeroShotCLIP(m.study.clip, m.classes),)
    )
    for name in sets:
        title = table(what, '--datasets', name, '--limit', '36')['title']
        assert title.partition(':')[0].endswith(name)
        status = main(
            [
                'reproduce', what, '--datasets', name, '--limit', '36', '--seeds', '1', '--out',
                str(tmp_path/'bundled'),
            ]
        )
        assert status == 0
    for folder in (tmp_path, tmp_path/'bundled'):
        kept = {path.name for path in folder.glob('*-*.md')}
        assert kept == {f'{what}-{name}.md' for name in sets}


def test_broken_picture(data, tmp_path, capsys):
    "Of a data set that should be whole: named before anything is learned from what is left"
    broken = tmp_path/'data'
    shutil.copytree(data, broken)
    picture = min((broken/'VOCdevkit/VOC2007/JPEGImages').iterdir())
    picture.write_bytes(b'')
    status = main(
        [
            'reproduce', 'table3', '--data', str(broken), '--limit', '36', '--seeds', '1', '--out',
            str(tmp_path/'out'),
        ]
    )
    assert status == 1
    assert picture.name in capsys.readouterr().err


def test_method_of_your_own(tmp_path, monkeypatch, capsys):
    "The method of the tutorial, moved to a file of its own, in a table with others"
    monkeypatch.setattr(
        'taidpt.paper.family.FAMILY', {m: FAMILY[m] for m in ('zero-shot CLIP', 'concepts')}
    )
    cells = {
        c.id: c.source
        for c in nbformat.read(ROOT/'nbs/tutorials/your_own_idea.ipynb', as_version=4).cells
    }
    (tmp_path/'mine.py').write_text(
        cells['yi-imports'] + '\n\n' + cells['yi-method-1'].partition('\nmodel = ')[0]
    )
    (tmp_path/'few.txt').write_text('\n'.join(islice(bundled_captions(), 400)))
    monkeypatch.chdir(tmp_path)
    status = main(
        [
            'reproduce', 'family', '--member', 'mine.py:Alone', '--classes', 'person,bus,cat',
            '--captions', 'few.txt', '--seeds', '1', '--out', '.',
        ]
    )
    assert status == 0
    assert '\n| Alone |' in capsys.readouterr().out
