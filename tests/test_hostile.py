"""Files and names that want something else than to be read: each attack, and how it ends.
SECURITY.md promises it."""
import csv
import io
import os
import re
import sys

import pytest
import torch
from conftest import ROOT, run
from fuzz import picture

from taidpt.all import ClassSet
from taidpt.apps.tagging import TaggedPictures
from taidpt.encoders.pictures import decoded, open_rgb
from taidpt.files import open_safetensors, write_safetensors
from taidpt.paper.checkpoints import prompt_tensors
from taidpt.tags import Tag

pytestmark = pytest.mark.xdist_group('hostile')


# Files that would fill the memory

def checkpoint(folder):
    "A tensor that is one number, seen a trillion times"
    tensors = {'ctx': torch.ones(1, 1).expand(10**6, 10**6), 'ctx_double': torch.ones(1, 1)}
    torch.save(tensors, folder/'a.pth')
    prompt_tensors(folder/'a.pth')


def empty_file(path, size: int = 2**32):
    "A file of so many bytes that takes no room on the disk"
    with open(path, 'wb') as f: f.truncate(size)


def sparse(folder):
    empty_file(folder/'a.jpg')
    open_rgb(folder/'a.jpg')


def scans(folder):
    "A JPEG with its last scan two thousand times more"
    drawn = io.BytesIO()
    open_rgb(picture('PNG')).save(drawn, 'JPEG', progressive=True)
    content = drawn.getvalue()
    last = content.rindex(b'\xff\xda')
    before, scan, end = content[:last], content[last:-2], content[-2:]
    decoded(before + scan*2000 + end)


def classes(folder): ClassSet('many', map(str, range(50_001)))


SIZES = {
    checkpoint: '1,000,000,000,000 numbers',
    sparse: 'bytes of a picture',
    scans: 'scans of a JPEG',
    classes: '50,000 classes',
}


@pytest.mark.parametrize('attack', SIZES, ids=lambda attack: attack.__name__)
def test_sizes_have_limits(attack, tmp_path):
    with pytest.raises(ValueError, match=SIZES[attack]): attack(tmp_path)


# Names, modes and outputs

def test_names_control_neither_terminal_nor_spreadsheet(tmp_path):
    pictures = ['a\x1b[2J\r\nb.jpg: cat', '=1+1.jpg']
    label = '@dog\x9b'
    tags = [[Tag(label, .5, True)], [Tag(label, .5, True)]]
    table = tmp_path/'tags.csv'
    found = TaggedPictures(pictures, [label], tags)
    assert found.lines(scores=True) == [
        'a\\x1b[2J\\r\\nb.jpg: cat: @dog\\x9b 0.500',
        '=1+1.jpg: @dog\\x9b 0.500',
    ]
    found.save_table(table, scores=True)
    with table.open(newline='') as f: rows = list(csv.reader(f))
    assert rows == [
        ['picture', 'tags', 'error', "'@dog\\x9b"],
        ['a\\x1b[2J\\r\\nb.jpg: cat', "'@dog\\x9b", '', '0.5000'],
        ["'=1+1.jpg", "'@dog\\x9b", '', '0.5000'],
    ]


@pytest.mark.skipif(os.name == 'nt', reason='modes and links of Unix')
def test_files_keep_mode_and_link(tmp_path):
    path = tmp_path/'a.safetensors'
    link = tmp_path/'link.safetensors'
    link.symlink_to(path.name)
    old = os.umask(0o027)
    try:
        write_safetensors(link, {'x': torch.ones(1)}, {'format': 'a'})
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        write_safetensors(link, {'x': torch.ones(2)}, {'format': 'a'})
    finally:
        os.umask(old)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    with open_safetensors(path, 'a', 'numbers') as (f, _): assert len(f.get_tensor('x')) == 2


CLOSED = ['>&-', '2>&-', '>&- 2>&-', '| head -0', '2>&1 | head -0']


@pytest.mark.skipif(os.name == 'nt', reason='a shell of Unix')
@pytest.mark.parametrize('how', CLOSED)
def test_a_closed_output_is_no_fault(how, tmp_path):
    program = 'import sys; from taidpt.apps.cli import main; sys.exit(main())'
    command = f"{sys.executable} -c '{program}' label --classes cat,dog --explain 'a cat'"
    line = f'set -o pipefail; {command} {how}'
    done = run('bash', '-c', line, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0
    assert 'Traceback' not in done.stdout
    assert 'rror' not in done.stdout


ATTACKS = 'test_chaos', 'test_fuzz', 'test_hostile', 'test_trust'      # files of nothing else
NO_ATTACKS = {
    ('test_fuzz', 'test_good_files_are_read'),
    ('test_hostile', 'test_each_promise_names_its_test'),
}


def names_of_tests(file: str) -> list[str]:
    "The names of a file's tests"
    code = (ROOT/f'tests/{file}.py').read_text(encoding='utf-8')
    return re.findall(r'^def (test_\w+)', code, re.MULTILINE)


def test_each_promise_names_its_test():
    "The table in SECURITY.md names tests that exist, and all tests of attacks but for two"
    promises = (ROOT/'SECURITY.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`(test_\w+)::(\w+)`', promises))
    for file, name in named: assert name in names_of_tests(file), f'{file}::{name}'
    attacks = {(file, name) for file in ATTACKS for name in names_of_tests(file)}
    assert attacks - named == NO_ATTACKS
