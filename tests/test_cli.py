"""The `taidpt` command, on small data."""
import csv, json, os, re, shutil, sys
from glob import glob
from io import BytesIO, TextIOWrapper
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
import typer
from conftest import ROOT
from taidpt import training
from taidpt.all import (
    VOC2007, FrozenCLIP, NounFilter, TextConcepts, ZeroShotCLIP, load_clip, load_model)
from taidpt.apps import tagging
from taidpt.apps.cli import app, main
from taidpt.apps.tagging import read_classes
from taidpt.baselines.concepts import TextLinear, ready_to_tag
from taidpt.datasets.labelled import read_labels
from taidpt.evaluate import own_method
from taidpt.text.captions import bundled_captions

DEMO = ROOT/'taidpt/data/coco_demo'
PHOTOS = sorted((DEMO/'images').iterdir())[:6]
few = list(islice(bundled_captions(), 400))
quick = ['--method', 'prompts', '--loss', 'ranking', '--epochs', 2, '--batch-size', 128,
         '--n-ctx', 4]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A folder with captions and with prompts that were learned from them"
    root = tmp_path_factory.mktemp('cli')
    (root/'my.txt').write_text('\n'.join(few))
    learn = ['train', '--classes', 'cat,dog,bus,person', '--captions', root/'my.txt', *quick]
    assert main([*learn, '--out', root/'my.safetensors']) == 0
    assert not list(root.glob('*checkpoint*'))
    return root


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    "The command in this process, in an empty folder: exit status, standard output, standard error"
    monkeypatch.chdir(tmp_path)
    def call(*args):
        capsys.readouterr()
        return main(args), *capsys.readouterr()
    return call


def photos_in(batch) -> int: # N × 3 × height × width
    "How many images of a batch are not the grey ones that fill it"
    return int((batch.float().flatten(2).std(2) > 1e-3).any(1).sum())


def status_of(function, *args) -> int:
    "The exit status of a function in a process of its own"
    process = get_context('spawn').Process(target=function, args=args)
    process.start()
    process.join(300)
    return process.exitcode


def listed() -> list[str]:
    "What is in this folder, without the locks, which are hidden"
    return sorted(glob('*'))


GROUP = typer.main.get_command(app)


@pytest.mark.parametrize('name', GROUP.commands)
def test_manual_has_every_option(name):
    "The table that is stored in the manual is today's"
    cells = nbformat.read(ROOT/'nbs/apps/command.ipynb', as_version=4).cells
    [cell] = [cell for cell in cells if cell.source.endswith(f'options({name!r})')]
    [table] = [out.data['text/markdown'] for out in cell.outputs]
    params = [param for param in GROUP.commands[name].params if param.name != 'help']
    for param, row in zip(params, table.splitlines()[2:], strict=True):
        assert all(f'`{flag}`' in row for flag in param.opts if flag.startswith('-')), row
        assert (param.help or '').split('\n')[0] in row.replace('`', '')


def test_morning(folder, command):
    "What an engineer types with some photos: tags, a model, what it is worth, a tagger"
    photos = DEMO/'images'
    files = '--out', 'tags.csv', '--save', 'tagger.safetensors'
    assert command('tag', 'dog,bicycle,fire hydrant', photos, '--scores', *files)[0] == 0
    head = *tagging._COLUMNS, 'score of dog', 'score of bicycle', 'score of fire hydrant'
    assert tuple(pd.read_csv('tags.csv')) == head

    text = (DEMO/'labels.tsv').read_text().replace('bicycle', 'bike', 1)        # its own word
    Path('my.tsv').write_text(text.replace('bicycle', 'two wheels'))            # an added one
    labels = '--images', photos, '--labels', 'my.tsv', '--json'
    added = '--words', 'bicycle: two wheels', '--title', 'Ours', '--report', 'r.html'
    calibrate = *labels, *added, '--calibrate', 'tuned.safetensors'
    status, out, err = command('evaluate', 'tagger.safetensors', *calibrate)
    assert status == 0 and 'labels that are no class: ' in err
    assert json.loads(out)['classes']['bicycle']['images'] == 2
    assert '<h1>Ours</h1>' in Path('r.html').read_text()
    assert json.loads(out) == json.loads(command('evaluate', 'tuned.safetensors', *calibrate)[1])
    line = 'tag', 'tuned.safetensors', photos, '--scores'
    assert command(*line, '--out', 'tuned.csv')[0] == 0 and '% likely)' in command(*line)[1]
    table = pd.read_csv('tuned.csv')
    wanted = load_model('tuned.safetensors').predict_proba(photos)
    probabilities = table.filter(like='probability of ').to_numpy()
    assert probabilities == pytest.approx(wanted.numpy(), abs=1e-4, nan_ok=True)
    entries = json.loads(command(*line, '--json', '--top', 1)[1])
    for row, entry in zip(table.to_dict('records'), entries, strict=True):
        [best] = entry['tags']
        assert row['image'] == entry['image']
        name = best['class']
        assert best['score'] == row[f'score of {name}']
        likely = pytest.approx(row[f'probability of {name}'], nan_ok=True)
        assert best.get('probability', np.nan) == likely
    pytest.importorskip('onnx')
    model = folder/'my.safetensors'
    assert command('export', model, '--out', 'my.onnx')[0] == 0
    ours, theirs = (command('tag', name, *PHOTOS)[1] for name in (model, 'my.onnx'))
    assert ours == theirs and ours.count('\n') == 6
    rows = [json.loads(command('evaluate', name, *labels)[1])['methods'][row]
            for name, row in ((model, 'TaI-DPT'), ('my.onnx', 'my.onnx'))]
    ours, theirs = ((row['mAP'], row['CF1']) for row in rows)
    assert ours == pytest.approx(theirs)


def test_names_only(command):
    "Concepts of one sentence for each name; no caption is read"
    with mock.patch('taidpt.baselines.concepts.bundled_captions', side_effect=AssertionError):
        _, out, _ = command('tag', 'cat,dog', PHOTOS[0], '--names-only', '--json', '--top', 2)
    [entry] = json.loads(out)
    sentences = ['a photo of a cat.', 'a photo of a dog.']
    model = TextConcepts(load_clip(), ['cat', 'dog'], templates=False)
    [wanted] = model.fit(sentences, torch.eye(2), progress=False).predict(PHOTOS[0]).tolist()
    scores = {tag['class']: tag['score'] for tag in entry['tags']}
    assert scores == pytest.approx(dict(cat=wanted[0], dog=wanted[1]), abs=1e-4)

    # so are names that no caption has; a single one, too, of which no mean is subtracted
    with pytest.warns(UserWarning, match='No bundled caption names narwhal, axolotl'):
        assert ready_to_tag(load_clip(), ['narwhal', 'axolotl']).title == 'concepts'
    one = ready_to_tag(load_clip(), ['cat'], captions=False)
    vector, _ = ZeroShotCLIP(load_clip(), ['cat']).embeddings()
    assert one.title == 'concepts' and torch.allclose(one.embeddings()[0], vector, atol=1e-6)
    assert one.predict(PHOTOS).abs().max() <= 1


def test_a_cluster_needs_files(command):
    status, _, err = command('label', '--classes', 'cat,dog', '--ray', 'local')
    assert status == 1 and 'needs CAPTIONS and --out FOLDER' in err


def test_a_class_without_another_word(command):
    line = 'tag', 'kitchen,dog', PHOTOS[0]
    notes = [command(*line, *more)[2] for more in [('--words', 'kitchen: galley'), ()]]
    assert ['no other word' in note for note in notes] == [False, True]
    assert 'add some by --words WORDS, or' in notes[1]


def test_synonyms_are_edited(folder, command):
    "Written, edited and given back, they are taken at their word; --words adds some"
    label = 'label', folder/'my.txt', '--classes', 'dog,"fire truck",bus'
    assert command(*label, '--synonyms-out', 'my.yaml', '--words', 'dog: frisbee')[0] == 0
    text = Path('my.yaml').read_text()
    Path('my.yaml').write_text(text.replace('fire engine', 'red engine'))
    explain = '--explain', 'a red engine and a fire engine by a frisbee'
    status, out, _ = command('label', '--classes', 'my.yaml', *explain)
    assert status == 0 and "'red engine' -> fire truck" in out and "'frisbee' -> dog" in out
    assert "'fire engine'" not in out


BAD_INPUT = [
    ('train --classes my.yaml --out x.safetensors', 'my.yaml'),
    ('train --classes cat,dog --captions empty.txt --out x.safetensors', 'no sentence names'),
    ('train --classes cat,dog --captions torn.jsonl --out x.safetensors', 'torn.jsonl'),
    ('train --classes cat,dog --loss ranking --out x.safetensors', '--method prompts'),
    ('train --classes cat,dog --method concepts --loss ranking --out x.safetensors',
     '--method prompts'),
    ('tag no.safetensors PHOTOS', 'no.safetensors'),
    ('tag cat PHOTOS', 'cat'),
    ('tag PROMPTS empty', 'empty'),
    ('tag PROMPTS torn.jsonl', '--on-error skip goes on'),
    ('tag my.onnx PHOTOS', 'my.onnx'),
    ('evaluate PROMPTS --labels labels.tsv', 'gone.jpg'),
    ('label table.csv --column c --classes voc2007', "'c'"),
    ('label table.csv --classes voc2007', 'pass --column NAME, one of'),
    ('label table.csv --classes voc2007 --column 2', 'no column 2: the table has 2, counted'),
    ('import PROMPTS --data voc2007 --clip embedded', 'my.safetensors'),
    ('import no_words.pth --data voc2007 --clip embedded', 'no_words.pth: it lacks the words'),
    ('import list.pth --data voc2007 --clip embedded', 'list.pth: the prompts are not those'),
]


@pytest.mark.parametrize('line, says', BAD_INPUT)
def test_bad_input(line, says, folder, command):
    "One line of error, nothing on standard output, nothing written"
    Path('empty').mkdir()
    Path('empty.txt').touch()
    Path('torn.jsonl').write_text('{"caption": "a cat"}\n{"caption": "a do')
    Path('table.csv').write_text('a,b\nno animal here today,and none here either\n')
    Path('labels.tsv').write_text('image\tlabels\ngone.jpg\tcat\n')
    torch.save({'ctx': torch.ones(4, 256), 'ctx_double': torch.ones(4, 256)}, 'no_words.pth')
    torch.save([1, 2], 'list.pth')
    before = listed()
    given = {'PROMPTS': folder/'my.safetensors', 'PHOTOS': DEMO/'images'}
    status, out, err = command(*(given.get(a, a) for a in line.split()))
    assert (status, out) == (1, '') and 'Traceback' not in err
    assert err.splitlines()[-1].startswith('taidpt: error: ') and says in err.splitlines()[-1]
    assert listed() == before


def test_clip_folder_that_is_not_here(folder, command, tmp_path, monkeypatch):
    "Prompts that were learned on a CLIP in a folder say so where that folder is not"
    shutil.copytree(ROOT/'taidpt/data/mini_clip', 'tiny')
    learn = 'train', '--classes', 'cat,dog', '--captions', folder/'my.txt', *quick
    assert command(*learn, '--clip', 'local-dir:tiny', '--out', 'x.safetensors')[0] == 0
    (tmp_path/'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path/'elsewhere')
    line = 'tag', '../x.safetensors', PHOTOS[0]
    status, _, err = command(*line)
    assert status == 1 and "learned on 'local-dir:tiny'" in err
    assert 'say --clip NAME, or --trust if you know' in err
    assert command(*line, '--clip', 'local-dir:../tiny')[0] == 0


def test_names_are_text(folder, command, monkeypatch):
    "Also on a terminal of few letters, and as JSON, which names a file exactly"
    Path('odd').mkdir()
    names = ['a\n\x1b\x9b\u202e.jpg', 'caf\udce9.jpg', 'фото.jpg']
    for name in names: shutil.copy(PHOTOS[0], f'odd/{name}')
    line = ['tag', str(folder/'my.safetensors'), 'odd']
    assert not re.search('[\x1b\x9b\u202e\udce9]', command(*line)[1])
    entries = json.loads(command(*line, '--json')[1])
    assert sorted(entry['image'] for entry in entries) == sorted(f'odd/{name}' for name in names)
    for stream in ('stdout', 'stderr'):
        monkeypatch.setattr(sys, stream, TextIOWrapper(BytesIO(), 'latin-1'))
    assert main([*line[:2], 'odd/фото.jpg', '--threshold', '9']) == 0
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue() == rb'odd/\u0444\u043e\u0442\u043e.jpg: nothing' + b'\n'


def test_what_is_printed_is_text(folder, command):
    "The names of classes, of models and of files control no terminal, and a sentence neither"
    odd = 'cat \x1b[2J\a\x9b\u202e'
    Path('my.yaml').write_text(json.dumps([odd, 'dog']))
    label = 'label', '--classes', 'my.yaml', '--explain', f'a {odd} and a dog'
    model, tagger = f'{odd}.safetensors', f'{odd}.onnx'
    shutil.copy(folder/'my.safetensors', model)
    labelled = '--images', DEMO/'images', '--labels', DEMO/'labels.tsv'
    evaluate = 'evaluate', model, folder/'my.safetensors', *labelled
    train = ('train', '--classes', 'cat,dog,bus,person', '--cache', 'features', '--out', model,
             '--val', DEMO/'images', '--val-labels', DEMO/'labels.tsv')
    with (mock.patch('taidpt.apps.onnx.export_tagger'),
          mock.patch('taidpt.apps.tagging.learn_tagger', return_value=load_model(model))):
        for line in (label, evaluate, (*evaluate, '--json'), ('export', model, '--out', tagger),
                     train):
            status, out, err = command(*line)
            assert status == 0 and 'cat' in out, err
            assert not re.search('[\x1b\a\x9b\u202e]', out), line[0]


def test_arguments_that_are_repeated_are_text(command):
    "Below the usage, with the status of a wrong argument; also a file of a shell's pattern"
    odd = 'cat\x1b[2J\a\x9b\u202e'
    for line in ('tag', f'--{odd}'), ('import', odd, '--data', 'voc2007'), ('data', odd), (odd,):
        status, out, err = command(*line)
        assert status == 2 and err.startswith('Usage: taidpt') and 'cat' in err, line
        assert not re.search('[\x1b\a\x9b\u202e]', out + err), line
    status, out, err = command()
    assert status == 2 and 'Commands:\n  tag ' in out + err


def test_a_name_of_nothing_is_an_error(folder, command):
    "Whatever --on-error says: a disk that is not mounted is no picture that cannot be read"
    line = 'tag', folder/'my.safetensors', '--out', 'tags.csv', '--on-error', 'skip', PHOTOS[0]
    assert command(*line)[0] == 0
    before = Path('tags.csv').read_bytes()
    for name in ('gone/', 'gone.jpg'):
        status, out, err = command(*line, PHOTOS[1], name)
        assert (status, out) == (1, '') and f'error: {name}: there is no such file or folder' in err
        assert Path('tags.csv').read_bytes() == before


def test_the_status_says_that_some_images_were_not_read(folder, command):
    "3, and 1 if there was none to read; a link that leads nowhere is there, but cannot be read"
    Path('link.jpg').symlink_to('nowhere.jpg')
    Path('torn.jpg').write_bytes(b'no image')
    line = 'tag', folder/'my.safetensors', '--on-error', 'skip'
    for more in ((), ('--json',), ('--out', 'tags.csv'), ('--out', 'tags.csv')):
        status, out, err = command(*line, 'link.jpg', 'torn.jpg', PHOTOS[0], *more)
        assert status == 3 and '2 of 3 images could not be read' in err
        assert 'scored again, 2 not read; ' in out or '--out' not in more
        status, _, err = command(*line, 'torn.jpg', *more)
        assert status == 1 and err.endswith('error: no image could be read\n')
    assert command(*line, PHOTOS[0])[0] == 0
    lines = [f'{PHOTOS[0]}\tperson', f'{Path("torn.jpg").absolute()}\tcat']
    Path('labels.tsv').write_text('\n'.join(['image\tlabels', *lines]))
    measure = 'evaluate', folder/'my.safetensors', '--labels', 'labels.tsv', '--on-error', 'skip'
    status, _, err = command(*measure)
    assert status == 3 and '1 of 2 images could not be read' in err


def test_a_line_that_is_wrong_has_status_2(command):
    assert command('tag', 'photos/')[0] == 2
    assert command('tags')[0] == 2


def test_demo(command):
    "From the bundled captions to a report on the bundled photos, for one epoch"
    status, out, _ = command('demo', '--epochs', 1, '--quiet')
    assert status == 0 and 'Written: demo/report.html' in out
    page = Path('demo/report.html').read_text()
    assert page.count('<article') == 36
    assert 'TaI-DPT' in page and 'linear on pairs with attention' in page
    every = NounFilter(VOC2007.spelled_naturally()).label(bundled_captions(), progress=False)
    for name in 'prompts', 'linear':                        # no limit is left in between
        learned = load_model(f'demo/{name}.safetensors')
        assert learned.class_prior_ == pytest.approx(every.shares())


def test_a_large_photo_is_read_if_one_says_so(folder, command, monkeypatch):
    monkeypatch.setattr('PIL.Image.MAX_IMAGE_PIXELS', 50_000)       # the limit is twice as many
    line = 'tag', folder/'my.safetensors', PHOTOS[0]
    status, _, err = command(*line)
    assert status == 1 and 'exceeds limit of 100000 pixels: ' in err and '..' not in err
    assert '--max-megapixels N, allows more' in err
    assert command(*line, '--max-megapixels', 1)[0] == 0
    assert command(*line)[0] == 1


def test_a_file_that_looks_like_an_option(folder, command):
    "As a shell's pattern gives it; the error says what to type"
    shutil.copy(PHOTOS[0], '-dash.jpg')
    status, _, err = command('tag', folder/'my.safetensors', '-dash.jpg')
    assert status == 2 and 'put -- before the files, or write ./*.jpg' in ' '.join(err.split())
    for names in (('./-dash.jpg',), ('--', '-dash.jpg')):
        assert command('tag', folder/'my.safetensors', *names)[0] == 0


MINE = """from taidpt.all import ZeroShotCLIP
class Quiet(ZeroShotCLIP): pass
"""

def test_a_method_of_ones_own(folder, command, monkeypatch):
    "tag, export and app take it from its file; without, the error names the option"
    Path('mine.py').write_text(MINE)
    model = 'mine.safetensors'
    classes = load_model(folder/'my.safetensors').classes
    with mock.patch.dict('taidpt.model_files._OTHERS'):
        own_method('mine.py:Quiet')(load_clip(), classes, local=False).save(model)
    with mock.patch.dict('taidpt.model_files._OTHERS', clear=True):
        for line in ('tag', model, PHOTOS[0]), ('export', model, '--out', 'm.onnx'):
            status, _, err = command(*line)
            assert status == 1 and 'by --member FILE.py:Quiet' in err
        assert command(*line, '--member', 'mine.py:Quiet')[0] == 0 and Path('m.onnx').exists()

    def opened(args):
        "What the page of the Explorer runs, in its folder"
        code = nbformat.read(args[0], as_version=4).cells[0].source
        with monkeypatch.context() as there:
            there.chdir(Path(args[0]).parent)
            exec(code, {})  # noqa: S102  of our own page

    pytest.importorskip('voila')
    with (mock.patch.dict('taidpt.model_files._OTHERS', clear=True),
          mock.patch('voila.app.Voila.launch_instance', side_effect=opened) as launch):
        assert command('app', model, '--member', 'mine.py:Quiet')[0] == 0
        assert command('app', model, '--member', 'gone.py:Quiet')[0] == 1
    assert launch.call_count == 1


# A table that grows

@pytest.fixture
def night(command, folder):
    "A run in a folder of four photos: exit status, how many were encoded"
    Path('photos').mkdir()
    for photo in PHOTOS[:4]: shutil.copy(photo, 'photos')

    def run(*options, out='tags.csv'):
        line = 'tag', folder/'my.safetensors', 'photos', '--out', out, '--threshold', .1
        encode = FrozenCLIP.encode_maps
        with mock.patch.object(FrozenCLIP, 'encode_maps', autospec=True, side_effect=encode) as e:
            status, run.out, run.err = command(*line, *options)
        return status, sum(photos_in(call.args[1]) for call in e.call_args_list)

    return run


def rows(path='tags.csv') -> dict[str, dict]:
    with open(path, newline='', encoding='utf-8-sig') as f:
        return {Path(row['image']).name: row for row in csv.DictReader(f)}


def correct(image, path='tags.csv', **cells):
    "A person writes into the row of an image"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, cell in cells.items(): frame.loc[frame.image.str.contains(image), name] = cell
    frame.to_csv(path, index=False)


def test_a_second_night(night):
    "Scores what is new, changed, or had an error; each other row stays, with what was corrected"
    assert night('--scores') == (0, 4)
    before = Path('tags.csv').read_bytes()
    assert night('--scores') == (0, 0) and Path('tags.csv').read_bytes() == before
    with open('tags.csv', newline='') as f: head, *table = csv.reader(f)
    table = [[*cells, 'seen'] for cells in table]
    for cells in table[1:]: cells[1] = 'zebra'
    table[-1].pop()                                         # as of an editor
    with open('tags.csv', 'w', newline='', encoding='utf-8-sig') as f:      # as of a spreadsheet
        csv.writer(f, lineterminator='\r\n').writerows([[*head, 'note'], *table])
    Path('photos/torn.jpg').write_bytes(b'no image')
    shutil.copy(PHOTOS[4], 'photos/0 new.jpg')
    for photo in PHOTOS[:2]: os.utime(f'photos/{photo.name}', (0, 0))
    assert night()[0] == 1                                  # the broken image
    assert night('--on-error', 'skip') == (3, 2)
    assert f'have changed since: photos/{PHOTOS[1].name}' in night.err
    kept = rows()
    assert len(kept) == 6 and kept['torn.jpg']['error'].startswith('cannot be read: ')
    changed = kept.pop(PHOTOS[0].name)
    assert changed['changed'].startswith('1970') and changed['note'] == 'seen'
    assert [kept[photo.name]['tags'] for photo in PHOTOS[1:4]] == ['zebra']*3
    shutil.copy(PHOTOS[5], 'photos/torn.jpg')
    assert night() == (0, 1) and rows()['torn.jpg']['error'] == ''
    assert night('--tiles', 2)[1] > 6                       # another model
    assert [row['note'] for row in rows().values()].count('seen') == 3
    assert [rows()[photo.name]['tags'] for photo in PHOTOS[1:4]] == ['zebra']*3


def test_a_corrected_row_outlives_its_model(night):
    night()
    correct(PHOTOS[0].stem, tags='zebra')
    correct(PHOTOS[1].stem, checked='yes')
    before = rows()
    assert night('--tiles', 2)[0] == 0 and 'rows: 0 new, 2 kept, 2 scored again; ' in night.out
    kept = [name for name, row in rows().items() if row == before[name]]
    assert kept == [photo.name for photo in PHOTOS[:2]]


def test_a_row_is_of_a_threshold_and_of_a_file(night):
    night()
    assert night('--threshold', .9) == (0, 4) and night('--threshold', .9) == (0, 0)
    photo = Path('photos')/PHOTOS[0].name
    time = photo.stat().st_mtime_ns
    shutil.copy(PHOTOS[4], photo)
    os.utime(photo, ns=(time, time))
    assert night('--threshold', .9) == (0, 1)


def test_a_torn_score(night):
    """1.9199 that a full disk wrote as 1.919 is no score: the row is written again

    The last decimal may differ, since the image is encoded in a batch of another size."""
    night('--scores')
    whole, before = Path('tags.csv').read_bytes(), rows()
    Path('tags.csv').write_bytes(whole[:-2])
    assert night('--scores') == (0, 1)
    after = rows()
    assert list(after) == list(before)
    for name, row in before.items():
        for column in [column for column in row if column.startswith('score of')]:
            score, again = float(row.pop(column)), float(after[name].pop(column))
            assert abs(score - again) < 2e-4
        assert after[name] == row


def test_a_torn_letter(night):
    shutil.move(f'photos/{PHOTOS[3].name}', 'photos/я.jpg')
    night()
    Path('tags.csv').write_bytes(Path('tags.csv').read_bytes().split(b'\x8f')[0])
    assert night() == (0, 1) and 'я.jpg' in rows()


def test_own_columns_stay(night):
    "Also marks under the names of all classes, which are no scores, and columns of other names"
    night()
    marks = dict.fromkeys(('cat', 'dog', 'bus', 'person'), '1')
    correct('', **marks, model_year='007')
    shutil.copy(PHOTOS[4], 'photos')
    assert night('--scores', '--threshold', .9) == (0, 5)   # each row is written again
    assert "a run writes scores under names such as 'score of cat'" in night.err
    table = rows()
    assert float(table[PHOTOS[4].name]['score of cat']) < 1
    assert table.pop(PHOTOS[4].name)['cat'] == ''
    for row in table.values():
        assert float(row['score of cat']) < 1
        assert {name: row[name] for name in marks} == marks and row['model_year'] == '007'
    before = {name: row['score of cat'] for name, row in table.items()}
    assert night('--tiles', 2)[0] == 0 and 'score of cat' not in night.err
    assert all(rows()[name]['score of cat'] != score for name, score in before.items())


def test_a_class_that_is_called_like_a_column(command):
    line = 'tag', 'cat,model', PHOTOS[0], '--names-only', '--out', 't.csv', '--scores'
    assert command(*line)[0] == 0
    [row] = rows('t.csv').values()
    assert row['model'].startswith('concepts ') and float(row['score of model']) < 1


def test_another_ending_than_csv(night):
    "Nothing is scored, and a file that is there stays"
    Path('tags.db').write_bytes(b'mine')
    for out in 'tags.db', 'tags.parquet', 'tags.xlsx':
        assert night(out=out) == (1, 0)
        assert f"{out}: a table of tags ends in .csv; pandas converts it: " in night.err
        assert "pandas.read_csv('tags.csv').to_parquet('tags.parquet')" in night.err
    assert Path('tags.db').read_bytes() == b'mine' and listed() == ['photos', 'tags.db']


@pytest.mark.parametrize('end, last_end', [('\n', ''), ('\r\n', ''), ('\r', ''), ('\n', '\r')])
def test_a_table_without_a_line_end(end, last_end, night, edited):
    "As editors and spreadsheets of the web leave it: its last row stays, and what is in it"
    def without_end():
        correct('', tags='zebra')
        text = Path('tags.csv').read_text().rstrip('\n').replace('\n', end)
        Path('tags.csv').write_bytes((text + last_end).encode())

    assert edited(without_end) == 0                         # during a run
    assert [row['tags'] for row in rows().values()].count('zebra') == 2
    without_end()                                           # and before one
    assert night() == (0, 0)
    assert [row['tags'] for row in rows().values()] == ['zebra']*4


def test_a_last_row_of_a_photo_that_is_gone(night):
    "It stays, too, though its last number may be torn"
    night()
    last = [*rows()][-1]
    Path('tags.csv').write_text(Path('tags.csv').read_text().rstrip('\n'))
    Path('photos', last).unlink()
    assert night() == (0, 0) and last in rows()


def test_a_torn_mark_is_no_word_of_a_person(night):
    night()
    before = Path('tags.csv').read_bytes()
    Path('tags.csv').write_bytes(before[:-4])
    assert night() == (0, 1) and Path('tags.csv').read_bytes() == before


def test_semicolons_and_letters_of_a_spreadsheet(night, command, folder):
    "The table stays as it was found; another alphabet is one sentence"
    night()
    correct('', tags='bus', Größe='7,5')
    text = Path('tags.csv').read_text().replace('"7,5"', '7.5').replace(',', ';')
    Path('tags.csv').write_text(text, encoding='utf-8-sig')
    shutil.copy(PHOTOS[4], 'photos')
    assert night() == (0, 1)
    assert Path('tags.csv').read_text(encoding='utf-8').startswith(f'\ufeff{text}')
    assert command('evaluate', folder/'my.safetensors', '--labels', 'tags.csv')[0] == 0
    Path('tags.csv').write_text(text, encoding='cp1252')
    fault = 'tags.csv: it is not UTF-8: save it as UTF-8, which spreadsheets call CSV UTF-8'
    assert night() == (1, 0) and fault in night.err
    assert fault in command('evaluate', folder/'my.safetensors', '--labels', 'tags.csv')[2]


def test_permissions_and_links_stay(night):
    Path('real').mkdir()
    Path('tags.csv').symlink_to('real/mine.csv')
    assert night()[0] == 0
    Path('tags.csv').chmod(0o600)
    shutil.copy(PHOTOS[4], 'photos')
    assert night() == (0, 1) and len(rows('real/mine.csv')) == 5
    assert Path('tags.csv').is_symlink()
    assert Path('real/mine.csv').stat().st_mode & 0o777 == 0o600


# Which photo a row is of

def test_one_folder_by_many_paths(night, folder, command):
    "And one photo by several names: one row, and one label"
    night()
    line = 'tag', folder/'my.safetensors', '--out', 'tags.csv', '--threshold', .1
    Path('link').symlink_to('photos')
    for place in (Path('photos').resolve(), 'photos/../photos', 'link'):
        status, out, _ = command(*line, place)
        assert status == 0 and 'rows: 0 new, 4 kept, 0 scored again' in out
    photo = f'photos/{PHOTOS[0].name}'
    names = photo, f'./{photo}', Path(photo).resolve(), f'link/{PHOTOS[0].name}'
    assert 'rows: 1 new' in command(*line[:-2], *names, '--out', 'one.csv')[1]
    assert len(rows('one.csv')) == 1
    Path('labels.tsv').write_text('\n'.join(['image\tlabels', *(f'{name}\tcat' for name in names)]))
    status, out, _ = command('evaluate', folder/'my.safetensors', '--labels', 'labels.tsv')
    assert status == 0 and out.startswith('1 images')


@pytest.mark.skipif(sys.platform == 'win32', reason='needs names that Windows forbids')
def test_a_name_that_is_the_escape_of_another(night):
    for name in 'a\nb.jpg', r'a\nb.jpg': shutil.copy(PHOTOS[4], f'photos/{name}')
    assert night() == (0, 6) and night() == (0, 0)
    assert {r'a\nb.jpg', r'a\\nb.jpg'} < {*rows()}
    correct(r'a\\\\nb', tags='cat', checked='yes')          # the one with a backslash
    [photo] = read_labels('tags.csv', ['cat', 'dog']).images
    assert photo.name == r'a\nb.jpg'


def test_a_photo_outside_the_folder_of_the_table(night, command, folder):
    Path('tables').mkdir()
    assert night(out='tables/tags.csv') == (0, 4)
    assert {row['image'] for row in rows('tables/tags.csv').values()} == {
        str(photo.resolve()) for photo in Path('photos').iterdir()}
    correct('', 'tables/tags.csv', checked='yes')
    assert command('evaluate', folder/'my.safetensors', '--labels', 'tables/tags.csv')[0] == 0


def test_a_photo_that_was_renamed(night, command, folder):
    "A run names the row that it had; `evaluate` and `train` go on with the others"
    night()
    correct('', checked='yes')
    Path('photos', PHOTOS[0].name).rename('photos/renamed.jpg')
    assert night() == (0, 1)
    assert (f'seem to have rows under other names (1): photos/renamed.jpg is perhaps '
            f'photos/{PHOTOS[0].name}') in night.err
    assert night() == (0, 0) and 'perhaps' not in night.err
    status, out, err = command('evaluate', folder/'my.safetensors', '--labels', 'tags.csv')
    assert status == 0 and out.startswith('3 images')
    assert f'left out, as no such image is there (1): photos/{PHOTOS[0].name}' in err
    learn = 'train', '--classes', 'cat,person', '--labels', 'tags.csv', '--out', 'x.safetensors'
    assert 'tags.csv: 3 labelled images are too few' in command(*learn)[2]


# As the version before wrote it, by `taidpt tag … photos --out tags.csv --scores`, with rounded
# scores; a person then changed the first row and checked the third
OLD_TABLE = r"""
image,tags,error,model,changed,checked,bear,skis,person
photos/000000000285.jpg,"bear,person",,MODEL,TIME 73709 bytes,no abbed058,0.5,0.1,0.1
photos/000000000785.jpg,"skis,person",,MODEL,TIME 26120 bytes,no dfdfdd9d,0.1,0.7,0.3
photos/000000001268.jpg,,,MODEL,TIME 36384 bytes,yes,0.1,0.1,0.1
photos/bus\nstop.jpg,,,MODEL,TIME 37728 bytes,no 6e340b9c,0.1,-0.1,-0.1
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='needs a name that Windows forbids')
@pytest.mark.parametrize('place', ['.', 'tables'])
def test_a_table_of_the_version_before(place, command):
    "Its rows find their photos, no row is scored again, and what a person wrote holds"
    Path('photos').mkdir()
    for number in 285, 785, 1268, 6723:
        photo = Path('photos', f'{number:012}.jpg')
        if number == 6723: photo = Path('photos/bus\nstop.jpg')
        shutil.copy(DEMO/'images'/f'{number:012}.jpg', photo)
        os.utime(photo, (1714979289, 1714979289))           # TIME
    line = 'tag', 'bear,skis,person', 'photos', '--out', Path(place, 'tags.csv')
    model = tagging.TagTable('tags.csv', tagging.open_model('bear,skis,person')).model
    Path(place).mkdir(exist_ok=True)
    table = Path(place, 'tags.csv')
    text = OLD_TABLE.lstrip().replace('MODEL', model)
    table.write_text(text.replace('TIME', '2024-05-06T07:08:09+00:00'))
    status, out, err = command(*line)
    assert status == 0 and 'rows: 0 new, 4 kept, 0 scored again' in out
    assert 'its columns with the names of the classes stay as they are' in err
    kept = rows(table)
    assert [row['tags'] for row in kept.values()] == ['bear,person', 'skis,person', '', '']
    assert 'rows: 0 new, 2 kept, 2 scored again' in command(*line, '--threshold', .9)[1]
    assert rows(table)['000000000285.jpg']['tags'] == 'bear,person'
    status, out, err = command('evaluate', 'bear,skis,person', '--labels', table)
    assert status == 0 and out.startswith('2 images')
    assert 'a person confirmed 2 of 4 rows' in err


def test_two_runs_on_one_table(night, folder):
    night()
    table = tagging.TagTable('tags.csv', load_model(folder/'my.safetensors'))
    with table.writing():
        assert night()[0] == 1 and 'tags.csv: another run is writing it' in night.err
    assert night()[0] == 0


@pytest.fixture(params=[1, 2])
def edited(night, monkeypatch, request):
    "A run in two parts; after one of them, a person saves the table of the first with an edit"
    add = tagging.TagTable.add
    saved = []

    def run(edit):
        def add_and_edit(table, tagged):
            add(table, tagged)
            saved.append(table.path.read_text())
            if len(saved) == request.param:
                table.path.write_text(saved[0])
                edit()

        with monkeypatch.context() as patch:
            patch.setattr(tagging.TagTable, 'add', add_and_edit)
            patch.setattr(tagging, '_PART', 2)
            return night()[0]

    return run


def test_an_edit_while_a_run_goes_on(night, edited):
    "The correction stays, and so do all rows of the run"
    assert edited(lambda: correct(PHOTOS[0].stem, tags='zebra', note='seen')) == 0
    assert 'tags.csv was changed during the run' in night.err
    first, *others = rows().values()
    assert (first['tags'], first['note']) == ('zebra', 'seen') and len(others) == 3
    assert night() == (0, 0)


def test_an_edit_that_breaks_the_table(night, edited):
    "It stays, and the rows of the run are beside it"
    def edit(table=Path('tags.csv')): table.write_text(table.read_text().replace(',', '|'))

    assert edited(edit) == 1
    assert 'a table of tags has the columns' in night.err and 'in tags.new.csv' in night.err
    assert len(rows('tags.new.csv')) == 4 and '|' in Path('tags.csv').read_text()


def test_a_stopped_run_says_what_it_keeps(night, command, folder):
    stop = mock.patch.object(FrozenCLIP, 'encode_maps', side_effect=KeyboardInterrupt)
    with stop: status, _, err = command('tag', folder/'my.safetensors', 'photos', '--out', 't.csv')
    assert status == 130 and err.splitlines()[-1].startswith('taidpt: stopped: ')
    assert 't.csv has the rows so far; the same command goes on' in err
    with stop: status, _, err = command('tag', folder/'my.safetensors', 'photos')
    assert status == 130 and '--out' in err.splitlines()[-1]


def test_tags_of_a_model_are_no_labels(night, command, folder):
    "But rows that a person changed or checked; other words confirm nothing, and keep their rows"
    night()
    def evaluate(): return command('evaluate', folder/'my.safetensors', '--labels', 'tags.csv')

    status, out, err = evaluate()
    assert status == 1 and not out and 'tags.csv: no person confirmed a row' in err
    words = 'nein', '?', 'no', ''
    for photo, word in zip(PHOTOS, words): correct(photo.stem, checked=word)
    status, _, err = evaluate()
    assert status == 1 and "what confirms nothing under checked (4): 'nein', '?', 'no'" in err
    assert night('--threshold', .9) == (0, 0)               # no run writes over these words
    correct(PHOTOS[0].stem, tags='person,cat', checked='no 12345678')
    correct(PHOTOS[1].stem, checked='TRUE')
    status, out, err = evaluate()
    assert status == 0 and out.startswith('2 images')
    assert 'a person confirmed 2 of 4 rows' in err and "'no', an empty cell" in err
    learn = 'train', '--classes', 'cat,dog,person', '--labels', 'tags.csv'
    status, _, err = command(*learn, '--out', 'x.safetensors')
    assert status == 1 and 'tags.csv: 2 labelled images are too few' in err


def test_a_table_that_pandas_tidies_confirms_nothing(night, command, folder):
    "Spaces behind commas, and names in another order"
    night('--threshold', -1)                                # all four classes are tags
    table = pd.read_csv('tags.csv')
    table.tags = table.tags.map(lambda tags: ', '.join(sorted(tags.split(','))))
    table.to_csv('tags.csv', index=False)
    status, _, err = command('evaluate', folder/'my.safetensors', '--labels', 'tags.csv')
    assert status == 1 and 'tags.csv: no person confirmed a row' in err


def test_a_model_that_compares_images_scores_all(folder, command):
    from taidpt.all import Ensemble
    model = load_model(folder/'my.safetensors')
    Ensemble([model, model], normalize='minmax').save('both.safetensors')
    line = 'tag', 'both.safetensors', '--out', 'tags.csv', '--scores', '--threshold', .5
    assert command(*line, *PHOTOS[:2])[0] == 0
    before = rows()
    assert command(*line, *PHOTOS)[0] == 0
    assert len(rows()) == 6 and rows()[PHOTOS[0].name] != before[PHOTOS[0].name]


# Killed in the middle

def killed_while_tagging(*line) -> int:
    "The process dies in the middle of the fifth row"
    add = tagging.TagTable.add

    def die(table, tagged):
        if len(table.rows) < 4: return add(table, tagged)
        with open(table.path, 'a') as file: file.write('photos/0000,"per')
        os._exit(9)

    with mock.patch.object(tagging.TagTable, 'add', die), mock.patch.object(tagging, '_PART', 2):
        return main(line)


def killed_while_learning(checkpoint, *line) -> int:
    "The process dies in the second epoch"
    step = torch.optim.SGD.step

    def die(*args, **kwargs):
        if checkpoint.exists(): os._exit(9)
        return step(*args, **kwargs)

    with mock.patch.object(torch.optim.SGD, 'step', die): return main(line)


def test_a_killed_run_goes_on(folder, command, tmp_path):
    "And ends as one that was not killed"
    line = 'tag', folder/'my.safetensors', *PHOTOS, '--out'
    assert status_of(killed_while_tagging, *line, 'tags.csv') == 9
    assert 'tags.csv, rows: 2 new, 4 kept, 0 scored again; ' in command(*line, 'tags.csv')[1]
    report = 'Written: anew.csv, rows: 6 new, 0 kept, 0 scored again; columns: image, tags, '
    assert command(*line, 'anew.csv')[1].startswith(report)
    assert Path('tags.csv').read_text() == Path('anew.csv').read_text()

    line = 'train', '--classes', 'cat,dog', '--captions', folder/'my.txt', *quick, '--out'
    checkpoint = tmp_path/'x.prompts.checkpoint.safetensors'
    out = tmp_path/'x.safetensors'
    assert status_of(killed_while_learning, checkpoint, *line, out) == 9
    status, _, err = command(*line, out, '--epochs', 3)                     # of another run
    assert status == 1 and checkpoint.name in err
    for path in (out, 'y.safetensors'): assert command(*line, path)[0] == 0
    ours, theirs = (load_model(path).state_dict() for path in (out, 'y.safetensors'))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and not checkpoint.exists()


def test_a_stopped_training_goes_on(folder, command):
    "And encodes no sentence again; labelled images add to what it has learned"
    learn = 'train', '--classes', 'person,car', '--captions', folder/'my.txt', '--limit', 300
    line = *learn, '--labels', DEMO/'labels.tsv', '--out', 'x.safetensors'
    with mock.patch.object(TextLinear, 'solve', side_effect=KeyboardInterrupt):
        status, _, err = command(*line)
    assert status == 130 and 'x.linear.sentences.checkpoint' in err.splitlines()[-1]
    with mock.patch('taidpt.encode._sentence_features', side_effect=AssertionError):
        status, out, _ = command(*line)
    assert status == 0 and '36 images bring ' in out and listed() == ['x.safetensors']
    assert sum(load_model('x.safetensors').weights) == 1


def test_a_training_removes_only_its_own_files(folder, command):
    "A stopped one by another method, with the same --out, still goes on"
    learn = 'train', '--classes', 'cat,dog', '--captions', folder/'my.txt', '--out', 'x.safetensors'
    save = training.save_checkpoint

    def save_and_stop(*args):
        save(*args)
        raise KeyboardInterrupt

    with mock.patch.object(training, 'save_checkpoint', save_and_stop):
        assert command(*learn, *quick)[0] == 130
    kept = listed()
    assert command(*learn)[0] == 0 and listed() == [*kept, 'x.safetensors']
    with mock.patch('taidpt.encode._sentence_features', side_effect=AssertionError):
        assert command(*learn, *quick)[0] == 0
    assert listed() == ['x.safetensors']


def test_two_trainings_write_no_file_together(folder, command):
    learn = 'train', '--classes', 'cat,dog', '--captions', folder/'my.txt', '--out', 'x.safetensors'
    solve = TextLinear.solve
    second = []

    def meanwhile(*args, **kwargs):
        with mock.patch.object(TextLinear, 'solve', solve): second.append(command(*learn))
        return solve(*args, **kwargs)

    with mock.patch.object(TextLinear, 'solve', meanwhile):
        assert command(*learn)[0] == 0 and listed() == ['x.safetensors']
    [(status, _, err)] = second
    assert status == 1 and 'x.safetensors: another run is writing it' in err


def test_measuring_changes_no_model(command):
    "The file is the same with --val-labels and without"
    learn = ('train', '--classes', 'person,car', '--method', 'concepts', '--rules', 'published',
             '--out')
    with mock.patch('taidpt.text.captions.bundled_captions', lambda: few):
        assert command(*learn, 'x.safetensors')[0] == 0
        assert command(*learn, 'y.safetensors', '--val-labels', DEMO/'labels.tsv')[0] == 0
    assert Path('x.safetensors').read_bytes() == Path('y.safetensors').read_bytes()


@pytest.mark.parametrize('option', ['--labels', '--val-labels'])
def test_labels_that_are_no_class(option, folder, command):
    "Are named, as two that are written with another mark between"
    shutil.copytree(DEMO/'images', 'images')
    text = (DEMO/'labels.tsv').read_text()
    Path('my.tsv').write_text(text.replace('person', 'car|person', 1))
    learn = 'train', '--classes', 'person,car', '--captions', folder/'my.txt', option, 'my.tsv'
    status, _, err = command(*learn, '--out', 'x.safetensors')
    assert status == 0 and 'my.tsv: labels that are no class: ' in err and 'car|person' in err


def test_words_are_added_once(command):
    "Without the spaces around; words for no class are an error"
    synonyms = read_classes('cat,dog', words=['cat: kitty , moggy', 'cat:moggy']).synonyms['cat']
    assert [word for word in synonyms if word.strip() in ('kitty', 'moggy')] == ['kitty', 'moggy']
    for words in ('kitty', 'cat:'):
        status, _, err = command('tag', 'cat,dog', PHOTOS[0], '--words', words)
        assert status == 1 and f'{words!r} adds no word' in err


def test_words_of_evaluate_are_added_once(command):
    with mock.patch('taidpt.apps.report.evaluate_model', side_effect=ValueError) as evaluate:
        command('evaluate', 'cat,dog', '--labels', DEMO/'labels.tsv', '--words', 'cat:moggy')
    assert evaluate.call_args.args[0].classes.synonyms['cat'].count('moggy') == 1


def test_rows_of_classes_have_short_names(command):
    lists = 'person,car,bus,cat,dog,cow', 'person,car'
    with (mock.patch('taidpt.apps.cli._open'),
          mock.patch('taidpt.apps.report.evaluate_model', side_effect=ValueError) as evaluate):
        command('evaluate', *lists, '--labels', DEMO/'labels.tsv')
    assert [*evaluate.call_args.args[0]] == ['person,car and 4 more', 'person,car']


def test_a_class_on_no_photo_has_no_probability(command):
    "And a line says which classes have thresholds of their own"
    line = 'evaluate', 'person,bird,axolotl', '--labels', DEMO/'labels.tsv'
    status, out, _ = command(*line, '--calibrate', 'x.safetensors', '--force')
    assert status == 0
    line_of_classes = 'Thresholds fitted for person; fewer than 5 images of bird (2), axolotl (0)'
    assert out.splitlines()[-2] == line_of_classes
    tag = 'tag', 'x.safetensors', PHOTOS[0], '--top', 3
    [entry] = json.loads(command(*tag, '--json')[1])
    assert {t['class'] for t in entry['tags'] if 'probability' in t} == {'person', 'bird'}
    assert command(*tag)[1].count('% likely') == 2
    assert command(*tag[:3], '--scores', '--out', 'tags.csv')[0] == 0
    [row] = rows().values()
    assert row['probability of axolotl'] == '' and float(row['probability of bird']) < 1
    likely = command(*tag[:3], '--probability', 1e-9)[1]
    assert {*likely.removeprefix(f'{PHOTOS[0]}: ').strip().split(', ')} == {'person', 'bird'}


def test_thresholds_that_are_worse_are_not_written(command):
    "Unless one says so; those of chance are, and the last line says where"
    line = ('evaluate', 'person,car', '--labels', DEMO/'labels.tsv', '--calibrate',
            'x.safetensors')
    status, out, err = command(*line)
    assert out.splitlines()[-1].startswith('Written: x.safetensors, ')
    assert 'low, high, threshold, precision and recall are of your concepts with attention' in out
    Path('x.safetensors').unlink()
    gains = {name: {'difference': -4., 'low': -7., 'high': -1.} for name in ('CF1', 'OF1')}
    with mock.patch('taidpt.apps.report.calibration_gain', return_value=gains):
        status, out, err = command(*line)
        assert status == 0 and 'Written' not in out and not Path('x.safetensors').exists()
        assert 'x.safetensors is not written; --force writes it' in err
        assert command(*line, '--force')[0] == 0 and Path('x.safetensors').exists()
