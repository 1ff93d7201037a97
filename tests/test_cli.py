"""The `taidpt` command, on small data: what its page, nbs/apps/cli.ipynb, does not show."""
import csv, json, os, re, shutil, signal, sys
from itertools import islice
from pathlib import Path
from unittest import mock

import nbformat
import pytest
import typer
from conftest import ROOT, run, tool
from taidpt.all import FrozenCLIP, tag
from taidpt.apps.cli import app, main
from taidpt.text.captions import bundled_captions

DEMO = ROOT/'taidpt/data/coco_demo'
PHOTO = DEMO/'images/000000000785.jpg'
words = re.compile(r'\b(cat|dog|bus|person|chair|bicycle)s?\b')
few = list(islice((c for c in bundled_captions() if words.search(c.lower())), 400))
quick = '--method prompts --loss ranking --epochs 2 --batch-size 128 --n-ctx 4'.split()

pytestmark = [pytest.mark.xdist_group('cli'), pytest.mark.usefixtures('one_clip')]


@pytest.fixture(scope='module')
def folder(tmp_path_factory, one_clip):
    "A folder with captions and with prompts that were learned from them"
    here = tmp_path_factory.mktemp('cli')
    (here/'my.txt').write_text('\n'.join(few))
    (here/'labels.tsv').write_text('\n'.join((DEMO/'labels.tsv').read_text().splitlines()[:12]))
    status = main(
        [
            'train', '--classes', 'cat,dog,bus,person', '--captions', f'{here}/my.txt', '--out',
            f'{here}/my.safetensors', *quick,
        ]
    )
    assert status == 0
    return here


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    "The command in this process, in an empty folder: exit status, standard output, standard error"
    monkeypatch.chdir(tmp_path)
    def call(*args):
        capsys.readouterr()
        return main(args), *capsys.readouterr()
    return call


def error(result, *says):
    "One line of error that says this, and nothing on standard output"
    status, out, err = result
    assert status == 1 and out == '' and 'Traceback' not in err
    assert len(re.findall('^taidpt: error: ', err, re.M)) == 1
    assert all(s in err.splitlines()[-1] for s in says), err


def test_the_installed_command(tmp_path):
    assert run(tool('taidpt'), '--version', cwd=tmp_path).stdout.startswith('taidpt 0.1.0, torch ')


GROUP = typer.main.get_command(app)


@pytest.mark.parametrize('name', ['', *GROUP.commands])
def test_manual_has_every_option(name):
    "The table that is stored in the manual is today's"
    cells = nbformat.read(ROOT/'nbs/apps/command.ipynb', as_version=4).cells
    wanted = f'options({name!r})' if name else 'options()'
    [cell] = [cell for cell in cells if cell.source.endswith(wanted)]
    [table] = [out.data['text/markdown'] for out in cell.outputs]
    command = GROUP.commands.get(name, GROUP)
    rows = {
        param: row
        for param, row in zip(
            [p for p in command.params if p.name != 'help'], table.splitlines()[2:], strict=True
        )
    }
    for param, row in rows.items():
        assert all(
            f'`{flag}`' in row for flag in param.opts + param.secondary_opts if flag.startswith('-')
        ), row
        assert (param.help or '').split('\n')[0] in row.replace('`', '')


def test_files_of_tags_agree(folder, command):
    "The table of scores, the lines of JSON and what is printed"
    tag = ['tag', '--prompts', folder/'my.safetensors', DEMO/'images', '--quiet']
    assert command(*tag, '--out', 'tags.csv', '--scores')[0] == 0
    rows = list(csv.DictReader(open('tags.csv')))
    status, out, _ = command(*tag, '--top', 1, '--json')
    entries = json.loads(out)
    assert status == 0
    for row, entry in zip(rows, entries, strict=True):
        (best,) = entry['tags']
        assert row['picture'] == entry['picture']
        assert best['score'] == pytest.approx(float(row[best['class']]), abs=1e-3)


def test_calibrate(folder, command):
    "Thresholds from labelled pictures are what evaluate then uses"
    pictures = '--pictures', DEMO/'images', '--labels', folder/'labels.tsv', '--json'
    def tags(*how): return json.loads(command('evaluate', *how, *pictures)[1])['methods']

    before = tags(folder/'my.safetensors')
    after = tags(folder/'my.safetensors', '--calibrate', 'tuned.safetensors')
    assert after == tags('tuned.safetensors')
    assert before['zero-shot CLIP'] == after['zero-shot CLIP']
    used = [methods['TaI-DPT']['tags']['thresholds'] for methods in (before, after)]
    assert used == ['default', 'calibrated on these']


def test_morning(command):
    """What an engineer typed with 200 photos and five classes: tags, a model, what it is worth, a
    tagger"""
    classes, photos = 'dog,bicycle,crowd,sunset,fire hydrant', DEMO/'images'
    status, out, err = command(
        'tag', '--classes', classes, photos, '--scores', '--out', 'tags.csv', '--report',
        'tags.html', '--save', 'tagger.safetensors',
    )
    assert status == 0 and 'taidpt evaluate tagger.safetensors' in err
    assert Path('tags.csv').read_text().splitlines()[0] == f'picture,tags,error,{classes}'
    found = tag(photos, classes.split(','), progress=False, as_frame=True)
    assert found.tags.tolist() == [row['tags'] for row in csv.DictReader(open('tags.csv'))]
    shown = re.findall('aria-label="([^"]*), tagged: ([^"]*)"', Path('tags.html').read_text())
    assert len(shown) == 36
    tagged = sorted([t != '' for t in found.tags], reverse=True)
    assert [tags != 'nothing' for _, tags in shown] == tagged
    assert 'dgo (did you mean dog' in command('tag', '--classes', 'dgo,bicycle', PHOTO)[2]
    named = re.compile(r'\b(dog|bicycle|crowd|sunset|hydrant|(evening|dark) sky)s?\b')
    Path('captions.txt').write_text('\n'.join([*filter(named.search, bundled_captions())][::3]))
    counts = [
        command('label', 'captions.txt', '--classes', 'sunset', *words)[1].splitlines()[1]
        for words in ([], ['--words', 'sunset: evening sky, dark sky'])
    ]
    assert int(counts[0].split()[0]) < int(counts[1].split()[0])
    labels = '--pictures', photos, '--labels', DEMO/'labels.tsv'
    status, out, err = command(
        'evaluate', 'tagger.safetensors', *labels, '--calibrate', 'tagger.safetensors'
    )
    assert status == 0
    assert 'calibrated on these' in out
    assert 'cross-validated' in out
    assert 'the default threshold stays' in err
    status, out, err = command(
        'train', '--classes', classes, '--captions', 'captions.txt', '--out', 'my.safetensors',
        '--val', photos, '--val-labels', DEMO/'labels.tsv',
    )
    assert status == 0
    assert 'linear ' in out
    assert 'Training brings' in out
    assert 'tag --prompts my.safetensors' in err
    pytest.importorskip('onnx')
    assert command('export', '--prompts', 'my.safetensors', '--out', 'my.onnx')[0] == 0
    few = sorted(photos.iterdir())[:6]
    tags = [
        command('tag', how, model, *few)[1]
        for how, model in (('--prompts', 'my.safetensors'), ('--tagger', 'my.onnx'))
    ]
    assert tags[0] == tags[1] and tags[0].count('\n') == 6


def test_evaluate_looks_once(folder, command):
    "Each picture is encoded once for all methods, and once more for the default thresholds of all"
    with mock.patch.object(
        FrozenCLIP, 'encode_maps', autospec=True, side_effect=FrozenCLIP.encode_maps
    ) as encode_maps:
        status, *_ = command(
            'evaluate', folder/'my.safetensors', '--pictures', DEMO/'images', '--labels',
            folder/'labels.tsv',
        )
        assert status == 0
    assert 0 < sum(len(pixels) for (_, pixels, *_), _ in encode_maps.call_args_list) <= 12 + 2*36


def test_synonyms_are_edited(folder, command):
    "Written, edited and given back, they are taken at their word"
    status, _, err = command(
        'label', folder/'my.txt', '--classes', 'dog,"fire truck",bus', '--synonyms-out', 'my.yaml'
    )
    text = Path('my.yaml').read_text()
    assert status == 0 and 'fire engine' in text and 'my.yaml' in err
    Path('my.yaml').write_text(text.replace('fire engine', 'red engine'))
    status, out, err = command(
        'label', '--classes', 'my.yaml', '--explain', 'a red engine and a fire engine'
    )
    assert status == 0 and "'red engine' -> fire truck" in out and "'fire engine'" not in out
    status, out, err = command(
        'train', '--classes', 'my.yaml', '--captions', folder/'my.txt', '--out', 'x.safetensors',
        *quick,
    )
    assert status == 0 and 'Few sentences name these classes: fire truck (0)' in err


BAD_INPUT = [  # nbs/apps/cli.ipynb has what is wrong in the options themselves
    (['train', '--classes', 'my.yaml', '--out', 'x.safetensors'], ['my.yaml']),
    (
        ['train', '--classes', 'cat,dog', '--captions', 'empty.txt', '--out', 'x.safetensors'],
        ['none of 0 sentences'],
    ),
    (
        ['train', '--classes', 'cat,dog', '--captions', 'torn.jsonl', '--out', 'x.safetensors'],
        ['torn.jsonl: line 2'],
    ),
    (
        [
            'train', '--classes', 'yak,gnu', '--captions', 'table.csv', '--column', 'a', '--out',
            'x.safetensors',
        ],
        ['none of'],
    ),
    (
        [
            'train', '--classes', 'cat,dog', '--val', '.', '--val-labels', 'broken.tsv', '--out',
            'x.safetensors',
        ],
        ['empty.txt', 'broken.tsv'],
    ),
    (['tag', '--prompts', 'no.safetensors', 'PHOTOS'], ['no.safetensors']),
    (['tag', '--prompts', 'PROMPTS', 'empty'], ['empty']),
    (['tag', '--prompts', 'PROMPTS', 'torn.jsonl'], ['torn.jsonl']),
    (['tag', '--tagger', 'my.onnx', 'PHOTOS'], ['my.onnx']),
    (['evaluate', 'PROMPTS', '--labels', 'labels.tsv'], ['gone.jpg']),
    (['label', 'table.csv', '--column', 'c', '--classes', 'voc2007'], ["'c'"]),
    (['export', '--classes', 'bus', '--out', 'x.zip'], ['x.zip']),
    (['reproduce', 'family', '--data', 'empty', '--classes', 'cat,dog'], ['labels.tsv']),
    (['import', 'PROMPTS', '--data', 'voc2007'], ['my.safetensors']),
]


@pytest.mark.parametrize('args, says', BAD_INPUT, ids=[' '.join(args) for args, _ in BAD_INPUT])
def test_bad_input(args, says, folder, command):
    Path('empty').mkdir()
    Path('empty.txt').touch()
    Path('torn.jsonl').write_text('{"caption": "a cat"}\n{"caption": "a do')
    Path('table.csv').write_text('a,b\nno animal here today,and none here either\n')
    Path('labels.tsv').write_text('gone.jpg\tcat\n')
    Path('broken.tsv').write_text('empty.txt\tcat\n')
    before = sorted(os.listdir())
    given = {'PROMPTS': folder/'my.safetensors', 'PHOTOS': DEMO/'images'}
    error(command(*(given.get(a, a) for a in args)), *says)
    assert sorted(os.listdir()) == before                # nothing was written


def test_clip_folder_that_is_not_here(folder, command, tmp_path, monkeypatch):
    "Prompts that were learned on a CLIP in a folder say so where that folder is not"
    shutil.copytree(ROOT/'taidpt/data/mini_clip', 'tiny')
    status, *_ = command(
        'train', '--classes', 'cat,dog', '--captions', folder/'my.txt', '--clip', 'local-dir:tiny',
        *quick, '--out', 'x.safetensors',
    )
    assert status == 0
    (tmp_path/'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path/'elsewhere')
    error(command('tag', '--prompts', '../x.safetensors', DEMO/'images'),
          "x.safetensors was learned on 'local-dir:tiny'", '--clip')
    line = 'tag', '--prompts', '../x.safetensors', PHOTO, '--clip', 'local-dir:../tiny'
    assert command(*line)[0] == 0


def test_what_was_meant(folder, command):
    "A name that a file has is noted by each command; a folder of `save_pretrained` is its model"
    Path('mine.yaml').write_text('cat: [kitten]\n')
    Path('own.txt').write_text('cat\nfire truck\n')
    for name, says in ('mine', 'the file mine.yaml?'), ('own', 'the names in own.txt? Give'):
        for line in (['label', folder/'my.txt'], ['tag', PHOTO]):
            assert f'did you mean {says}' in command(*line, '--classes', name)[2]
    shutil.copy(folder/'my.txt', 'cat.txt')              # captions, which are no names
    assert 'did you mean' not in command('label', 'cat.txt', '--classes', 'cat')[2]
    Path('hub').mkdir()
    shutil.copy(folder/'my.safetensors', 'hub/prompts.safetensors')
    lines = [command('tag', PHOTO, '--prompts', at)[1] for at in ('hub', folder/'my.safetensors')]
    assert lines[0] == lines[1] != ''
    labels = '--labels', folder/'labels.tsv', '--pictures', DEMO/'images'
    assert command('evaluate', 'hub', '--fast', *labels)[0] == 0


def test_only_prompts_ask_for_settings(folder, command):
    "A CLIP without settings for prompts says so where prompts are learned, and nowhere else"
    def bare(name): # another name each time, as a CLIP is loaded once in these tests
        shutil.copytree(ROOT/'taidpt/data/mini_clip', name)
        config = Path(name, 'open_clip_config.json')
        about = json.loads(config.read_text())
        del about['taidpt']
        config.write_text(json.dumps(about))
        return '--clip', f'local-dir:{name}'

    learn = 'train', '--classes', 'cat,dog', '--captions', folder/'my.txt', '--out'
    for line, told in (
        (('tag', '--classes', 'cat,dog', PHOTO, *bare('a')), False),
        ((*learn, 'x.safetensors', *bare('b')), False),
        ((*learn, 'y.safetensors', *quick, *bare('c')), True),
    ):
        status, _, err = command(*line)
        assert status == 0 and ('No settings are known' in err) == told, err


@pytest.mark.parametrize('work', ['_reproduce_table', '_compare_family'])
def test_a_stopped_run_says_how_to_go_on(work, command):
    "Also where its error goes to a file"
    what = 'family' if work == '_compare_family' else 'table1'
    with mock.patch(f'taidpt.apps.cli.{work}', side_effect=KeyboardInterrupt):
        status, out, err = command('reproduce', what, '--out', 'results')
    assert (status, out) == (130, '') and 'the same command goes on' in err and 'results' in err


def test_odd_files(folder, command):
    "Only files are taken from a folder, whatever their names; a pipe that is named is an error"
    for name in ('.hidden.jpg', '._x.jpg', '.thumbnails/x.jpg'):
        Path('odd', name).parent.mkdir(parents=True, exist_ok=True)
        Path('odd', name).write_bytes(b'no picture')
    shutil.copy(PHOTO, 'odd/a::b.jpg')
    shutil.copy(PHOTO, 'odd/caf\udce9.jpg')                # a byte that is no UTF-8
    os.mkfifo('odd/pipe.jpg')
    signal.alarm(120)  # ends this process if it waits for the pipe
    status, out, err = command('tag', '--prompts', folder/'my.safetensors', 'odd', '--json')
    assert status == 0, err
    assert [e['picture'] for e in json.loads(out)] == ['odd/a::b.jpg', r'odd/caf\xe9.jpg'], err
    error(
        command('tag', '--prompts', folder/'my.safetensors', 'odd/pipe.jpg'),
        'odd/pipe.jpg: it is a pipe',
    )
    signal.alarm(0)


def test_reader_that_stops_early(folder, monkeypatch):
    "taidpt label … | head -1; and a table of tags is written before they are printed"
    label = f'{tool("taidpt")} label {folder}/my.txt --classes voc2007'
    pipe = f'set -o pipefail; PYTHONUNBUFFERED=1 {label} | head -1'
    assert (done := run('bash', '-c', pipe)).stdout.count('\n') == 1 and done.returncode == 0
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, 'w', buffering=1) as nobody_reads:
        monkeypatch.setattr(sys, 'stdout', nobody_reads)
        status = main(
            [
                'tag', '-q', '--prompts', folder/'my.safetensors', DEMO/'images', '--out',
                folder/'t.csv',
            ]
        )
        assert status == 0
        assert (folder/'t.csv').exists()
