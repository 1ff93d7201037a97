"""Files and names that want something else than to be read: each attack, and how it ends. SECURITY.md promises it."""
import csv
import io
import os
import re
import sys

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT, run
from fuzz import picture, tagger
from onnx import helper, numpy_helper

from taidpt.apps.onnx import Tagger
from taidpt.apps.tagging import TaggedPictures
from taidpt.all import ClassSet, read_captions
from taidpt.encoders.pictures import decoded, open_rgb
from taidpt.files import LIMITS, open_safetensors, write_safetensors
from taidpt.paper.checkpoints import prompt_tensors
from taidpt.tags import Tag

pytestmark = pytest.mark.xdist_group('hostile')


def graph(*nodes, **numbers) -> bytes:
    "A tagger with more nodes and numbers, whose scores are multiplied by `x`"
    model = onnx.load_from_string(tagger())
    g = model.graph
    g.node[-1].output[0] = 'plain'
    g.node.extend([*nodes, helper.make_node('Mul', ['plain', 'x'], ['scores'])])
    g.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in numbers.items())
    return model.SerializeToString()


def outside() -> bytes:
    model = onnx.load_from_string(graph(x=np.float32(1)))
    model.graph.initializer[-1].ClearField('raw_data')
    model.graph.initializer[-1].data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer[-1].external_data.add(key='location', value='/etc/passwd')
    return model.SerializeToString()


def loop() -> bytes:
    value = helper.make_tensor_value_info
    body = helper.make_graph([helper.make_node('Identity', ['c'], ['d'])], 'b', [value('i', 7, []), value('c', 9, [])], [value('d', 9, [])])
    return graph(helper.make_node('Loop', ['', 'go'], ['x'], body=body), go=True)


def expand(n: int) -> bytes:
    return graph(helper.make_node('Expand', ['one', 'n'], ['big']), helper.make_node('ReduceMax', ['big'], ['x'], keepdims=0),
                 one=np.float32([1]), n=[n])


GRAPHS = {'reads a file': (outside, 'field 1'), 'never ends': (loop, 'Loop'), 'foreign': (lambda: graph(
    helper.make_node('Gelu', ['one'], ['x'], domain='com.microsoft'), one=np.float32(1)), 'field 7|Gelu')}


@pytest.mark.parametrize('attack', GRAPHS)
def test_a_tagger_is_arithmetic(attack, tmp_path, monkeypatch):
    import onnxruntime
    make, says = GRAPHS[attack]
    (path := tmp_path/'a.onnx').write_bytes(make())
    monkeypatch.setattr(onnxruntime, 'InferenceSession', None)              # none is made
    with pytest.raises(ValueError, match=f'a.onnx.*({says})'): Tagger(path)


def test_a_tagger_has_so_much_memory(tmp_path):
    for n, fits in ((10, True), (LIMITS['memory of a tagger'], False), (1000, True)):       # numbers of 4 bytes
        (path := tmp_path/f'{n}.onnx').write_bytes(expand(n))
        look = Tagger(path, threads=1)
        if fits: assert np.isfinite(look.predict(open_rgb(picture('PNG')))).all()
        else:
            with pytest.raises(ValueError, match='cannot be run'): look.predict(open_rgb(picture('PNG')))


def checkpoint(folder):
    torch.save({'ctx': torch.ones(1, 1).expand(10**6, 10**6), 'ctx_double': torch.ones(1, 1)}, folder/'a.pth')
    prompt_tensors(folder/'a.pth')


def sparse(folder):
    with open(folder/'a.jpg', 'wb') as f: f.truncate(2**32)
    open_rgb(folder/'a.jpg')


def scans(folder):
    drawn = io.BytesIO()
    open_rgb(picture('PNG')).save(drawn, 'JPEG', progressive=True)
    last = (content := drawn.getvalue()).rindex(b'\xff\xda')
    decoded(content[:last] + content[last:-2]*2000 + content[-2:])


def caption(folder):
    with open(folder/'a.txt', 'wb') as f: f.truncate(2**32)
    list(read_captions(folder/'a.txt'))


def classes(folder): ClassSet('many', map(str, range(50_001)))


SIZES = {checkpoint: '1,000,000,000,000 numbers', sparse: 'bytes of a picture', scans: 'scans of a JPEG', caption: 'a.txt:1 has more than',
         classes: '50,000 classes'}


@pytest.mark.parametrize('attack', SIZES, ids=lambda f: f.__name__)
def test_sizes_have_limits(attack, tmp_path):
    with pytest.raises(ValueError, match=SIZES[attack]): attack(tmp_path)


def test_names_control_neither_terminal_nor_spreadsheet(tmp_path):
    name, out = 'a\x1b[2J\r\nb.jpg: cat', tmp_path/'tags.csv'
    found = TaggedPictures([name, '=1+1.jpg'], ['@dog\x9b'], [[Tag('@dog\x9b', .5, True)]]*2)
    assert found.lines(scores=True) == ['a\\x1b[2J\\r\\nb.jpg: cat: @dog\\x9b 0.500', '=1+1.jpg: @dog\\x9b 0.500']
    found.save_table(out, scores=True)
    assert list(csv.reader(out.open(newline=''))) == [['picture', 'tags', "'@dog\\x9b"], ['a\\x1b[2J\\r\\nb.jpg: cat', "'@dog\\x9b", '0.5000'], ["'=1+1.jpg", "'@dog\\x9b", '0.5000']]


@pytest.mark.skipif(os.name == 'nt', reason='modes and links of Unix')
def test_files_keep_mode_and_link(tmp_path):
    path, link = tmp_path/'a.safetensors', tmp_path/'link.safetensors'
    link.symlink_to(path.name)
    old = os.umask(0o027)
    try:
        write_safetensors(link, {'x': torch.ones(1)}, {'format': 'a'})
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        write_safetensors(link, {'x': torch.ones(2)}, {'format': 'a'})
    finally: os.umask(old)
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o600
    with open_safetensors(path, 'a', 'numbers') as (f, _): assert len(f.get_tensor('x')) == 2


@pytest.mark.skipif(os.name == 'nt', reason='a shell of Unix')
@pytest.mark.parametrize('how', ['>&-', '2>&-', '>&- 2>&-', '| head -0', '2>&1 | head -0'])
def test_a_closed_output_is_no_fault(how, tmp_path):
    code = f"{sys.executable} -c 'import sys; from taidpt.apps.cli import main; sys.exit(main())'"
    line = f'set -o pipefail; {code} label --classes cat,dog --explain "a cat" {how}'
    done = run('bash', '-c', line, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0 and 'Traceback' not in done.stdout and 'rror' not in done.stdout


def test_each_promise_names_its_test():
    "The table in SECURITY.md has all tests of the files that it names, and no others but good files"
    named = set(re.findall(r'`(test_\w+)::(\w+)`', (ROOT/'SECURITY.md').read_text(encoding='utf-8')))
    there = {(file, name) for file, _ in named for name in re.findall(r'^def (test_\w+)', (ROOT/f'tests/{file}.py').read_text(encoding='utf-8'), re.MULTILINE)}
    assert there - named == {('test_fuzz', 'test_good_files_are_read'), ('test_hostile', 'test_each_promise_names_its_test')} and named <= there
