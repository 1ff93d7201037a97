"""One-file taggers: what is read of a file, where its graph runs, and what it says to odd
pictures."""
import json
import os
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT, run
from fuzz import CORPUS, picture, tagger, unsealed
from onnx import helper
from packaging.requirements import Requirement

from taidpt.apps.graphs import _Session, begin_graph, read_graph
from taidpt.apps.onnx import Tagger, _sealed

LINUX = pytest.mark.skipif(sys.platform != 'linux', reason='needs a limit of the memory')
ORT = CORPUS/'tagger'/'ort-format.onnx'


@pytest.fixture(scope='module')
def file(tmp_path_factory) -> Path:
    "A tagger of two classes"
    path = tmp_path_factory.mktemp('tagger')/'a.onnx'
    path.write_bytes(tagger())
    return path


@pytest.fixture(scope='module')
def ready(file) -> Tagger: return Tagger(file, threads=1)


def process_of(look: Tagger): return look.session.end.peek()[2][0]


# What is read of a file

def messages(message, path=()):
    "The messages inside a protobuf message, and their places"
    yield path
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE: continue
        several = value if hasattr(value, 'append') or hasattr(value, 'add') else [value]
        for place, inner in enumerate(several):
            yield from messages(inner, (*path, (field.name, place if several is value else None)))


def at(message, path):
    for name, place in path:
        message = getattr(message, name)
        if place is not None: message = message[place]
    return message


def test_no_message_holds_a_field_that_is_not_known():
    "Wherever it stands, as other readers may know it"
    model = onnx.load_from_string(unsealed())
    places = list(messages(model))
    assert len(places) > 20
    for number in (99, 200):
        for place in places:
            odd = onnx.load_from_string(unsealed())
            key = number << 3
            at(odd, place).MergeFromString(bytes([key & 127 | 128, key >> 7, 1]))
            with pytest.raises(ValueError, match=f'field {number} of a'):
                read_graph(odd.SerializeToString())


def test_a_model_is_never_in_a_format_of_its_own(tmp_path):
    "ONNX Runtime would read these bytes as its own format; we tell it that they are ONNX"
    content = ORT.read_bytes()
    assert content[4:8] == b'ORTM'
    with pytest.raises(ValueError, match='no ONNX|no tagger'): read_graph(content)
    with pytest.raises(Exception, match='(?i)protobuf'): _Session(1, 2**28).open(content)
    path = tmp_path/'a.ort'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='a.ort: this is no tagger'): Tagger(path)


def test_a_changed_file_is_noticed(tmp_path):
    "Any bit of the file, and a file without a checksum"
    path = tmp_path/'a.onnx'
    content = tagger()
    for place in range(0, len(content) - 78, 29):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1:])
        with pytest.raises(ValueError, match='a.onnx: this tagger was changed or damaged'):
            Tagger(path)
    path.write_bytes(unsealed())
    with pytest.raises(ValueError, match='no checksum.* write it again with') as e: Tagger(path)
    assert e.value.in_command.endswith('write it again with taidpt export')


def with_words(**words) -> bytes:
    "A tagger with other texts"
    model = onnx.load_from_string(unsealed())
    said = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, said | words)
    return _sealed(model.SerializeToString())


WORDS = {
    'classes': ['[' * 10**6, json.dumps([f'{n}' for n in range(60_000)]), '5' * 5000, 'x' * 2**25],
    'thresholds': ['NaN', '[1e999, 0]', '[0.1]', '[[0.1, 0.2]]', f'[{10**400}, 1]'],
    'std': ['0', '[1, 0, 1]'],
}


@pytest.mark.parametrize('name', WORDS)
def test_words_are_checked(name, tmp_path):
    path = tmp_path/'a.onnx'
    for text in WORDS[name]:
        path.write_bytes(with_words(**{name: text}))
        with pytest.raises(ValueError, match=f'a.onnx.*{name}'): Tagger(path)


# Where its graph runs

@LINUX
def test_the_graph_runs_in_a_process_with_limited_memory(ready):
    import resource
    process = process_of(ready)
    limit, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
    assert 2**30 < limit == hard < 2**30 + 2**29 + 2**26*os.cpu_count()
    maps = Path(f'/proc/{process.pid}/maps').read_text()
    assert 'onnxruntime' in maps
    assert 'libtorch' not in maps


def test_threads_share_a_tagger(ready):
    pictures = [np.full((8, 8, 3), grey, np.uint8) for grey in range(0, 250, 5)]
    with ThreadPoolExecutor(8) as pool: found = list(pool.map(ready.predict, pictures))
    assert np.allclose(np.concatenate(found), ready.predict(pictures))


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
@pytest.mark.filterwarnings('ignore:.*fork')
def test_a_forked_process_shares_a_tagger(ready):
    wanted = ready.predict(picture('PNG'))
    child = os.fork()
    if child == 0:
        status = 1
        try: status = int(not np.array_equal(ready.predict(picture('PNG')), wanted))
        finally: os._exit(status)
    same = np.array_equal(ready.predict(picture('PNG')), wanted)
    assert (same, os.waitpid(child, 0)[1]) == (True, 0)


ENDS = '''
import sys
from taidpt.apps.onnx import Tagger
look = Tagger(sys.argv[1], threads=1)
print(look.session.end.peek()[2][0].pid)
'''


@LINUX
def test_the_process_ends_with_its_owner(file):
    done = run(sys.executable, '-c', ENDS, file)
    assert done.returncode == 0
    assert not Path(f'/proc/{int(done.stdout)}').exists()


@LINUX
def test_a_process_that_was_stopped_is_told(file):
    look = Tagger(file, threads=1)
    process_of(look).kill()
    for _ in range(2):
        with pytest.raises(ValueError, match='a.onnx: its graph cannot be run .its process ended'):
            look.predict(picture('PNG'))


@pytest.mark.parametrize('system', ['darwin', 'linux'])
def test_a_python_without_a_command_runs_the_graph_itself(file, ready, system, monkeypatch):
    "As do systems without a limit"
    monkeypatch.setattr(sys, 'platform', system)
    if system == 'linux': monkeypatch.setattr(sys, 'executable', '/usr/bin/uwsgi')
    look = Tagger(file, threads=1)
    assert isinstance(look.session, _Session)
    assert np.array_equal(look.predict(picture('PNG')), ready.predict(picture('PNG')))


def test_a_graph_of_other_sizes_is_told():
    "Declared are 8 × 8 pixels and 3 scores of each, where the graph has 2"
    model = onnx.load_from_string(unsealed())
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    content = model.SerializeToString()
    assert read_graph(content).scores == 3
    graph = begin_graph(1, 2**28)
    with pytest.raises(Exception, match='(?i)shape|dim|cannot'):
        graph.open(content)
        graph.run(np.zeros((1, 3, 8, 8), np.float32)).reshape(3)


# What it says to odd pictures

def test_odd_pictures_are_skipped(ready, tmp_path):
    "Whatever they are; the others get tags"
    torn = tmp_path/'torn.png'
    torn.write_bytes(picture('PNG')[:60])
    odd = [
        None, 7, {}, b'', b'%!PS', torn, tmp_path/'none.jpg', tmp_path, np.zeros((5, 5)),
        np.zeros((0, 4, 3), np.uint8), np.zeros((2, 2, 3)), np.array(None)]
    if find_spec('torch'):
        import torch
        odd.append(torch.zeros(3, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        tags = ready.tags([*odd, picture('PNG')], on_error='skip')
    assert [len(found) for found in tags] == [0]*len(odd) + [2]


# Where PyTorch is not installed

def with_what_they_need(names: list[str]) -> set[str]:
    "Packages and those that they require"
    found, new = set(), set(names)
    while new:
        found |= new
        lines = [line for name in new for line in distribution(name).requires or ()]
        needs = [Requirement(line) for line in lines]
        new = {r.name for r in needs if not r.marker or r.marker.evaluate({'extra': ''})} - found
    return found


@pytest.fixture(scope='module')
def bare(tmp_path_factory) -> Path:
    "A folder with the package, and what the page about small installs names"
    page = (ROOT/'nbs/tutorials/serve.ipynb').read_text(encoding='utf-8')
    named = re.search(r'\$ pip install ([\w ]+)\\n', page)[1].split()
    folder = tmp_path_factory.mktemp('bare')
    (folder/'taidpt').symlink_to(ROOT/'taidpt')
    for name in with_what_they_need(named):
        its = distribution(name)
        for top in {file.parts[0] for file in its.files} - {'..'}:
            if not (folder/top).exists(): (folder/top).symlink_to(its.locate_file(top))
    return folder


@pytest.mark.skipif(os.name == 'nt', reason='makes links, which take a right there')
def test_a_tagger_without_pytorch(file, bare, tmp_path):
    "In Python and by the command; what needs PyTorch says what to install, on one line"
    photo = ROOT/'taidpt/data/coco_demo/images/000000011149.jpg'

    def python(code, *words):
        return run(sys.executable, '-S', '-c', code, *words, cwd=tmp_path, PYTHONPATH=str(bare))

    def taidpt(*words):
        return python('import sys; from taidpt.apps.cli import main; sys.exit(main())', *words)

    look = 'import sys; from taidpt.apps.onnx import Tagger; t = Tagger(sys.argv[1]); '
    done = python(look + 'print(len(t.tags(sys.argv[2])[0]))', file, photo)
    assert (done.returncode, done.stdout) == (0, '2\n')
    assert 'torch not installed' in taidpt('--version').stdout
    assert taidpt('--help').returncode == 0
    for out in 'tags.csv', 'tags.db':
        assert taidpt('tag', '--tagger', file, photo, '--out', out).returncode == 0
        assert (tmp_path/out).exists()
    done = taidpt('-q', 'train', '--classes', 'cat,dog', '--out', 'x.safetensors')
    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert 'needs torch' in line and 'pip install git+https://github.com/taidpt/taidpt' in line
    done = taidpt('tag', '--tagger', file, photo, '--out', 'tags.parquet')
    assert done.returncode == 1 and 'pip install pyarrow' in done.stdout
