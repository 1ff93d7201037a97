"""The data sets from a server here: what breaks goes on, what is wrong leaves nothing."""
import io
import os
import shutil
import socket
import tarfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from archives import served_sets, serving, write_archives
from taidpt.apps.cli import main
from taidpt.datasets import download as module
from taidpt.datasets.benchmarks import read_coco, read_nuswide, read_sentences, read_voc2007
from taidpt.datasets.download import DATA_SETS, download, fetch_data, unpack

Usage = namedtuple('Usage', 'total used free')


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp('archives')
    write_archives(folder)
    return folder


@pytest.fixture
def server(archives, monkeypatch):
    "A server that has the small archives, and a table of the data sets with its addresses"
    with serving(archives) as server:
        for name, data in served_sets(archives, server.address).items():
            monkeypatch.setitem(DATA_SETS, name, data)
        yield server


@pytest.fixture
def root(tmp_path): return tmp_path/'DIR'


def fetch(root, *names, **options): fetch_data(names, root, progress=False, tell=str, **options)


def files(root) -> list[str]:
    "All files of the data sets, without what is being fetched"
    paths = [path.relative_to(root) for path in root.rglob('*') if path.is_file()]
    return sorted(file.as_posix() for file in paths if not file.parts[0].startswith('.download'))


def only(monkeypatch, archive, **changes):
    "Let VOC2007 be one archive, and this one be different"
    data = replace(DATA_SETS['voc2007'], archives=(replace(archive, **changes),))
    monkeypatch.setitem(DATA_SETS, 'voc2007', data)


def test_the_command_brings_all_that_the_readers_take(server, root, capsys):
    names = 'voc2007', 'coco', 'nuswide'
    assert main(['data', *names, '--to', root]) == 0
    out = capsys.readouterr().out
    assert out.startswith('10 files to fetch, ') and 'NUS-WIDE.html' in out
    assert len(read_voc2007(root)) == len(read_voc2007(root, 'trainval')) == 36
    assert len(read_coco(root)) == len(read_coco(root, 'train')) == 36
    for name in names: assert len(list(read_sentences(root, name))) == 60
    with pytest.raises(FileNotFoundError, match='NUSWIDE/Flickr .1 missing'): read_nuswide(root)

    there, asked = files(root), len(server.asked)
    assert main(['data', *DATA_SETS, '--to', root]) == 0
    assert 'to fetch' not in capsys.readouterr().out
    assert (files(root), len(server.asked)) == (there, asked) and not (root/'.download').exists()


def test_the_command_lists_and_refuses(root, capsys):
    assert main(['data']) == 0
    out = capsys.readouterr().out
    for name, data in DATA_SETS.items():
        assert f'{name}: ' in out and all(archive.name in out for archive in data.archives)
    assert main(['data', 'voc', '--to', root]) == 2
    assert "'voc' is none of voc2007" in capsys.readouterr().err and not root.exists()


def test_readers_name_these_archives(root):
    "The error for a missing file names the address of the archive that brings it"
    for name, call in (
        ('coco', read_coco), ('voc2007', read_voc2007), ('nuswide', read_nuswide),
        ('captions', lambda root: read_sentences(root, 'coco')),
        ('narratives', lambda root: read_sentences(root, 'nuswide')),
    ):
        with pytest.raises(FileNotFoundError) as error: call(root)
        assert any(archive.url in str(error.value) for archive in DATA_SETS[name].archives)


@pytest.mark.parametrize('ranges', [True, False])
def test_a_torn_download_goes_on(server, root, ranges):
    server.cut, server.ranges = 900_000, ranges
    with pytest.raises(OSError, match='900,000 bytes are kept, and the same call goes on'):
        fetch(root, 'voc2007')
    assert files(root) == []
    fetch(root, 'voc2007')
    assert server.asked[:2] == [(server.asked[0][0], 0), (server.asked[0][0], 899_999)]
    assert len(read_voc2007(root, 'trainval')) == 36


def test_ctrl_c_keeps_what_was_fetched(server, root, monkeypatch, capsys):
    class Stopped:
        def __init__(self, *args, **kwargs): pass
        def __enter__(self): return self
        def __exit__(self, *args): pass
        def update(self, count): raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(module, 'progress_bar', Stopped)
        assert main(['data', 'voc2007', '--to', root]) == 130
    assert '/DIR/.download; the same command goes on' in capsys.readouterr().err
    assert main(['data', 'voc2007', '--to', root]) == 0
    assert server.asked[1][1] == (1 << 16) - 1 and len(read_voc2007(root)) == 36


NARRATIVES = 'open_images_train_v6_captions.jsonl'


@pytest.fixture
def torn(server, root, tmp_path) -> Path:
    "The narratives on the server, which have no checksum; half of them has come"
    server.folder = tmp_path
    served = tmp_path/NARRATIVES
    served.write_text(''.join(f'{{"caption": "dog number {i}"}}\n' for i in range(100)))
    server.cut = 1500
    with pytest.raises(OSError, match='1,500 bytes are kept'): fetch(root, 'narratives')
    return served


def rest(start, content) -> dict:
    return {'Content-Range': f'bytes {start}-{len(content) - 1}/{len(content)}',
            'Content-Length': len(content) - start}


def a_capped_rest(start, content):
    headers = {'Content-Range': f'bytes {start}-{start + 99}/{len(content)}', 'Content-Length': 100}
    return 206, headers, content[start:start + 100]


def the_whole_as_the_rest(start, content):
    return 206, rest(start, content) | {'Content-Length': len(content)}, content


def a_part_of_the_whole_as_the_rest(start, content):
    return 206, rest(start, content) | {'Content-Length': len(content)}, content[:900]


def the_whole_as_a_range(start, content): return 206, rest(0, content), content


def a_rest_of_an_unknown_whole(start, content):
    headers = {'Content-Range': f'bytes {start}-{len(content) - 1}/*'}
    return 206, rest(start, content) | headers, content[start:]


def a_torn_rest_without_length(start, content):
    headers = rest(start, content)
    del headers['Content-Length']
    return 206, headers, content[start:-500]


def a_torn_file_without_length(start, content):
    end = content.index(b'\n') + 1
    return 200, {}, content[:end]


def the_rest_of_another_version(start, content):
    return 206, rest(start, content) | {'ETag': '"another"'}, content[start:]


def an_error_page(start, content):
    page = b'{"error": "Too many requests"}\n'
    return 200, {'Content-Length': len(page)}, page


def no_file(start, content): return 200, {'Content-Length': 0}, b''


@pytest.mark.parametrize('lie', [
    a_capped_rest, the_whole_as_the_rest, a_part_of_the_whole_as_the_rest, the_whole_as_a_range,
    a_rest_of_an_unknown_whole, a_torn_rest_without_length, a_torn_file_without_length,
    the_rest_of_another_version, an_error_page, no_file])
def test_what_is_not_the_rest_is_not_taken_for_it(server, root, torn, lie):
    server.lie = lie
    with pytest.raises((OSError, ValueError)): fetch(root, 'narratives')
    assert files(root) == []
    server.lie = None
    fetch(root, 'narratives')
    assert (root/'OpenImages/captions'/NARRATIVES).read_bytes() == torn.read_bytes()


@pytest.mark.parametrize('lines', [90, 100, 110])
def test_a_file_that_changes_between_two_calls_is_not_mixed(server, root, torn, lines):
    torn.write_text(''.join(f'{{"caption": "cat number {i}"}}\n' for i in range(lines)))
    fetch(root, 'narratives')
    assert (root/'OpenImages/captions'/NARRATIVES).read_bytes() == torn.read_bytes()


@pytest.mark.parametrize('line', ['{"error": "busy"}', '"busy"', '{"caption": null}', '[]', '{'])
def test_each_line_is_a_narrative(server, root, torn, line):
    with open(torn, 'a') as file: file.write(f'{line}\n')
    with pytest.raises(ValueError, match='line 101: .* It is deleted'): fetch(root, 'narratives')
    assert files(root) == []


def test_a_part_that_says_no_version_begins_anew(server, tmp_path):
    "As the versions before left them"
    archive = DATA_SETS['captions'].archives[0]
    (tmp_path/f'{archive.name}.part').write_bytes(bytes(10**6))
    download(archive.url, tmp_path/archive.name)
    assert (tmp_path/archive.name).stat().st_size == archive.size


def test_a_part_that_is_whole_gets_its_name(server, root, torn):
    (root/'.download'/f'{NARRATIVES}.part').write_bytes(torn.read_bytes())
    fetch(root, 'narratives')
    assert server.asked[-1] == (NARRATIVES, torn.stat().st_size - 1)
    assert (root/'OpenImages/captions'/NARRATIVES).read_bytes() == torn.read_bytes()


def test_a_part_that_is_longer_than_the_file_begins_anew(server, root, torn):
    with open(root/'.download'/f'{NARRATIVES}.part', 'ab') as part: part.write(bytes(10**6))
    with pytest.raises(OSError, match='416.*; 0 bytes are kept'): fetch(root, 'narratives')
    fetch(root, 'narratives')
    assert (root/'OpenImages/captions'/NARRATIVES).read_bytes() == torn.read_bytes()


def test_two_runs_at_once(server, root):
    "The second says so, and does nothing"
    with pytest.raises(ValueError, match='another run'):
        fetch_data('captions', root, progress=False, tell=lambda line: fetch(root, 'captions'))
    assert server.asked == []
    fetch(root, 'captions')


@pytest.mark.parametrize('name', [
    '.download', '.download.lock', f'.download/{NARRATIVES}', f'.download/{NARRATIVES}.part',
    f'.download/{NARRATIVES}.version', f'.download/{NARRATIVES}.unpacked'])
def test_a_planted_link_is_not_followed(server, root, tmp_path, name):
    mine = tmp_path/'mine'
    mine.mkdir()
    (mine/'file').write_text('mine')
    planted = root/name
    planted.parent.mkdir(parents=True)
    is_folder = name.endswith(('.download', '.unpacked'))
    planted.symlink_to(mine if is_folder else mine/'file')
    with pytest.raises(ValueError, match='is a link'): fetch(root, 'narratives')
    assert [path.name for path in mine.iterdir()] == ['file']
    assert (mine/'file').read_text() == 'mine' and server.asked == []


def test_another_file_than_the_published_one(server, root, monkeypatch):
    archive = DATA_SETS['voc2007'].archives[0]
    only(monkeypatch, archive, size=archive.size + 1)
    with pytest.raises(ValueError, match='bytes, and .* are published'): fetch(root, 'voc2007')
    only(monkeypatch, archive, sha256='0'*64)
    for _ in range(2):
        with pytest.raises(ValueError, match='SHA-256 .* It is deleted'): fetch(root, 'voc2007')
        assert files(root) == [] and not any((root/'.download').iterdir())
    assert [start for _, start in server.asked] == [0, 0, 0]
    only(monkeypatch, archive)
    fetch(root, 'voc2007')
    assert len(read_voc2007(root, 'trainval')) == 36


def write_zip(path, *names):
    with ZipFile(path, 'w') as zipped:
        for name in names: zipped.writestr(name, 'evil')


def write_tar(path, name, kind=tarfile.REGTYPE, target=''):
    with tarfile.open(path, 'w') as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member, io.BytesIO())


@pytest.mark.parametrize('name', [
    'a.zip', 'a.tar', 'a.jsonl', 'other.zip', 'other.tar', 'half.tar'])
def test_a_wrong_archive_leaves_nothing(server, root, tmp_path, monkeypatch, archives, name):
    "A page instead of an archive, an archive of something else, half of an archive"
    server.folder = tmp_path
    (tmp_path/name).write_bytes(b'<!DOCTYPE html>'*100)
    if name == 'other.zip': write_zip(tmp_path/name, 'readme.txt')
    if name == 'other.tar': write_tar(tmp_path/name, 'readme.txt')
    if name == 'half.tar':
        whole = (archives/'VOCtrainval_06-Nov-2007.tar').read_bytes()
        (tmp_path/name).write_bytes(whole[:700_000])
    archive = DATA_SETS['voc2007'].archives[0]
    if name == 'a.jsonl': archive = replace(archive, shown_by=('a.jsonl',))
    only(monkeypatch, archive, url=f'{server.address}/{name}', sha256='')
    with pytest.raises(ValueError, match=rf'^{name} .* It is deleted; the same call fetches'):
        fetch(root, 'voc2007')
    assert files(root) == [] and not any((root/'.download').iterdir())


def test_nothing_is_written_outside(tmp_path):
    "Nor does a link or a device come out of an archive"
    goal, zipped, tarred = tmp_path/'in'/'side', tmp_path/'evil.zip', tmp_path/'evil.tar'
    for name in ('../evil', str(tmp_path/'evil'), 'a/../../evil'):
        write_zip(zipped, name)
        with pytest.raises(ValueError, match='outside the folder'): unpack(zipped, goal)
    for kind in (
        {'name': '../evil'},
        {'name': 'evil', 'kind': tarfile.SYMTYPE, 'target': '../../evil'},
        {'name': 'evil', 'kind': tarfile.SYMTYPE, 'target': '/etc/passwd'},
        {'name': 'evil', 'kind': tarfile.LNKTYPE, 'target': '../../evil.zip'},
        {'name': 'evil', 'kind': tarfile.CHRTYPE},
    ):
        write_tar(tarred, **kind)
        with pytest.raises(ValueError, match='cannot be unpacked'): unpack(tarred, goal)
    assert sorted(path.name for path in tmp_path.rglob('evil*')) == ['evil.tar', 'evil.zip']


def test_a_server_leads_to_no_file(server, tmp_path):
    (tmp_path/'secret').write_text('mine')
    server.moved = (tmp_path/'secret').as_uri()
    with pytest.raises(OSError, match='not allowed'):
        download(DATA_SETS['captions'].archives[0].url, tmp_path/'fetched')
    assert not (tmp_path/'fetched').exists()


def test_a_server_that_does_not_answer(tmp_path, monkeypatch):
    "Is an error after a while"
    monkeypatch.setattr(module, '_TIMEOUT', .2)
    with socket.create_server(('127.0.0.1', 0)) as dead:
        url = f'http://127.0.0.1:{dead.getsockname()[1]}/a.zip'
        with pytest.raises(OSError, match='timed out'): download(url, tmp_path/'a.zip')


def test_files_that_are_there_stay(server, root):
    "The same ones are fine; others are an error, and nothing has moved"
    path = root/'VOCdevkit/VOC2007/ImageSets/Main/cat_test.txt'
    path.parent.mkdir(parents=True)
    path.write_text('mine')
    with pytest.raises(FileExistsError, match='cat_test.txt differs'): fetch(root, 'voc2007')
    assert path.read_text() == 'mine' and not any('dog_test' in file for file in files(root))
    path.unlink()
    fetch(root, 'voc2007', keep=True)
    asked = [name for name, _ in server.asked]
    kept = ['VOCtest_06-Nov-2007.tar', 'annotations_trainval2017.zip']
    assert asked == ['VOCtrainval_06-Nov-2007.tar', *kept]  # each once
    assert sorted(path.name for path in (root/'.download').iterdir()) == kept


def test_a_stop_while_files_move(server, root, monkeypatch):
    "The archive does not count as there, and the next call ends what the first began"
    moved = []
    real = os.replace

    def replace_some(source, goal):
        if '.unpacked' in str(source): moved.append(goal)
        if len(moved) > 20: raise KeyboardInterrupt
        real(source, goal)

    with monkeypatch.context() as m:
        m.setattr(os, 'replace', replace_some)
        with pytest.raises(KeyboardInterrupt): fetch(root, 'voc2007')
    assert len(files(root)) == 20
    [archive] = (root/'.download').iterdir()
    killed = archive.with_name(f'{archive.name}.unpacked')  # what a kill leaves
    killed.mkdir()
    (killed/'half.jpg').touch()
    fetch(root, 'voc2007')
    assert len(read_voc2007(root, 'trainval')) == 36 and not (root/'half.jpg').exists()


def test_a_full_disk_keeps_the_archive(server, root, monkeypatch):
    def extract(*args): raise OSError(28, 'No space left on device')

    with monkeypatch.context() as m:
        m.setattr(ZipFile, 'extract', extract)
        with pytest.raises(OSError, match='No space left'): fetch(root, 'captions')
    assert [path.name for path in (root/'.download').iterdir()] == ['annotations_trainval2017.zip']
    fetch(root, 'captions')
    assert len(server.asked) == 1 and len(list(read_sentences(root, 'coco'))) == 60


def test_the_disk_is_asked_first(server, root, archives, monkeypatch):
    "For the archives and their content, without what was fetched before"
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(10**9, 10**9, 5_000_000))
    with pytest.raises(OSError, match='has 5 MB of free room, and about 6 MB are needed'):
        fetch(root, 'voc2007')
    assert server.asked == []
    shutil.copy(archives/'VOCtest_06-Nov-2007.tar', root/'.download')
    fetch(root, 'voc2007')


def test_an_old_python_is_told_so(server, root, monkeypatch):
    monkeypatch.delattr(tarfile, 'data_filter')
    with pytest.raises(RuntimeError, match='3.10.12'): fetch(root, 'voc2007')
    assert server.asked == []
