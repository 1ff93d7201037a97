"""The `taidpt` command, on small data: what its notebooks, nbs/apps/cli*.ipynb, do not show."""
import json
import os
import re
import shutil
import signal
import subprocess
import time
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT, run, tool
from taidpt.apps.cli import main
from taidpt.learner import TaIDPT
from taidpt.support.captions import bundled_captions
from taidpt.support.scorefiles import load_scores

DEMO = ROOT/'taidpt/data/coco_demo'
PHOTO = DEMO/'images/000000000785.jpg'
LABELLED = ['--pictures', DEMO/'images', '--labels', DEMO/'labels.tsv']
words = re.compile(r'\b(cat|dog|bus|person|chair|bicycle)s?\b')
few = list(islice((c for c in bundled_captions() if words.search(c.lower())), 400))
quick = ['--epochs', '2', '--batch-size', '128', '--n-ctx', '4']

pytestmark = pytest.mark.xdist_group('cli')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A folder with captions and with prompts that were learned from them"
    here = tmp_path_factory.mktemp('cli')
    (here/'my.txt').write_text('\n'.join(few))
    four = 'cat,dog,bus,person'
    for name, classes, seed in (('my', four, 0), ('seed1', four, 1), ('other', 'cat,dog', 0)):
        assert main(['train', '--classes', classes, '--captions', f'{here}/my.txt',
                     '--out', f'{here}/{name}.safetensors', '--seed', str(seed), *quick]) == 0
    return here


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    "The command in this process, in an empty folder: exit status, standard output, standard error"
    monkeypatch.chdir(tmp_path)
    def call(*args):
        capsys.readouterr()
        try: status = main([str(a) for a in args])
        except SystemExit as e: status = e.code
        return status, *capsys.readouterr()
    return call


def error(result, *says):
    "One line of error that says this, and nothing on standard output"
    status, out, err = result
    assert status == 1 and out == '' and 'Traceback' not in err
    assert len(re.findall('^taidpt: error: ', err, re.M)) == 1
    assert all(s in err.splitlines()[-1] for s in says), err


def test_installed_command(folder, tmp_path):
    done = run(tool('taidpt'), 'predict', folder/'my.safetensors', PHOTO, '--top', 2, '--json',
               '--quiet', cwd=tmp_path)
    (entry,) = json.loads(done.stdout)
    assert done.returncode == 0 and len(entry['tags']) == 2
    assert {'cat', 'dog', 'bus', 'person'} > {t['class'] for t in entry['tags']}
    assert run(tool('taidpt'), '--version', cwd=tmp_path).stdout.startswith('taidpt 0.1.0, torch ')


def test_predict_forms(folder, command):
    prompts, photos = folder/'my.safetensors', DEMO/'images'
    status, out, err = command('predict', prompts, photos, '--csv', '--top', 1)
    assert status == 0 and len(out.splitlines()) == 37 and err == ''
    assert out.startswith('picture,class,score,present\n')
    two = photos/'000000000285.jpg', photos/'000000000785.jpg'
    status, out, _ = command('predict', prompts, *two, '--threshold', 2)
    assert status == 0 and out.count('(no tag)') == 2
    assert command('predict', prompts, photos, '--json', '--csv')[0] == 2


TILES, OTHERS = ['--tiles', '2'], ['--others', 'seed1.safetensors']

@pytest.mark.parametrize('how', [OTHERS, TILES + OTHERS], ids=' '.join)
def test_predict_more(how, folder, command, tmp_path):
    "Tiles and other prompts give the same scores as in Python, in a table and in a folder"
    for n in ('my', 'seed1'): shutil.copy(folder/f'{n}.safetensors', tmp_path)
    pictures = sorted((DEMO/'images').iterdir())[:2]
    model = TaIDPT.load('my.safetensors')
    more = {}
    if '--others' in how: more['others'] = [TaIDPT.load('seed1.safetensors', model.clip)]
    tiles = 2 if '--tiles' in how else 1
    want = model.predict(pictures, tiles=tiles, progress=False, **more)
    assert (want - model.predict(pictures, progress=False)).abs().max() > 1e-3

    status, out, _ = command('predict', 'my.safetensors', *pictures, *how, '--json', '--quiet', '--threshold', -9)
    assert status == 0
    best = want.sort(descending=True).values.tolist()
    for scores, entry in zip(best, json.loads(out), strict=True):
        assert [t['score'] for t in entry['tags']] == pytest.approx(scores, abs=1e-3)

    (tmp_path/'few').mkdir()
    for p in pictures: shutil.copy(p, tmp_path/'few')
    assert command('predict', 'my.safetensors', 'few', *how, '--out', 'scores')[0] == 0
    (shard,) = (tmp_path/'scores').iterdir()
    assert torch.tensor(pq.read_table(shard)['scores'].to_pylist()).allclose(want, atol=1e-3)

    status, out, _ = command('evaluate', 'my.safetensors', *LABELLED, *how, '--quiet',
                             '--save-scores', 'kept.safetensors')
    kept = load_scores('kept.safetensors').rows([p.name for p in pictures])
    assert kept.allclose(want, atol=1e-3)
    asked = ['TaI-DPT']
    if '--others' in how: asked.append('2 prompts')
    if '--tiles' in how: asked.append('tiles')
    assert status == 0 and re.search(f'^{", ".join(asked)} +[0-9.]+', out, re.M), out


def test_evaluate(folder, command):
    evaluate = ['evaluate', folder/'my.safetensors', *LABELLED]
    status, out, err = command(*evaluate)
    assert status == 0 and 'zero-shot with DPT' in out
    assert 'left out' in err and 'backpack (4)' in err
    status, out, _ = command(*evaluate, '--json', '--quiet')
    got = json.loads(out)
    assert got['pictures'] == 36 and got['classes'] == 2
    assert set(got['methods']) == {'zero-shot CLIP', 'zero-shot with DPT', 'TaI-DPT'}
    for m in got['methods'].values():
        assert m['mAP'] == pytest.approx(sum(m['AP'].values())/2)
        assert set(m['AP']) == set(m['AP_interval']) == {'bus', 'person'}
        assert m['mAP_interval'][0] <= m['mAP'] <= m['mAP_interval'][1]
    shown = [line.split('\t')[1] for line in (DEMO/'labels.tsv').read_text().splitlines()]
    buses = sum('bus' in labels.split(',') for labels in shown)
    assert 0 < buses < 5 and got['few'] == {'bus': buses}


def test_calibrate(folder, command):
    "Thresholds from labelled pictures are what evaluate then uses, with the options that they are for alone"
    prompts = folder/'my.safetensors'
    status, out, err = command('calibrate', prompts, *LABELLED, '--out', 'tuned.safetensors')
    assert status == 0 and 'bus' in out and 'default' in out and 'On fewer than 5 pictures' in err
    def tags(*how):
        status, out, err = command('evaluate', *how, *LABELLED, '--json')
        assert status == 0
        return json.loads(out)['methods'], err
    (before, _), (after, note) = tags(prompts), tags('tuned.safetensors')
    assert before['TaI-DPT']['tags']['thresholds'] == 'default' and after['TaI-DPT']['tags']['thresholds'] == 'calibrated'
    assert before['zero-shot CLIP'] == after['zero-shot CLIP'] and 'the thresholds were fitted to labels.tsv' in note
    person = [m['TaI-DPT']['tags']['classes']['person'] for m in (before, after)]
    f1 = [2*p['precision']*p['recall']/(p['precision'] + p['recall']) for p in person]
    assert f1[1] >= f1[0] and person[0]['threshold'] != person[1]['threshold']


def test_evaluate_goes_on(folder, command, monkeypatch):
    "A run that is stopped before its scores are written encodes no picture again"
    from taidpt.clip import FrozenCLIP
    from taidpt.support.scorefiles import SavedScores
    evaluate = ['evaluate', folder/'my.safetensors', *LABELLED]
    files = ['--save-scores', 'scores.safetensors', '--chart', 'ap.png']
    shards, scores = Path('scores.safetensors.shards'), Path('scores.safetensors')
    def stop(*args): raise KeyboardInterrupt
    with monkeypatch.context() as m:
        m.setattr(SavedScores, 'save', stop)
        assert command(*evaluate, *files)[0] == 130 and shards.is_dir() and not scores.exists()
    seen, encode_maps = [], FrozenCLIP.encode_maps
    def counted(self, pixels, *args, **kwargs):
        seen.append(len(pixels))
        return encode_maps(self, pixels, *args, **kwargs)
    with monkeypatch.context() as m:
        m.setattr(FrozenCLIP, 'encode_maps', counted)
        status, out, err = command(*evaluate, *files)
    assert sum(seen) == 36                                        # those that say which scores are usual, and no more
    assert status == 0 and 'Written: scores.safetensors' in err and not shards.exists()
    assert Path('ap.png').read_bytes().startswith(b'\x89PNG') and 'Written: ap.png' in err
    assert command(*evaluate)[1] == out                           # the same figures without files


def test_synonyms_are_edited(folder, command):
    "Written, edited and given back, they are taken at their word"
    args = ['--captions', folder/'my.txt', '--out', 'x.safetensors', *quick]
    status, _, err = command('train', '--classes', 'dog,"fire truck",bus', '--yes',
                             '--synonyms-out', 'my.yaml', *args)
    assert status == 0 and 'fire engine' in err and 'my.yaml' in err
    assert 'Few sentences name these classes: fire truck (0)' in err
    text = Path('my.yaml').read_text()
    assert 'fire engine' in text
    Path('my.yaml').write_text(text.replace('fire engine', 'red engine'))
    status, out, err = command('label', '--classes', 'my.yaml',
                               '--explain', 'a red engine and a fire engine')
    assert status == 0 and "'red engine' -> fire truck" in out and "'fire engine'" not in out


def test_label(folder, command):
    from taidpt.texts import LabeledTexts
    status, out, _ = command('label', folder/'my.txt', '--classes', 'voc2007',
                             '--out', 'labelled.parquet')
    count = int(re.match(r'(\d+) sentences', out)[1])
    assert status == 0 and len(LabeledTexts.load('labelled.parquet')) == count


def test_validation(folder, command):
    status, out, _ = command(
        'train', '--classes', 'cat,dog,bus,person', '--captions', folder/'my.txt',
        '--out', 'x.safetensors', *quick, '--val', DEMO/'images', '--val-labels', DEMO/'labels.tsv',
        '--no-local', '--cache', 'features.safetensors')
    assert status == 0 and 'validation mAP' in out and Path('features.safetensors').exists()


@pytest.mark.parametrize('option', ['--top', '--tiles'])
def test_counts(option, folder, command):
    for wrong in ('0', '-3', '1.5', 'two'):
        status, out, err = command('predict', folder/'my.safetensors', DEMO/'images',
                                   f'{option}={wrong}')
        says = f"{option}: must be a whole number, at least 1, not '{wrong}'"
        assert status == 2 and out == '' and says in err.splitlines()[-1]


def train(*args): return ['train', '--classes', 'cat,dog', *args, '--out', 'x.safetensors']


BAD_INPUT = [
    (['train', '--classes', 'voc2077', '--out', 'x.safetensors'], ['voc2077', 'voc2007']),
    (['train', '--classes', 'cat', '--out', 'x.safetensors'], ['commas']),
    (['train', '--classes', 'my.yaml', '--out', 'x.safetensors'], ['my.yaml', 'no such file']),
    (['train', '--classes', 'cat,dog,cat', '--out', 'x.safetensors'], ['cat']),
    (train('--captions', 'no.txt'), ['no.txt']),
    (train('--captions', 'empty.txt'), ['empty.txt', 'empty']),
    (train('--captions', 'torn.jsonl'), ['torn.jsonl:2']),
    (train('--captions', 'table.csv'), ['--column NAME']),
    (train('--captions', 'latin.txt'), ['latin.txt:1', 'UTF-8']),
    (['train', '--classes', 'yak,gnu', '--captions', 'table.csv', '--column', 'a',
      '--out', 'x.safetensors'], ['none of', 'synonyms']),
    (['train', '--classes', 'cat,dog', '--out', 'x.txt'], ['.safetensors']),
    (train('--clip', 'RN51'), ['RN50']),
    (['predict', 'no.safetensors', 'empty'], ['no.safetensors']),
    (['predict', 'PROMPTS', 'PHOTOS', '--clip', 'RN50/openai'], ['learned on embedded, not on RN50/openai', 'leave out --clip']),
    (['evaluate', 'no.safetensors', '--labels', 'labels.tsv'], ['no.safetensors: there is no such file of prompts']),
    (['predict', 'empty.txt', 'empty'], ['empty.txt']),
    (['predict', 'PROMPTS', 'empty'], ['empty', 'no pictures']),
    (['predict', 'PROMPTS', '*.jpg'], ['*.jpg']),
    (['predict', 'PROMPTS', 'torn.jsonl'], ['torn.jsonl', '--on-error skip']),
    (['predict', 'PROMPTS', 'PHOTOS', '--others', 'no.safetensors'], ['no.safetensors']),
    (['predict', 'PROMPTS', 'PHOTOS', '--others', 'OTHER'], ['others[0] differs in the classes']),
    (['evaluate', 'PROMPTS', '--labels', 'labels.tsv', '--others', 'OTHER'],
     ['others[0] differs in the classes']),
    (['evaluate', 'PROMPTS', '--labels', 'labels.tsv'], ['gone.jpg']),
    (['evaluate', 'PROMPTS', '--labels', 'no.tsv'], ['no.tsv']),
    (['label', 'no.json', '--classes', 'voc2007'], ['no.json']),
    (['label', 'table.csv', '--column', 'c', '--classes', 'voc2007'], ["'c'"]),
    (['demo', '--out', 'empty.txt'], ['empty.txt', '--out']),
    (['compare', '--out', 'table.csv'], ['table.csv:1', 'the headings are not those of results']),
    (['compare', '--data', 'empty'], ['empty', 'labels.tsv', 'VOC2007 test needs']),
    (['compare', '--data', 'labels.tsv'], ['gone.jpg']),
    (['compare', '--clip', 'RN51/openai', '--captions', 'cats.txt'], ['RN51']),
    (['import', 'no.pth.tar', '--data', 'voc2007'], ['no.pth.tar']),
    (['import', 'empty.txt', '--data', 'voc2007'], ['empty.txt', 'no checkpoint']),
    (['import', 'PROMPTS', '--data', 'voc2007'], ['my.safetensors']),
    (train('--n-ctx', '74'), ['n_ctx is 74']),
    (train('--lr', 'nan'), ['lr must be a number']),
    (train('--cache', 'x.txt'), ['x.txt', '.safetensors']),
    (train('--clip', 'RN50'), ['add to --clip a / and one of openai']),
    (train('--val', '.', '--val-labels', 'broken.tsv'), ['empty.txt', 'out of broken.tsv']),
    (['label', 'table.csv', '--classes', 'cat,dog', '--out', 'x.csv'], ['x.csv', '.parquet']),
]


@pytest.mark.parametrize('args, says', BAD_INPUT, ids=[' '.join(args) for args, _ in BAD_INPUT])
def test_bad_input(args, says, folder, command):
    Path('empty').mkdir()
    Path('empty.txt').touch()
    Path('torn.jsonl').write_text('{"caption": "a cat"}\n{"caption": "a do')
    Path('table.csv').write_text('a,b\nno animal here today,and none here either\n')
    Path('latin.txt').write_bytes('a caf\xe9 with a cat\n'.encode('latin-1'))
    Path('labels.tsv').write_text('gone.jpg\tcat\n')
    Path('cats.txt').write_text('a cat\n')
    Path('broken.tsv').write_text('empty.txt\tcat\n')
    before = sorted(os.listdir())
    given = {'PROMPTS': folder/'my.safetensors', 'OTHER': folder/'other.safetensors',
             'PHOTOS': DEMO/'images'}
    error(command(*(given.get(a, a) for a in args)), *says)
    assert sorted(os.listdir()) == before                # nothing was written


@pytest.mark.parametrize('args, says', [
    (['train', '--clases', 'cat,dog', '--out', 'x.safetensors'], 'required: --classes'),
    (['train', '--classes', 'cat,dog', '--out', 'x.safetensors', '--epoch-count', '3'], 'unrecognized arguments: --epoch-count'),
    (['train', '--classes', 'cat,dog', '--out', 'x.safetensors', '--pretrained', 'openai'], '--clip NAME/openai'),
    (['label', 'my.txt', '--captions', 'my.txt', '--classes', 'cat,dog'], 'not allowed with'),
    (['predict', 'my.safetensors', 'a.jpg', '--loud'], 'unrecognized arguments: --loud')])
def test_wrong_options(args, says, command):
    "The usage is that of the sub-command, and not of the whole"
    status, out, err = command(*args)
    assert status == 2 and out == '' and err.startswith(f'usage: taidpt {args[0]} [-h]') and says in err.splitlines()[-1]


def test_label_writes_synonyms(command):
    status, out, err = command('label', '--classes', 'cat,dog', '--explain', 'a kitten',
                               '--synonyms-out', 'my.yaml')
    assert status == 0 and "'kitten' -> cat" in out and 'tabby' in Path('my.yaml').read_text()
    assert '--synonyms-out' not in err, err


def test_names_are_the_same_in_python(command):
    "A list of names in Python and on the command line is about the same words; the notice is one line, said once"
    from taidpt.classes import COCO
    from taidpt.nounfilter import NounFilter
    captions, names = [*islice(bundled_captions(), 2000), 'A puppy on a sofa.'], ['person', 'sofa', 'dog', 'puppy']
    Path('some.txt').write_text('\n'.join(captions))
    status, out, err = command('label', 'some.txt', '--classes', ','.join(names), '--out', 'labelled.parquet')
    assert status == 0 and len(re.findall('these words', err)) == 1 and 'person (human, people, man' in err
    ours = NounFilter(names)
    counts, theirs = (f.label(captions, progress=False).counts() for f in (ours, NounFilter(COCO)))
    for name, count in counts.items(): assert f'{count:8,}  {name}\n' in out
    assert counts['person'] >= theirs['person'] > 500 and counts['sofa'] == theirs['couch'] > 1
    assert theirs['dog'] - counts['puppy'] <= counts['dog'] < theirs['dog']
    assert ours.explain('a poodle and a puppy').classes == ['dog', 'puppy']


def test_hyponyms_on_request(command):
    for more, found in ((), 'names no class'), (('--hyponyms',), "'guitar' -> musical instrument"):
        status, out, _ = command('label', '--classes', 'musical instrument,dog', *more, '--explain', 'a guitar')
        assert status == 0 and found in out


def test_a_name_that_no_sentence_has(folder, command):
    for args in (['train', '--classes', 'cat,dgo', '--captions', folder/'my.txt', '--out', 'x.safetensors', *quick],
                 ['label', folder/'my.txt', '--classes', 'cat,dgo', '--out', 'x.parquet']):
        error(command(*args), 'no sentence names dgo (did you mean dog', '--yes')
        assert not os.listdir()
    status, out, err = command('label', folder/'my.txt', '--classes', 'cat,dgo', '--yes')
    assert status == 0 and '       0  dgo\n' in out and 'did you mean dog' in err
    assert command('label', folder/'my.txt', '--classes', 'voc2007')[0] == 0      # the names of a data set need not be there


def test_unknown_labels_are_told(folder, command, tmp_path):
    Path('labels.tsv').write_text('000000000785.jpg\tdogg,cat\n')
    for args in (['evaluate', folder/'my.safetensors', '--pictures', DEMO/'images',
                  '--labels', 'labels.tsv'],
                 train('--captions', folder/'my.txt', '--val', DEMO/'images',
                       '--val-labels', 'labels.tsv', *quick)):
        status, _, err = command(*args)
        assert status == 0 and 'dogg (1, did you mean dog?)' in err, err


def test_clip_folder_that_is_not_here(folder, command, tmp_path, monkeypatch):
    "Prompts that were learned on a CLIP in a folder say so where that folder is not"
    shutil.copytree(ROOT/'taidpt/data/mini_clip', 'tiny')
    assert command(*train('--captions', folder/'my.txt', '--clip', 'tiny', *quick))[0] == 0
    (tmp_path/'elsewhere').mkdir(); monkeypatch.chdir(tmp_path/'elsewhere')
    error(command('predict', '../x.safetensors', DEMO/'images'),
          "x.safetensors was learned on 'tiny'", 'name it with --clip')
    assert command('predict', '../x.safetensors', PHOTO, '--clip', '../tiny')[0] == 0


def test_debug_shows_the_traceback(command):
    with pytest.raises(FileNotFoundError):
        main(['label', 'no.json', '--classes', 'voc2007', '--debug'])


def test_all_pictures_broken(folder, command):
    Path('a.jpg').write_bytes(b'no picture')
    status, out, err = command('predict', folder/'my.safetensors', 'a.jpg', 'b.jpg',
                               '--on-error', 'skip', '--json')
    assert status == 1 and [e['error'] for e in json.loads(out)] == ['cannot be read']*2
    assert err.count('note: Skipped') == 2


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no named pipes here')
def test_odd_files(folder, command):
    "Only files are taken from a folder, whatever their names; a pipe that is named is an error"
    def too_long(*_): raise TimeoutError('waits for a pipe')
    for name in ('.hidden.jpg', '._x.jpg', '.thumbnails/x.jpg'):
        Path('odd', name).parent.mkdir(parents=True, exist_ok=True)
        Path('odd', name).write_bytes(b'no picture')
    shutil.copy(PHOTO, 'odd/a::b.jpg')
    shutil.copy(PHOTO, 'odd/caf\udce9.jpg')                # a byte that is no UTF-8
    os.mkfifo('odd/pipe.jpg')
    shown = ['odd/a::b.jpg', r'odd/caf\xe9.jpg']
    prompts = folder/'my.safetensors'
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(120)
    try:
        status, out, err = command('predict', prompts, 'odd', '--json')
        assert status == 0 and [e['picture'] for e in json.loads(out)] == shown, err
        status, out, err = command('predict', prompts, 'odd', '--out', 'scores')
        assert status == 0 and '2 of 2 pictures scored' in out, err
        (shard,) = Path('scores').iterdir()
        assert [str(Path(p).relative_to(Path.cwd())) for p in pq.read_table(shard)['picture'].to_pylist()] == shown
        status, out, err = command('predict', prompts, 'odd/a::b.jpg', '--out', 'one')
        assert status == 0 and '1 of 1 pictures scored' in out, err
        pipe = 'odd/pipe.jpg: it is a named pipe, not a file'
        error(command('predict', prompts, 'odd/pipe.jpg'), pipe)
        error(command('predict', prompts, 'odd/pipe.jpg', '--out', 'two'), pipe)
        status, out, err = command('predict', prompts, PHOTO, 'odd/pipe.jpg', '--on-error', 'skip', '--json')
        assert status == 0 and json.loads(out)[1]['error'] == 'cannot be read' and pipe in err
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_reader_that_stops_early(folder):
    "taidpt predict … | head -1"
    pipe = f'{tool("taidpt")} predict {folder}/my.safetensors {DEMO}/images --csv | head -1'
    done = run('bash', '-c', f'set -o pipefail; {pipe}')
    assert done.stdout == 'picture,class,score,present\n' and done.returncode == 0


def test_interrupted(folder, tmp_path):
    "Ctrl-C says what was kept and how to go on"
    args = [tool('taidpt'), 'train', '--classes', 'cat,dog,bus,person',
            '--captions', folder/'my.txt', '--out', 'x.safetensors', '--epochs', '500',
            '--batch-size', '64']
    def heed():                       # where these tests run in the background, Ctrl-C is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    p = subprocess.Popen([str(a) for a in args], cwd=tmp_path, text=True, stderr=subprocess.PIPE,
                         preexec_fn=heed)
    checkpoint = tmp_path/'x.checkpoint.safetensors'
    while not checkpoint.exists() and p.poll() is None: time.sleep(0.05)
    p.send_signal(signal.SIGINT)
    err = p.communicate(timeout=60)[1]
    assert p.returncode == 130 and 'x.checkpoint.safetensors' in err and '--resume' in err, err
    assert 'Traceback' not in err
    assert checkpoint.exists() and not (tmp_path/'x.safetensors').exists()
    assert main(['train', '--classes', 'cat,dog', '--captions', f'{folder}/my.txt',
                 '--out', f'{tmp_path}/x.safetensors']) == 1           # not overwritten unasked
    assert checkpoint.exists()
