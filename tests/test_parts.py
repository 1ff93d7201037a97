"""What is kept of a run is used again only while it is whole and its inputs are the same, and one bad record ends no run."""
import bz2
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from taidpt.clip import load_clip
from taidpt.learner import TaIDPT
from taidpt.prompts import PromptLearner
from taidpt.support.encode import encode_sentences

PHOTOS = sorted((ROOT/'taidpt/data/coco_demo/images').iterdir())[:3]


@pytest.fixture(scope='module')
def clip(): return load_clip(device='cpu')


@pytest.fixture(scope='module')
def prompts(clip, tmp_path_factory):
    "Prompts as they are before learning, in a file"
    path = tmp_path_factory.mktemp('prompts')/'my.safetensors'
    model = TaIDPT(clip, ['cat', 'dog'], n_ctx=2)
    model.prompts_, model.history_ = PromptLearner(clip, ['cat', 'dog'], 2, seed=0), []
    model.save(path)
    return path


@pytest.fixture
def label(taidpt, tmp_path):
    "Label the captions in a folder"
    return lambda *more: taidpt('label', tmp_path/'captions', '--classes', 'cat,dog', '--out', tmp_path/'out', *more)


@pytest.fixture
def predict(taidpt, prompts, tmp_path):
    "Score the pictures in a folder"
    return lambda folder, *more: taidpt('predict', prompts, tmp_path/folder, '--out', tmp_path/'out', *more)


def rows(folder) -> list[dict]: return [r for p in sorted(folder.glob('*.parquet')) for r in pq.read_table(p).to_pylist()]


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(r if isinstance(r, str) else json.dumps(r) for r in records))


def test_damaged_features_are_not_used(clip, tmp_path):
    texts, path = ['a cat', 'a dog', 'a red bus'], tmp_path/'features.safetensors'
    encode_sentences(clip, texts, path, progress=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2*clip.dim] + bytes(2*clip.dim))           # the last token's feature was never written
    with pytest.raises(ValueError, match='features.safetensors: damaged'): encode_sentences(clip, texts, path, progress=False)


def test_pictures_that_were_added_or_repaired(predict, tmp_path):
    folder, out = tmp_path/'pictures', tmp_path/'out'
    folder.mkdir()
    for p in PHOTOS[:2]: shutil.copy(p, folder)
    broken = folder/PHOTOS[1].name
    broken.write_bytes(broken.read_bytes()[:2000])
    assert predict('pictures', '--on-error', 'skip')[0] == 0
    assert [r['error'] is None for r in rows(out)] == [True, False]

    status, said = predict('pictures')                                  # what was skipped is an error if nothing may be
    assert status == 1 and 'pictures-000000, row 2' in said
    shutil.copy(PHOTOS[1], broken)
    shutil.copy(PHOTOS[2], folder)
    status, said = predict('pictures')
    assert status == 0 and 'Done again: pictures-000000 (it has changed)' in said
    assert [r['error'] for r in rows(out)] == [None]*3
    assert predict('pictures')[1].startswith('nothing is left to do')

    result, = out.glob('*.parquet')
    whole = result.read_bytes()
    for damaged in (b'', whole[:-1], whole[:30] + b'?' + whole[31:]):
        result.write_bytes(damaged)
        status, said = predict('pictures')
        assert status == 0 and 'its result is damaged' in said and result.read_bytes() == whole


def test_pictures_of_records_that_were_repaired(predict, tmp_path):
    write(tmp_path/'shards/0.jsonl', dict(path='a.jpg'), dict(path='b.jpg'))
    shutil.copy(PHOTOS[0], tmp_path/'shards/a.jpg')
    assert predict('shards', '--on-error', 'skip')[0] == 0
    shutil.copy(PHOTOS[1], tmp_path/'shards/b.jpg')
    assert 'it has changed' in predict('shards', '--on-error', 'skip')[1]
    assert [r['error'] for r in rows(tmp_path/'out')] == [None, None]


def test_each_shard_has_a_result_of_its_own(label, tmp_path):
    for i, name in enumerate(('a/b', 'a--b', 'a%2Fb')): write(tmp_path/f'captions/{name}.jsonl', f'"a cat {i}"')
    status, said = label()
    assert status == 0 and '3 shards done' in said
    assert sorted(r['text'] for r in rows(tmp_path/'out')) == ['a cat 0', 'a cat 1', 'a cat 2']
    (tmp_path/'captions/a--b.jsonl').unlink()
    assert 'results that are of none of these shards' in label()[1]


BAD = {                                                                 # bytes of a shard, its ending, rows that are left out
    'surrogate': (b'"a cat"\n"a \\ud83d dog"\n"a dog"', '.jsonl', [2]),
    'deep': (b'"a cat"\n' + b'['*100_000 + b']'*100_000 + b'\n"a dog"', '.jsonl', [2]),
    'torn gz': (gzip.compress(os.urandom(0) + b'"a cat"\n"a dog"\n' * 5000)[:-12], '.jsonl.gz', None),
    'torn bz2': (bz2.compress(b'"a cat"\n"a dog"\n')[:-12], '.jsonl.bz2', [1]),
    'no gz': (b'"a cat"\n', '.jsonl.gz', [1]),
    'no bz2': (b'"a cat"\n', '.jsonl.bz2', [1]),
}


@pytest.mark.parametrize('kind', BAD)
def test_bad_captions(label, tmp_path, kind):
    content, ending, lost = BAD[kind]
    write(tmp_path/'captions/good.jsonl', '"a dog"')
    (tmp_path/f'captions/bad{ending}').write_bytes(content)
    status, said = label('--on-error', 'skip')
    assert status == 0 and '2 shards done' in said and f'bad{ending}, row {lost[0] if lost else ""}' in said
    assert 'a dog' in [r['text'] for r in rows(tmp_path/'out')]
    if kind in ('surrogate', 'deep'): assert sorted(r['text'] for r in rows(tmp_path/'out')) == ['a cat', 'a dog', 'a dog']
    status, said = label()
    assert status == 1 and f'bad{ending}, row' in said


def test_bad_pictures(predict, tmp_path):
    (tmp_path/'secret.jpg').write_bytes(PHOTOS[1].read_bytes())
    shutil.copytree(PHOTOS[0].parent, tmp_path/'shards/images')
    good = dict(path=f'images/{PHOTOS[0].name}')
    bad = [dict(path='http://127.0.0.1:9/a.jpg'), dict(path='../secret.jpg'), dict(path=str(tmp_path/'secret.jpg')), dict(path='a\ud83d.jpg'), 7, '['*100_000]
    write(tmp_path/'shards/0.jsonl', good, *bad, good)
    status, said = predict('shards', '--on-error', 'skip')
    assert status == 0 and '2 of 8 pictures scored' in said
    assert all(f'0.jsonl, row {row}: left out' in said for row in range(2, 8)) and '--allow-outside' in said
    shutil.rmtree(tmp_path/'out')
    status, said = predict('shards', '--on-error', 'skip', '--allow-outside')   # now it is a matter of what is there
    assert status == 0 and '4 of 8 pictures scored' in said and '0.jsonl, row 2: left out' in said


FILL = textwrap.dedent('''
    import sys
    from pathlib import Path
    import torch
    from taidpt.support.features import store_in_file
    from taidpt.support.scorefiles import SavedScores
    place, room = Path(sys.argv[1]), 2**20
    if sys.argv[2] == 'limit':
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    about = dict(format='taidpt-features')
    try:
        for name in 'ab':                           # each of them would fit, were it alone
            store = store_in_file(place/f'{name}.safetensors', [1200], [256], about)
            if name == 'a': first = store
        for s in (first, store): s.parts[:] = 1
    except OSError as e: print(type(e).__name__, e)
    try: SavedScores(torch.ones(8000, 80), [f'{i}.jpg' for i in range(8000)], [f'{i}' for i in range(80)]).save(place/'scores.safetensors')
    except OSError as e: print(type(e).__name__, e)
''')


@pytest.fixture(params=['limit', 'disk'])
def full(request, tmp_path):
    "A place that holds a megabyte"
    if request.param == 'limit':
        pytest.importorskip('resource', reason='there are no limits on Windows')
        yield request.param, tmp_path
        return
    mounted = shutil.which('mount') and subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', tmp_path], stderr=subprocess.DEVNULL).returncode == 0
    if not mounted: pytest.skip('no right to mount a small disk here')
    yield request.param, tmp_path
    subprocess.run(['umount', tmp_path], check=True)


def test_full_disk(full):
    how, place = full
    done = subprocess.run([sys.executable, '-c', FILL, place, how], text=True, capture_output=True, cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode != -signal.SIGBUS and done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert f'{place/"scores.safetensors"}' in said[-1] and said[-1].startswith('OSError')
    if how == 'disk': assert len(said) == 2 and str(place) in said[0]
    assert not [p for p in place.iterdir() if p.name.startswith('.')]
