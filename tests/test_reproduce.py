"""`taidpt reproduce`: every table end to end, on the real layouts in miniature; the tables' pages run them on the bundled data."""
import json
import shutil
from dataclasses import replace

import pytest
from taidpt.classes import COCO, NUSWIDE, VOC2007
from taidpt.apps.cli import main
from taidpt.baselines.dualcoop import DualCoOp
from taidpt.clip import load_clip
from taidpt.text.corpora import bundled_captions
from taidpt.datasets.labelled import bundled_photos
from taidpt.paper.ablations import _ABLATIONS
from taidpt.paper.published import DUALCOOP, METHODS, PUBLISHED, PUBLISHED_MAP

pytestmark = pytest.mark.xdist_group('reproduce')


def table(out, name):
    "A written table, as JSON, after a look at its Markdown"
    got = json.loads((out/f'{name}.json').read_text())
    text = (out/f'{name}.md').read_text()
    assert text.startswith(f'# {got["title"]}\n') and text.count('\n| ') == len(got['rows']) + 2
    for r in got['rows']: assert r['seeds'] == len(r['values']) and (0 <= r['ours'] <= 100 if r['values'] else r['published'])
    return got


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "The layouts of the data sets in miniature, with the bundled photos and captions"
    d = tmp_path_factory.mktemp('data')
    photos, captions = bundled_photos('coco'), list(bundled_captions())[:600]
    def copy(folder, names):
        for n, p in zip(names, photos.pictures):
            (folder/n).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(p, folder/n)
    voc, names = d/'VOCdevkit/VOC2007', [f'{i:06}' for i in range(1, 37)]
    copy(voc/'JPEGImages', [f'{n}.jpg' for n in names])
    (voc/'ImageSets/Main').mkdir(parents=True)
    labels = bundled_photos(VOC2007).labels
    for split in ('test', 'trainval'):
        (voc/f'ImageSets/Main/{split}.txt').write_text('\n'.join(names))
        for c, n in enumerate(VOC2007.names):
            (voc/f'ImageSets/Main/{n}_{split}.txt').write_text(''.join(f'{i} {1 if y[c] else -1}\n' for i, y in zip(names, labels)))
    (d/'COCO/annotations').mkdir(parents=True)
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    for split in ('val2014', 'train2014'):
        files = [f'COCO_{split}_{p.name}' for p in photos.pictures]
        copy(d/'COCO'/split, files)
        (d/f'COCO/annotations/instances_{split}.json').write_text(json.dumps(dict(
            images=[dict(id=i, file_name=f) for i, f in enumerate(files)], categories=[dict(id=i, name=n) for i, n in zip(ids, COCO.names)],
            annotations=[dict(image_id=i, category_id=ids[c]) for i, y in enumerate(photos.labels) for c in y.nonzero()[:, 0].tolist()])))
    notes = [dict(image_id=1, id=i, caption=c) for i, c in enumerate(captions)]
    (d/'COCO/annotations/captions_train2017.json').write_text(json.dumps(dict(annotations=notes)))
    nus, names = d/'NUSWIDE', [f'{("zoo", "actor")[i % 2]}/{i:04}_{p.name}' for i, p in enumerate(photos.pictures)]
    copy(nus/'Flickr', names)
    (nus/'Flickr'/names[3]).unlink()                                       # gone from Flickr
    (nus/'Flickr'/names[4]).write_bytes(b'not a picture')                  # and one that is something else
    for folder in ('ImageList', 'TrainTestLabels'): (nus/folder).mkdir()
    (nus/'Concepts81.txt').write_text('\n'.join(NUSWIDE.names))
    labels = bundled_photos(NUSWIDE).labels
    for split in ('Train', 'Test'):
        (nus/f'ImageList/{split}Imagelist.txt').write_text('\n'.join(n.replace('/', '\\') for n in names))
        for c, n in enumerate(NUSWIDE.names): (nus/f'TrainTestLabels/Labels_{n}_{split}.txt').write_text(''.join(f'{int(y[c])}\n' for y in labels))
    (d/'OpenImages/captions').mkdir(parents=True)
    (d/'OpenImages/captions/open_images_train_v6_captions.jsonl').write_text(''.join(json.dumps(dict(image_id='x', caption=c)) + '\n' for c in captions))
    return d


def test_table1_from_the_data_sets(data, tmp_path, capsys):
    "Twelve rows, with published numbers and differences; two pictures of NUS-WIDE are counted as missing"
    call = ['reproduce', 'table1', '--data', str(data), '--seeds', '1', '--out', str(tmp_path)]
    assert main(call) == 0
    got = table(tmp_path, 'table1')
    assert got['title'] == 'Table 1: the embedded CLIP'
    assert [(r['data'], r['method']) for r in got['rows']] == [(d, m) for d in ('voc2007', 'coco', 'nuswide') for m in METHODS]
    for r in got['rows']:
        assert r['published'] == PUBLISHED_MAP[r['data'], r['method']] and r['difference'] == pytest.approx(r['ours'] - r['published'])
        assert (tmp_path/f'table1-{r["data"]}.png').read_bytes().startswith(b'\x89PNG')
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path/'features').glob('pictures-*.safetensors')}
    assert len(kept) == 3                                                  # encoded once for all epochs and seeds
    assert any('2 pictures were missing' in n for n in got['notes'])
    # what is finished is measured once, and what is missing again, from the kept prompts
    before, cells = (tmp_path/'table1.json').read_text(), sorted((tmp_path/'scores').glob('*'))
    cells[0].unlink()
    assert main(call) == 0 and (tmp_path/'table1.json').read_text() == before
    assert kept == {p: p.stat().st_mtime_ns for p in (tmp_path/'features').glob('pictures-*.safetensors')}


@pytest.mark.parametrize('what, rows, note', [('fig6', {'TaI-DPT', 'CoOp', 'CoOp-DPT', 'CoOp-DPT + TaI-DPT'}, '36 pictures scored'), ('table2', {'TaI-DPT', 'Tip-Adapter'}, 'classes: '),
                                              ('table3 --dataset nuswide', {'DualCoOp', 'DualCoOp + TaI-DPT'}, '34 pictures scored')])
def test_few_pictures_from_the_data_sets(what, rows, note, data, tmp_path):
    "Learned from the official training split, scored on the official test split"
    what, *more = what.split()
    assert main(['reproduce', what, '--data', str(data), '--limit', '36', '--seeds', '1', '--out', str(tmp_path), *more]) == 0
    got = table(tmp_path, what)
    assert rows <= {r['method'] for r in got['rows'] if r['values']} and any(note in n for n in got['notes']), got['notes']
    assert 'nuswide' not in more or any(n.startswith('4 more pictures were missing') for n in got['notes']), got['notes']


def test_dualcoop_as_published(data, tmp_path, monkeypatch):
    "Without --limit, Table 3 has the recipe of DualCoOp*, under that name, beside its numbers; two epochs and one share for a test"
    monkeypatch.setitem(DUALCOOP, 'nuswide', replace(DUALCOOP['nuswide'], epochs=2, batch_size=16))
    monkeypatch.setattr('taidpt.paper.table3.SHARES', (.9,))
    assert main(['reproduce', 'table3', '--data', str(data), '--dataset', 'nuswide', '--seeds', '1', '--out', str(tmp_path)]) == 0
    ours = {r['method']: r for r in table(tmp_path, 'table3')['rows'] if r['values'] and .9 in r.values()}
    assert set(ours) == {'DualCoOp*', 'DualCoOp* + TaI-DPT'}
    for method, row in ours.items(): assert row['published'] == PUBLISHED['table3_nuswide'][method, .9]
    file, = tmp_path.glob('prompts/table3.nuswide.embedded-*.0.9.seed1-*.safetensors')
    model = DualCoOp.load(file, load_clip(device='cpu'))
    assert model.get_params() == model.get_params() | dict(class_specific=True, learn_scale=True, weight_grad=False, epochs=2, batch_size=16, n_ctx=16)


def test_sentences_from_the_data_sets(data, tmp_path, monkeypatch):
    "Learned from the data set's sentences, scored on its test pictures, with its own published settings; `test_bundled` has all ablations"
    monkeypatch.setattr('taidpt.paper.ablations._ABLATIONS', {k: _ABLATIONS[k] for k in ('loss', 'tau_s on pictures')})
    assert main(['reproduce', 'ablations', '--data', str(data), '--dataset', 'nuswide', '--limit', '60', '--seeds', '1', '--out', str(tmp_path)]) == 0
    got = table(tmp_path, 'ablations')
    assert {'0.25 (as published)', 'local weight 0.5 (as published)', 'focal'} <= {r.get('method', r.get('value')) for r in got['rows']}
    assert any('2 pictures were missing' in n for n in got['notes']), got['notes']


def test_broken_picture(data, tmp_path, capsys):
    "Of a data set that should be whole: named before anything is learned from what is left"
    broken = tmp_path/'data'
    shutil.copytree(data, broken)
    (broken/'VOCdevkit/VOC2007/JPEGImages/000004.jpg').write_bytes(b'')
    assert main(['reproduce', 'table3', '--data', str(broken), '--limit', '36', '--seeds', '1', '--out', str(tmp_path/'out')]) == 1
    assert '000004.jpg' in capsys.readouterr().err
