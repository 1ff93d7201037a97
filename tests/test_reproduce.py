"""`taidpt reproduce`: every table end to end, on the bundled data and on real layouts in miniature."""
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from taidpt.classes import COCO, NUSWIDE, VOC2007
from taidpt.apps.cli import main
from taidpt.baselines.dualcoop import DualCoOp
from taidpt.clip import load_clip
from taidpt.support.captions import bundled_captions
from taidpt.support.features import load_features
from taidpt.datasets.labelled import bundled_photos
from taidpt.nounfilter import NounFilter
from taidpt.paper.ablations import ABLATIONS
from taidpt.paper.published import DUALCOOP, METHODS, PUBLISHED, PUBLISHED_MAP
from taidpt.paper.reproduce import TABLES

pytestmark = pytest.mark.xdist_group('reproduce')


def table(out, name):
    "A written table, as JSON, after a look at its Markdown"
    got = json.loads((out/f'{name}.json').read_text())
    text = (out/f'{name}.md').read_text()
    assert text.startswith(f'# {got["title"]}\n') and text.count('\n| ') == len(got['rows']) + 2
    for r in got['rows']: assert r['seeds'] == len(r['values']) and (0 <= r['ours'] <= 100 if r['values'] else r['published'])
    return got


@pytest.mark.parametrize('what, args', [('table1', ['--datasets', 'voc2007']), ('fig6', []), ('fig7', []), ('table2', []), ('table3', []), ('ablations', [])])
def test_bundled(what, args, tmp_path, capsys):
    "Without --data: the same code, and a title that says so"
    assert main(['reproduce', what, '--limit', '100', '--seeds', '1', '--out', str(tmp_path), *args]) == 0
    got = table(tmp_path, what)
    assert 'in miniature, no reproduction' in got['title'] and 'bundled captions' in got['title'] and '100 sentences' in got['title']
    assert all(r['difference'] is None for r in got['rows']) and got['title'] in capsys.readouterr().out


def test_every_table_is_tested():
    assert set(TABLES) == {'table1', 'fig6', 'fig7', 'table2', 'table3', 'ablations'}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "The layouts of the data sets in miniature, with the bundled photos and captions"
    d = tmp_path_factory.mktemp('data')
    photos, captions = bundled_photos('coco'), list(bundled_captions())[:600]
    def copy(folder, names):
        folder.mkdir(parents=True)
        for n, p in zip(names, photos.pictures):
            (folder/n).parent.mkdir(exist_ok=True)
            shutil.copy(p, folder/n)
    voc = d/'VOCdevkit/VOC2007'
    main_ = voc/'ImageSets/Main'; main_.mkdir(parents=True)
    names = [f'{i:06}' for i in range(1, 37)]
    copy(voc/'JPEGImages', [f'{n}.jpg' for n in names])
    for split in ('test', 'trainval'): (main_/f'{split}.txt').write_text('\n'.join(names))
    labels = bundled_photos(VOC2007).labels
    for c, n in enumerate(VOC2007.names):
        for split in ('test', 'trainval'): (main_/f'{n}_{split}.txt').write_text(''.join(f'{i} {1 if y[c] else -1}\n' for i, y in zip(names, labels)))
    coco = d/'COCO'
    (coco/'annotations').mkdir(parents=True)
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    for split in ('val2014', 'train2014'):
        files = [f'COCO_{split}_{p.name}' for p in photos.pictures]
        copy(coco/split, files)
        (coco/f'annotations/instances_{split}.json').write_text(json.dumps(dict(
            images=[dict(id=i, file_name=f) for i, f in enumerate(files)], categories=[dict(id=i, name=n) for i, n in zip(ids, COCO.names)],
            annotations=[dict(image_id=i, category_id=ids[c]) for i, y in enumerate(photos.labels) for c in y.nonzero()[:, 0].tolist()])))
    (coco/'annotations/captions_train2017.json').write_text(json.dumps(dict(annotations=[dict(image_id=1, id=i, caption=c) for i, c in enumerate(captions)])))
    nus = d/'NUSWIDE'
    names = [f'{("zoo", "actor")[i % 2]}/{i:04}_{p.name}' for i, p in enumerate(photos.pictures)]
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
    assert any('2 pictures were missing' in n for n in got['notes']) and 'nuswide: 36 test pictures, where the official list has 107,859.' in got['notes']
    cell = json.loads((tmp_path/'cells/table1.nuswide.seed1.json').read_text())['cell']
    assert cell['pictures'] == 34 and cell['unread'] == 2
    # `ensemble` reads the kept scores, and gets the table's number from them
    capsys.readouterr()
    scores = [str(tmp_path/f'scores/table1.voc2007.seed1.{b}.safetensors') for b in ('global', 'local')]
    (tmp_path/'labels.tsv').write_text('\n'.join(f'{i + 1:06}.jpg\t{",".join(bundled_photos().names(i))}' for i in range(36)))
    assert main(['ensemble', *scores, '--normalize', 'none', '--labels', str(tmp_path/'labels.tsv'), '--pictures', str(data/'VOCdevkit/VOC2007/JPEGImages')]) == 0
    ours = next(r['ours'] for r in got['rows'] if (r['data'], r['method']) == ('voc2007', 'TaI-DPT'))
    assert float(re.search(r'together +([0-9.]+)', capsys.readouterr().out)[1]) == pytest.approx(ours, abs=.051)
    # finished cells are taken as they are, whatever became of the data
    before = (tmp_path/'table1.json').read_text()
    (tmp_path/'cells/table1.coco.seed1.json').unlink()                     # this one is measured again, from the kept prompts
    (tmp_path/'table1.json').unlink()
    assert main(call) == 0 and (tmp_path/'table1.json').read_text() == before
    capsys.readouterr()
    assert main([*call, '--limit', '5']) == 1 and 'limit (None, now 5)' in capsys.readouterr().err


@pytest.mark.parametrize('what, rows, note', [('fig6', {'TaI-DPT', 'CoOp', 'CoOp-DPT', 'CoOp-DPT + TaI-DPT'}, '36 pictures scored'), ('table2', {'TaI-DPT', 'Tip-Adapter'}, 'classes: '),
                                              ('table3', {'DualCoOp', 'DualCoOp + TaI-DPT'}, '36 pictures scored'),
                                              ('table3 --dataset nuswide', {'DualCoOp', 'DualCoOp + TaI-DPT'}, '34 pictures scored')])
def test_few_pictures_from_the_data_sets(what, rows, note, data, tmp_path):
    "Learned from the official training split, scored on the official test split"
    what, *more = what.split()
    assert main(['reproduce', what, '--data', str(data), '--limit', '36', '--seeds', '1', '--out', str(tmp_path), *more]) == 0
    got = table(tmp_path, what)
    assert rows <= {r['method'] for r in got['rows'] if r['values']} and any(note in n for n in got['notes']), got['notes']
    assert 'nuswide' not in more or any(n.startswith('4 more pictures were missing') for n in got['notes']), got['notes']


@pytest.mark.parametrize('name, pictures', [('nuswide', 34), ('coco', 36)])
def test_dualcoop_as_published(name, pictures, data, tmp_path, monkeypatch):
    "Without --limit, Table 3 has the recipe of DualCoOp*, under that name, beside its numbers; two epochs and one share for a test"
    monkeypatch.setitem(DUALCOOP, name, replace(DUALCOOP[name], epochs=2, batch_size=16))
    monkeypatch.setattr('taidpt.paper.table3.SHARES', (.9,))
    call = ['reproduce', 'table3', '--data', str(data), '--dataset', name, '--seeds', '1', '--out', str(tmp_path)]
    assert main(call) == 0
    got = table(tmp_path, 'table3')
    assert got['title'] == f'Table 3, mAP over the share of known labels, {name}: the embedded CLIP' and any(f'{pictures} pictures scored' in n for n in got['notes'])
    ours = {r['method']: r for r in got['rows'] if r['values']}
    assert set(ours) == {'TaI-DPT', 'DualCoOp*', 'DualCoOp* + TaI-DPT'}
    for method in ('DualCoOp*', 'DualCoOp* + TaI-DPT'):
        published = next(p['map'] for p in PUBLISHED[f'table3_{name}'] if (p['method'], p['share']) == (method, .9))
        assert ours[method]['published'] == published and ours[method]['difference'] == pytest.approx(ours[method]['ours'] - published)
    file, = tmp_path.glob(f'prompts/table3.{name}.embedded-*.0.9.seed1.safetensors')
    model = DualCoOp.load(file, load_clip(device='cpu'))
    assert model.get_params() == model.get_params() | dict(class_specific=True, learn_scale=True, weight_grad=False, epochs=2, batch_size=16, n_ctx=16)
    assert model.scales()[0] != model.scale and len(model.history_) == 2 and model.prompts_.ctx_global.ndim == 3


@pytest.mark.parametrize('what, dataset, rows', [('fig7', 'coco', {'TaI', 'TaI-DPT'}), ('ablations', 'nuswide', {'0.25 (as published)', 'local weight 0.5 (as published)', 'focal'})])
def test_sentences_from_the_data_sets(what, dataset, rows, data, tmp_path, monkeypatch):
    "Learned from the data set's sentences, scored on its test pictures, with its own published settings; `test_bundled` has all ablations"
    monkeypatch.setattr('taidpt.paper.ablations.ABLATIONS', {k: ABLATIONS[k] for k in ('loss', 'tau_s on pictures')})
    assert main(['reproduce', what, '--data', str(data), '--dataset', dataset, '--limit', '60', '--seeds', '1', '--out', str(tmp_path)]) == 0
    got = table(tmp_path, what)
    assert rows <= {r.get('method', r.get('value')) for r in got['rows']} and dataset in json.dumps(got) and 'miniature' not in got['title']
    assert dataset == 'coco' or any('2 pictures were missing' in n for n in got['notes']), got['notes']


def test_listed_captions(data, tmp_path, capsys):
    "Prompts learn from the captions of a list and no others, which is part of what a folder of results belongs to"
    (tmp_path/'ids.txt').write_text('\n'.join(map(str, range(60))))
    call = ['reproduce', 'table1', '--data', str(data), '--datasets', 'voc2007', '--seeds', '1', '--out', str(tmp_path/'out')]
    assert main([*call, '--caption-ids', str(tmp_path/'ids.txt')]) == 0
    assert not any('at random' in n for n in table(tmp_path/'out', 'table1')['notes'])
    listed = NounFilter('voc2007', rules='published').label(list(bundled_captions())[:60], progress=False)
    kept = load_features(next((tmp_path/'out/features').glob('voc2007-*.safetensors')))
    assert len(kept) == len(listed) + 89*20
    capsys.readouterr()
    assert main(call) == 1 and 'captions (' in capsys.readouterr().err
    assert main(['reproduce', 'table1', '--caption-ids', str(tmp_path/'ids.txt')]) == 1 and '--data' in capsys.readouterr().err


def test_broken_picture(data, tmp_path, capsys):
    "Of a data set that should be whole: named before anything is learned from what is left"
    broken = tmp_path/'data'
    shutil.copytree(data, broken)
    (broken/'VOCdevkit/VOC2007/JPEGImages/000004.jpg').write_bytes(b'')
    assert main(['reproduce', 'table3', '--data', str(broken), '--limit', '36', '--seeds', '1', '--out', str(tmp_path/'out')]) == 1
    err = capsys.readouterr().err
    assert '000004.jpg' in err and 'Unpack it' in err and 'on-error' not in err


@pytest.mark.parametrize('args, says', [
    (['table1', '--data', 'nowhere'], 'nowhere: there is no such folder'), (['table1', '--data', '.', '--datasets', 'coco'], 'annotations_trainval2017.zip'),
    (['table1', '--seeds', 'one'], '--seeds'), (['table1', '--datasets', 'voc'], "'voc' is none of"), (['fig7', '--clip', 'embedded,embedded'], 'one CLIP'),
    (['table1', '--clip', 'RN51/openai', '--datasets', 'voc2007'], 'RN51')], ids=lambda x: ' '.join(x) if isinstance(x, list) else '')
def test_bad_input(args, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['reproduce', *args]) == 1
    err = capsys.readouterr().err
    assert says in err and 'Traceback' not in err and not list(Path().glob('reproduced/*/cells'))
