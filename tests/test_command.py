"""The command keeps what it has done, writes names that are names, and says what went wrong."""
import base64
import csv
import io
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from unittest import mock

import pytest
from conftest import ROOT, damaged, photos_in

from taidpt import training
from taidpt.all import ClassSet, FrozenCLIP, TaIDPT, Tiled, load_model
from taidpt.apps.cli import main
from taidpt.apps.hub import from_pretrained, save_pretrained
from taidpt.apps.learning import label_captions
from taidpt.apps.models import as_clip, ready_model
from taidpt.apps.onnx import Tagger, export_tagger
from taidpt.apps.tagging import TaggedPictures, tag_pictures
from taidpt.baselines.concepts import tag as quick_tag
from taidpt.clip import encode_sentences
from taidpt.datasets.labelled import read_labels
from taidpt.encoders import pictures
from taidpt.encoders.features import load_features
from taidpt.paper.family import bundled_results, keep_results, read_results
from taidpt.tags import Tag
from taidpt.text.captions import bundled_captions, gather_captions, read_captions
from taidpt.texts import LabeledTexts

DEMO = ROOT/'taidpt/data/coco_demo'
PHOTOS = sorted((DEMO/'images').iterdir())[:3]
FEW = [c for c in islice(bundled_captions(), 3000) if re.search(r'\b(cat|dog)s?\b', c)][:60]
TRAIN = 'train --classes cat,dog --captions my.txt --out my.safetensors'.split()
PROMPTS = [*TRAIN, *'--method prompts --loss ranking --n-ctx 2 --batch-size 32'.split()]

pytestmark = [pytest.mark.xdist_group('cli'), pytest.mark.usefixtures('one_clip')]


@pytest.fixture(scope='module')
def model(tmp_path_factory, one_clip):
    "A file with a model of three classes, one of them with a comma"
    folder = tmp_path_factory.mktemp('model')
    (folder/'my.yaml').write_text('[person, "dog, brown", bus]')
    path = folder/'model.safetensors'
    assert main(['tag', '-q', '--classes', folder/'my.yaml', PHOTOS[0], '--save', path]) == 0
    return path


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    "The command in this process, in a folder with photos: exit status, standard output, error"
    monkeypatch.chdir(tmp_path)
    Path('photos').mkdir()
    for photo in PHOTOS: shutil.copy(photo, 'photos')
    Path('my.txt').write_text('\n'.join(FEW))

    def call(*args):
        capsys.readouterr()
        return main(args), *capsys.readouterr()

    return call


def table(path) -> list[dict]:
    "The rows of a table by heading"
    with open(path, newline='', encoding='utf-8') as f: return list(csv.DictReader(f))


def counted():
    "While this lasts, the calls that encode pictures are counted"
    encode = FrozenCLIP.encode_maps
    return mock.patch.object(FrozenCLIP, 'encode_maps', autospec=True, side_effect=encode)


def encoded(calls) -> int:
    "How many pictures were encoded"
    return sum(photos_in(pixels) for (_, pixels, *_), _ in calls.call_args_list)


# What is written as it comes

def test_a_broken_picture_costs_only_itself(command, model):
    "Tags before it are printed; the same command goes on, and scores only what it has not scored"
    broken = Path('photos/z.jpg')
    broken.write_bytes(damaged(PHOTOS[0]))
    tag = ['tag', '--prompts', model, 'photos', '--out', 'tags.csv', '--threshold', .1]
    status, out, err = command(*tag)
    assert status == 1 and out.count('\n') == 3 and 'z.jpg' in err.splitlines()[-1]
    assert '3 of 4 pictures are kept' in err and 'the same command goes on' in err
    assert not Path('tags.csv').exists()
    shutil.copy(PHOTOS[0], broken)
    command(*tag[:3], PHOTOS[0])                    # the default threshold's photos are encoded
    with counted() as calls: status, out, err = command(*tag)
    assert status == 0 and encoded(calls) == 1
    assert [row['picture'] for row in table('tags.csv')] == sorted(
        map(str, Path('photos').iterdir())
    )
    assert [path.name for path in Path().glob('.*')] == ['.tags.csv.scores']
    broken.unlink()
    rows = table('tags.csv')[:3]
    Path('tags.csv').unlink()
    assert command(*tag)[0] == 0 and table('tags.csv') == rows         # as of an unbroken run


def test_pictures_that_cannot_be_read_are_found_before_any_is_scored(command, model):
    "All of them; but those that are kept are not looked at"
    tag = ['tag', '--prompts', model, 'photos', '--out', 'tags.csv', '--threshold', .1]
    assert command(*tag)[0] == 0
    whole = PHOTOS[0].read_bytes()
    faults = {'x.jpg': whole[:len(whole)//2], 'y.jpg': b'', 'z.png': b'no picture'}
    for name, content in faults.items(): Path('photos', name).write_bytes(content)
    shutil.copy(PHOTOS[0], 'photos/0 new.jpg')
    with counted() as calls: status, out, err = command(*tag)
    assert (status, out, encoded(calls)) == (1, '', 0)
    assert 'Cannot read 3 pictures: photos/x.jpg: ' in err.replace('\n    ', ' ')
    assert 'photos/y.jpg: ' in err and 'and 1 more' in err
    assert 'the scores of 3 of 7 pictures are kept' in err
    for name in faults: Path('photos', name).unlink()
    with mock.patch.object(pictures, '_seems_whole', side_effect=pictures._seems_whole) as looks:
        assert command(*tag)[0] == 0
    assert [str(call.args[0]) for call in looks.call_args_list] == ['photos/0 new.jpg']


def test_scores_of_another_model_or_picture_are_not_kept(command, model):
    Path('photos/z.jpg').write_bytes(damaged(PHOTOS[0]))
    stopped = ['photos', '--out', 'tags.csv', '--threshold', .1]
    assert command('tag', '--prompts', model, *stopped)[0] == 1
    kept, = Path().glob('.*')
    shutil.copy(PHOTOS[0], 'photos/z.jpg')
    Path(PHOTOS[1].name).write_bytes(kept.read_bytes())
    shutil.copy(PHOTOS[2], Path('photos', PHOTOS[1].name))               # another picture
    with counted() as calls: assert command('tag', '--prompts', model, *stopped)[0] == 0
    assert encoded(calls) == 2
    kept.write_bytes(Path(PHOTOS[1].name).read_bytes()[:-30])  # torn, and of another model
    with counted() as calls: assert command('tag', '--classes', 'cat,dog', *stopped)[0] == 0
    assert encoded(calls) >= 4


def test_ctrl_c_keeps_what_was_scored(command, model):
    "Exit status 130, and a JSON document that is whole"
    for i in range(40): os.link('photos/'+PHOTOS[0].name, f'photos/{i:02}.jpg')
    encode = FrozenCLIP.encode_maps
    seen = []

    def stopped(clip, pixels, *args, **how):
        seen.append(len(pixels))
        if sum(seen) > 30: raise KeyboardInterrupt
        return encode(clip, pixels, *args, **how)

    tag = ['tag', '--prompts', model, 'photos', '--out', 'tags.csv', '--json', '--threshold', .1]
    with mock.patch.object(FrozenCLIP, 'encode_maps', stopped): status, out, err = command(*tag)
    assert status == 130 and len(json.loads(out)) == 24 and '24 of 43 pictures are kept' in err
    with counted() as calls:
        assert len(json.loads(command(*tag)[1])) == len(table('tags.csv')) == 43
    assert encoded(calls) == 43 - 24


def test_a_table_says_why_a_picture_could_not_be_read(command, model):
    "And `evaluate` passes over it"
    Path('photos/torn.jpg').write_bytes(b'no picture')
    skip = ['tag', '--prompts', model, 'photos', '--on-error', 'skip']
    assert command(*skip, '--out', 'tags.csv', '--scores', '--threshold', 0)[0] == 0
    *read, torn = table('tags.csv')
    assert list(torn) == ['picture', 'tags', 'error', 'person', 'dog, brown', 'bus']
    assert torn['error'].startswith('cannot be read: ') and torn['tags'] == torn['bus'] == ''
    assert [row['error'] for row in read] == ['']*3
    entry = json.loads(command(*skip, '--json')[1])[-1]
    assert entry == {'picture': 'photos/torn.jpg', 'error': torn['error']}
    status, out, _ = command('evaluate', model, '--labels', 'tags.csv', '--json')
    assert status == 0 and json.loads(out)['pictures'] == 3


@pytest.mark.parametrize(
    'content', [b'%!PS-Adobe-3.0\n', b'\x1c\x02\x00\x00\x01a', b'\xff\xd8\xff', b'']
)
def test_a_tagger_skips_any_odd_file(content, command, model):
    pytest.importorskip('onnx')
    tagger = model.with_suffix('.onnx')
    if not tagger.exists():
        assert main(['export', '-q', '--prompts', str(model), '--out', str(tagger)]) == 0
    Path('photos/a.jpg').write_bytes(content)
    status, out, _ = command(
        'tag', '--tagger', tagger, 'photos', '--on-error', 'skip', '--out', 'tags.csv'
    )
    assert status == 0 and out.count('\n') == 4 and out.endswith('photos/a.jpg: cannot be read\n')


# Names

def cells(text: str) -> list[str]:
    "The cells of a table for whoever splits it at semicolons, or at commas"
    return [
        cell
        for mark in ',;\t'
        for row in csv.reader(io.StringIO(text), delimiter=mark)
        for cell in row
    ]


def test_no_cell_is_a_formula(tmp_path):
    "Whatever a spreadsheet splits a line at; and names are found again"
    names = ["x;=cmd|' /C calc'!A0.jpg", '=1.jpg', 'a;"=1"', ';+1', 'b; -1', '＝1;@2', 'plain;.jpg']
    tags = [[Tag(name, .5, True)] for name in names]
    tags[-1] += [Tag('-a,=b', .4, True)]
    text = TaggedPictures(names, names, tags).as_csv(scores=True)
    assert not [cell for cell in cells(text) if re.match(r'''[\s"]*[=+\-@＝]''', cell)]
    row = bundled_results()[0]
    keep_results(tmp_path/'results.csv', [replace(row, photos=name) for name in names])
    text = (tmp_path/'results.csv').read_text()
    assert not [cell for cell in cells(text) if re.match(r'''[\s"]*[=+\-@＝]''', cell)]
    assert [row.photos for row in read_results(tmp_path/'results.csv')] == names


def test_a_table_of_tags_is_a_table_of_labels(command, model):
    "Classes with commas, pictures with odd names"
    for photo, name in zip(PHOTOS, ("x;=1.jpg", '=1, b.jpg', "it's.jpg")): shutil.copy(photo, name)
    tag = ['tag', '--prompts', model, '.', '--out', 'tags.csv', '--threshold', -9]
    assert command(*tag)[0] == 0
    status, out, err = command('evaluate', model, '--labels', 'tags.csv', '--json')
    found = json.loads(out)
    assert status == 0 and 'left out' not in err and found['pictures'] == 6
    shown = found['methods'][list(found['methods'])[-1]]['tags']['classes']
    assert {name: its['pictures'] for name, its in shown.items()} == dict.fromkeys(
        ('person', 'dog, brown', 'bus'), 6
    )


@pytest.mark.skipif(sys.platform != 'linux', reason='names of any bytes')
def test_json_names_files_exactly(command, model):
    names = ['a\n\x1b\x9b\u202e.jpg', 'café.jpg', 'caf\udce9.jpg']
    Path('odd').mkdir()
    for name in names: shutil.copy(PHOTOS[0], f'odd/{name}')
    out = command('tag', '--prompts', model, 'odd', '--json')[1]
    assert not re.search('[\x1b\x9b\u202e\udce9]', out)
    found = []
    for entry in json.loads(out):
        exact = entry.get('picture_base64')
        found.append(os.fsdecode(base64.b64decode(exact)) if exact else entry['picture'])
    assert sorted(found) == sorted(f'odd/{name}' for name in names)


def test_any_name_on_any_terminal(command, model, monkeypatch):
    shutil.copy(PHOTOS[0], 'фото.jpg')
    for stream in ('stdout', 'stderr'):
        monkeypatch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO(), 'latin-1'))
    assert main(['tag', '--prompts', str(model), 'фото.jpg', '--threshold', '9']) == 0
    sys.stdout.flush()
    assert (
        sys.stdout.buffer.getvalue()
        == rb'\u0444\u043e\u0442\u043e.jpg: nothing' + os.linesep.encode()
    )


def test_a_long_list_of_classes_is_no_file(command):
    names = [f'red bus number {i}' for i in range(40)]
    status, out, err = command('tag', '--classes', ','.join(names), 'photos', '--json')
    assert status == 0 and len(json.loads(out)) == 3, err


@pytest.mark.parametrize('names', [[''], ['photos', '']])
def test_an_empty_name_is_not_the_folder_at_hand(names, command, model):
    "As of a variable of the shell that is not set"
    with counted() as calls:
        status, out, err = command('tag', '--prompts', model, *names)
    assert status == 1 and not out and encoded(calls) == 0
    assert 'taidpt: error: an empty name is no picture' in err
    with counted() as calls, pytest.raises(ValueError, match='an empty name'):
        quick_tag(names if names[1:] else '', ['cat', 'dog'])
    assert encoded(calls) == 0


def test_a_folder_of_other_pictures_says_what_it_holds(command, model):
    Path('phone').mkdir()
    for name in ('a.HEIC', 'b.heic', 'c.mov'): Path('phone', name).touch()
    status, _, err = command('tag', '--prompts', model, 'phone')
    assert status == 1
    assert 'phone holds no pictures: 2 .heic, 1 .mov; only .' in err
    assert 'are read, so convert pictures of other kinds' in err


def test_home_is_found(command, model, monkeypatch):
    monkeypatch.setenv('HOME', str(Path('photos').absolute()))
    monkeypatch.setenv('USERPROFILE', str(Path('photos').absolute()))
    assert command('tag', '--prompts', model, f'~/{PHOTOS[0].name}')[0] == 0


@pytest.fixture
def home(command, monkeypatch):
    "The user's home, in the folder at hand; no folder called ~ is made beside it"
    folder = Path('home').absolute()
    for name in 'HOME', 'USERPROFILE': monkeypatch.setenv(name, str(folder))
    folder.mkdir()
    yield folder
    assert '~' not in os.listdir()


def test_files_of_a_command_are_at_home(command, model, home):
    shutil.copy(model, home/'m.safetensors')
    shutil.copy('my.txt', home)
    tag = ['tag', '-q', '--prompts=~/m.safetensors', 'photos']
    for name in 'x.csv', 'x.db', 'x.parquet': assert command(*tag, f'--out=~/{name}')[0] == 0
    assert command(*tag, '--report=~/x.html', '--save=~/again.safetensors')[0] == 0
    done = command('train', '-q', '--classes', 'cat,dog', '--captions=~/my.txt',
                   '--out=~/new/learned.safetensors')
    assert done[0] == 0 and (home/'new/learned.safetensors').is_file(), done
    status, _, err = command('label', '--classes=cat,dog', '--synonyms-out=~/x.yaml', '~/my.txt',
                             '--out=~/x.parquet')
    assert status == 0, err
    assert command('label', '--classes=~/x.yaml', '--explain', 'a cat')[0] == 0
    made = {'x.csv', 'x.db', 'x.parquet', 'x.html', 'x.yaml', 'again.safetensors'}
    assert made <= {*os.listdir(home)}


def test_files_in_python_are_at_home(model, home, one_clip):
    clip = as_clip(None)
    named = load_model(model)
    named.save('~/m.safetensors')
    assert load_model('~/m.safetensors').classes.names == named.classes.names
    assert ready_model(Path('~/m.safetensors')).title == named.title
    save_pretrained(named, '~/hub')
    assert from_pretrained('~/hub').classes.names == named.classes.names

    found = tag_pictures(PHOTOS, named, progress=False)
    for name in 'x.csv', 'x.db', 'x.parquet': found.save_table(f'~/{name}')
    found.save_report('~/x.html', progress=False)
    export_tagger(named, '~/x.onnx')
    assert Tagger('~/x.onnx').classes == named.classes.natural

    ClassSet('pets', ['cat', 'dog']).save('~/pets.yaml')
    pets = ClassSet.from_file('~/pets.yaml')
    (home/'my.txt').write_text('\n'.join(FEW))
    for captions in read_captions('~/my.txt'), gather_captions(['~/*.txt']):
        assert list(captions) == [' '.join(text.split()) for text in FEW]
    labelled = label_captions(pets, '~/my.txt', progress=False)
    labelled.save('~/labelled.parquet')
    assert LabeledTexts.load('~/labelled.parquet').texts == labelled.texts
    encode_sentences(clip, labelled.texts, '~/cache.safetensors', progress=False)
    assert len(load_features('~/cache.safetensors')) == len(labelled)

    shutil.copytree(DEMO, home/'demo')
    assert len(read_labels('~/demo/labels.tsv', 'coco')) == 36
    assert len(read_labels(DEMO/'labels.tsv', 'coco', '~/demo/images')) == 36
    learner = TaIDPT(clip, pets, loss='ranking', n_ctx=2, epochs=1, batch_size=32)
    for _ in range(2):
        learner.fit(labelled, checkpoint='~/checkpoint.safetensors', progress=False)
    assert load_model('~/checkpoint.safetensors').classes.names == pets.names
    made = {'m.safetensors', 'hub', 'x.csv', 'x.db', 'x.parquet', 'x.html', 'x.onnx', 'pets.yaml',
            'labelled.parquet', 'cache.safetensors', 'checkpoint.safetensors'}
    assert made <= {*os.listdir(home)}


def test_what_others_wrote_is_kept(command, model):
    "Tables go on from our own, pages replace them, of earlier versions, too, and nothing else"
    tag = ['tag', '-q', '--prompts', model, 'photos']
    Path('labels.csv').write_text('picture,labels\n000000006723.jpg,person\n')
    Path('x.html').write_text('- cat\n- dog\n')
    Path('x.parquet').write_text('- cat\n- dog\n')
    before = {name: Path(name).read_bytes() for name in ('labels.csv', 'x.html', 'x.parquet')}
    evaluate = ['evaluate', model, '--labels', DEMO/'labels.tsv', '--fast', '--report', 'x.html']
    with counted() as calls:
        for line in ([*tag, '--out', 'labels.csv'], [*tag, '--out', 'x.parquet'],
                     [*tag, '--report', 'x.html'], evaluate):
            status, out, err = command(*line)
            assert (status, out) == (1, '') and 'is not of taidpt' in err and 'name another' in err
    assert not calls.called                              # before any work
    found = tag_pictures(PHOTOS, load_model(model), progress=False)
    for name in 'labels.csv', 'x.parquet':
        with pytest.raises(ValueError, match='is not of taidpt'): found.save_table(name)
    with pytest.raises(ValueError, match='is not of taidpt'): found.save_report('x.html', False)
    assert before == {name: Path(name).read_bytes() for name in before}

    Path('x.html').write_text('')
    Path('x.parquet').unlink()
    Path('old.csv').write_text('picture,tags\ngone.jpg,cat\n')
    for option, name in ('--out', 'old.csv'), ('--out', 'x.parquet'), ('--report', 'x.html'):
        for _ in range(2): assert command(*tag, option, name)[0] == 0
    assert len(table('old.csv')) == 1 + len(PHOTOS)      # and the row of gone.jpg
    page = Path('x.html').read_text()
    mark = '<meta name="generator" content="taidpt">\n'
    assert mark in page
    Path('x.html').write_text(page.replace(mark, ''))    # as earlier versions wrote it
    assert command(*tag, '--report', 'x.html')[0] == 0


@pytest.mark.parametrize('name', ['classes.txt', 'classes.csv'])
@pytest.mark.parametrize('there', [True, False])
def test_a_list_of_classes_is_no_model(name, there, command):
    if there: Path(name).write_text('cat\ndog\n')
    says = f'{name}: a file of classes is .yaml or .json; or give names with commas between'
    for line in (['tag', '--classes', name, 'photos'], ['evaluate', name, '--labels', 'x.tsv'],
                 ['train', '--classes', name, '--out', 'x.safetensors']):
        status, out, err = command(*line)
        assert (status, out) == (1, '') and says in err
    with pytest.raises(ValueError, match='or pass a list of names'): ready_model(name)


def test_standard_input_is_utf8(command, monkeypatch):
    def call(text):
        typed = io.TextIOWrapper(io.BytesIO(text), errors='surrogateescape')
        monkeypatch.setattr('sys.stdin', typed)
        return command('train', '-q', '--classes', 'cat,dog', '--captions', '-', '--out',
                       'x.safetensors')

    text = '\n'.join(FEW).encode()
    status, _, err = call(text + b'\nA caf\xe9')
    assert status == 1
    assert "standard input: 'utf-8' codec can't decode" in err
    assert call(text)[0] == 0


# What ends before the work

LONG = 'x'*240
NOWHERE = [word for word in PROMPTS if word not in ('--out', 'my.safetensors')]
WRITERS = [
    ['tag', '--prompts', 'MODEL', 'photos', '--out', f'{LONG}.csv'],
    ['tag', '--prompts', 'MODEL', 'photos', '--report', f'{LONG}.html'],
    ['tag', '--prompts', 'MODEL', 'photos', '--out', f'{LONG}{LONG}.csv'],
    [*NOWHERE[:-1], '64', '--epochs', '1', '--out', f'{LONG}.safetensors'],
    ['reproduce', 'family', '--out', LONG + LONG],
]


@pytest.mark.parametrize('args', WRITERS, ids=lambda args: f'{args[0]} {len(args[-1])}')
def test_a_long_name_is_written_or_refused_at_once(args, command, model):
    args = [model if a == 'MODEL' else a for a in args]
    with mock.patch('taidpt.apps.models.load_model', side_effect=load_model) as load:
        status, out, err = command(*args)
    if status == 0: assert Path(args[-1]).exists()
    else:
        assert out == '' and not load.called
        assert 'too long' in err.splitlines()[-1] and 'xxx' in err.splitlines()[-1]


def test_an_option_that_takes_one_value_is_given_once(command):
    "The last one would win without a word; --captions and --words take several"
    status, out, err = command(*TRAIN, '--clip', 'embedded', '--clip', 'RN50/openai')
    assert (status, out) == (2, '') and '--clip is given 2 times, and takes one value' in err
    Path('more.txt').write_text('A cat\nA dog\n'*20)
    assert (
        command(*TRAIN, '--captions', 'more.txt', '--words', 'cat: tom', '--words', 'dog: rex')[0]
        == 0
    )


def test_a_checkpoint_is_kept_by_other_methods(command):
    "Only the run that goes on from it removes it; a run with other settings ends before its work"
    one_epoch = training.learning_rate
    seen = []

    def stop_in_the_second(*args):
        seen.append(1)
        if len(seen) == 2: raise KeyboardInterrupt
        return one_epoch(*args)

    with mock.patch.object(training, 'learning_rate', stop_in_the_second):
        assert command(*PROMPTS, '--epochs', 2)[0] == 130
    kept, = Path().glob('*checkpoint*')
    assert 'prompts' in kept.name
    assert command(*TRAIN, '--method', 'linear')[0] == 0 and kept.exists()
    with mock.patch.object(FrozenCLIP, 'encode_texts', side_effect=AssertionError):
        status, out, err = command(*PROMPTS, '--epochs', 3)
    told = err.splitlines()[-1]
    assert status == 1 and kept.name in told and 'epochs (2, now 3)' in told
    assert 'delete this file' in told and '--out' in told and kept.exists()
    status, _, err = command(*PROMPTS, '--epochs', 2)
    assert status == 0 and 'going on from' in err and not kept.exists()


def test_a_rate_that_is_too_high_is_told(command):
    status, out, err = command(*PROMPTS, '--epochs', 2, '--lr', 1e30)
    told = err.splitlines()[-1]
    assert status == 1 and out == '' and '--lr' in told and 'unexpected' not in told


def test_tiles_leave_calibrated_thresholds_aloud(command, model, monkeypatch):
    "They are for other scores; thresholds of tiles are found with tiles"
    monkeypatch.setattr(Tiled, 'reference_scores', lambda tiled: tiled.model.reference_scores())
    Path('labels.tsv').write_text(''.join(f'photos/{photo.name}\tperson\n' for photo in PHOTOS))
    labels = ['--labels', 'labels.tsv']
    tiles = ['--tiles', 2, '--calibrate', 'tiles.safetensors']
    assert command('evaluate', model, *labels, '--calibrate', 'a.safetensors')[0] == 0
    status, _, err = command('tag', '--prompts', 'a.safetensors', 'photos', '--tiles', 2)
    assert status == 0 and 'thresholds are for scores without tiles' in err and '--calibrate' in err
    status, out, err = command('evaluate', 'a.safetensors', *labels, *tiles)
    assert status == 0 and 'with tiles' in out and load_model('tiles.safetensors').thresholds
    assert 'without tiles' not in command('tag', '--prompts', 'tiles.safetensors', 'photos')[2]


def test_several_models_are_compared(command, model):
    "Over a row that is named as its file is; what is of one model is refused before any work"
    labels = ['--labels', 'labels.tsv']
    Path('labels.tsv').write_text(''.join(f'photos/{photo.name}\tperson\n' for photo in PHOTOS))
    assert command('evaluate', model, *labels, '--fast', '--calibrate', 'a.safetensors')[0] == 0
    for over in (model, model.name, model.stem):
        both = ['evaluate', 'a.safetensors', model, *labels, '--over', over]
        status, out, err = command(*both, '--json')
        found = json.loads(out)
        assert status == 0 and found['over'] == 'model' and not found['over_was_chosen']
        assert found['methods']['a']['gain_interval'] == [0, 0] and 'of a were fitted' in err
    assert list(found['methods'])[2:] == ['tag --classes', 'a', 'model']
    status, out, _ = command(*both, '--fast', '--tiles', 2)
    assert status == 0 and 'Gain in mAP over model' in out and 'tag --classes' not in out
    wrong = [(['--report', 'r.html'], 2, '--report is for one model'),
             (['--calibrate', 'r.safetensors'], 2, '--calibrate is for one model'),
             (['--fast', '--over', 'tag --classes'], 1, "no row 'tag --classes'"),
             ([model], 2, 'given twice')]
    for more, code, told in wrong:
        status, out, err = command('evaluate', 'a.safetensors', model, *labels, *more)
        assert (status, out) == (code, '') and told in ' '.join(err.replace('│', ' ').split())
    status, _, err = command('evaluate', model, 'cat,dog', *labels, '--fast')
    assert status == 1 and 'cat,dog has other classes than model' in err
    status, _, err = command('evaluate', model, 'gone.onnx', *labels)
    assert status == 1 and 'gone.onnx' in err and 'unexpected' not in err
