"""`taidpt reproduce` on the real layouts in miniature; the tables' pages run them on the bundled data."""
import json
import shutil
from itertools import islice
from unittest import mock

import nbformat
import pytest
from conftest import ROOT
from taidpt.apps.cli import main
from taidpt.all import DualCoOp, bundled_captions, load_clip
from taidpt.datasets.benchmarks import write_miniature
from taidpt.paper.family import FAMILY
from taidpt.paper.published import DUALCOOP, METHODS, PUBLISHED_MAP
from taidpt.paper.study import Material

pytestmark = [pytest.mark.xdist_group('reproduce'), pytest.mark.usefixtures('one_clip')]


@pytest.fixture(scope='module')
def data(tmp_path_factory, one_clip):
    "The layouts of the data sets in miniature; one picture is gone from Flickr, and one is something else"
    d = tmp_path_factory.mktemp('data')/'sets'
    with mock.patch('taidpt.datasets.benchmarks.bundled_captions', lambda: islice(bundled_captions(), 200)): write_miniature(d)
    gone, broken = sorted((d/'NUSWIDE/Flickr').rglob('*.jpg'))[3:5]
    gone.unlink()
    broken.write_bytes(b'not a picture')
    return d


@pytest.fixture
def table(data, tmp_path):
    "A function that runs the command with one seed, and gives the table as JSON after a look at its Markdown"
    def run(what, *more):
        assert main(['reproduce', what, '--data', str(data), '--seeds', '1', '--out', str(tmp_path), *more]) == 0
        got, text = (json.loads((tmp_path/f'{what}.json').read_text()), (tmp_path/f'{what}.md').read_text())
        assert text.startswith(f'# {got["title"]}\n') and text.count('\n| ') == len(got['rows']) + 2
        for r in got['rows']: assert r['seeds'] == len(r['values']) and (0 <= r['ours'] <= 100 if r['values'] else r['published'])
        return got
    return run


def test_table1_from_the_data_sets(table, tmp_path, monkeypatch):
    "Twelve rows, and all that they should be cited with; two pictures of NUS-WIDE are counted as missing"
    got = table('table1')
    assert got['title'] == 'Table 1: the embedded CLIP'
    assert [(r['data'], r['method']) for r in got['rows']] == [(d, m) for d in ('voc2007', 'coco', 'nuswide') for m in METHODS]
    assert not any('published' in r for r in got['rows'])
    assert list(got['about']['data']) == ['voc2007', 'coco', 'nuswide'] and got['about']['seeds'] == [1]
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path/'features').glob('pictures-*.safetensors')}
    assert len(kept) == 3                                                  # encoded once for all epochs and seeds
    assert any('2 pictures were missing' in n for n in got['notes']) and not any('66,087 captions, drawn' in n for n in got['notes'])
    min((tmp_path/'scores').glob('*')).unlink()                            # measured again, from the kept prompts
    monkeypatch.setattr(Material, 'published', True)                       # as with the published CLIP on all of the data
    for before, r in zip(got['rows'], table('table1')['rows'], strict=True):
        assert r == before | {'published': PUBLISHED_MAP[r['data'], r['method']], 'difference': r['ours'] - r['published']}
    assert kept == {p: p.stat().st_mtime_ns for p in (tmp_path/'features').glob('pictures-*.safetensors')}


@pytest.mark.parametrize('what, rows, note', [('fig6', {'TaI-DPT', 'CoOp', 'CoOp-DPT', 'CoOp-DPT + TaI-DPT'}, '36 photos with'), ('table2', {'TaI-DPT', 'Tip-Adapter'}, 'Classes: '),
                                              ('table3 --dataset nuswide', {'DualCoOp', 'DualCoOp + TaI-DPT'}, '4 pictures were missing'),
                                              ('ablations --dataset nuswide', {'0.25 (as published)', 'local weight 0.5 (as published)', 'focal'}, 'pictures were missing')])
def test_few_pictures_from_the_data_sets(what, rows, note, table):
    "Learned from the official training split, scored on the official test split"
    got = table(*what.split(), '--limit', '36')
    assert rows <= {r.get('method', r.get('value')) for r in got['rows'] if r['values']} and any(note in n for n in got['notes']), got['notes']


def test_dualcoop_as_published(table, tmp_path, monkeypatch):
    "Without --limit, Table 3 has the recipe of DualCoOp*, under that name; two epochs and one share for a test"
    monkeypatch.setitem(DUALCOOP, 'nuswide', DUALCOOP['nuswide'] | dict(epochs=2, batch_size=16))
    monkeypatch.setattr('taidpt.paper.table3.SHARES', (.9,))
    ours = {r['method']: r for r in table('table3', '--dataset', 'nuswide')['rows'] if r['values'] and .9 in r.values()}
    assert set(ours) == {'DualCoOp*', 'DualCoOp* + TaI-DPT'} and not any('published' in row for row in ours.values())
    file, = tmp_path.glob('prompts/table3.nuswide-*.0.9.seed1-*.safetensors')
    model = DualCoOp.load(file, load_clip(device='cpu'))
    assert model.get_params() == model.get_params() | dict(class_specific=True, learn_scale=True, weight_grad=False, epochs=2, batch_size=16, n_ctx=16)


def test_broken_picture(data, tmp_path, capsys):
    "Of a data set that should be whole: named before anything is learned from what is left"
    broken = tmp_path/'data'
    shutil.copytree(data, broken)
    picture = min((broken/'VOCdevkit/VOC2007/JPEGImages').iterdir())
    picture.write_bytes(b'')
    assert main(['reproduce', 'table3', '--data', str(broken), '--limit', '36', '--seeds', '1', '--out', str(tmp_path/'out')]) == 1
    assert picture.name in capsys.readouterr().err


def test_method_of_your_own(tmp_path, monkeypatch, capsys):
    "The method of the tutorial, moved to a file of its own, in a table with others"
    monkeypatch.setattr('taidpt.paper.family.FAMILY', {m: FAMILY[m] for m in ('zero-shot CLIP', 'concepts')})
    cells = {c.id: c.source for c in nbformat.read(ROOT/'nbs/tutorials/your_own_idea.ipynb', as_version=4).cells}
    (tmp_path/'mine.py').write_text(cells['yi-imports'] + '\n\n' + cells['yi-method-1'].partition('\nmodel = ')[0])
    (tmp_path/'few.txt').write_text('\n'.join(islice(bundled_captions(), 400)))
    monkeypatch.chdir(tmp_path)
    assert main(['reproduce', 'family', '--member', 'mine.py:Alone', '--classes', 'person,bus,cat', '--captions', 'few.txt', '--seeds', '1', '--out', '.']) == 0
    assert '| Alone, relative |' in capsys.readouterr().out
