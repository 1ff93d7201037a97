"""The archives of the paper's data sets in small, and a server on this machine that has them."""
import os
import re
import shutil
import tarfile
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock
from zipfile import ZipFile

from fake_datasets import write_miniature
from taidpt.datasets.download import DATA_SETS, Archive, DataSet

CONTENTS = {  # what of its folder an archive has
    'VOCtrainval_06-Nov-2007.tar': ['VOCdevkit/**/*trainval.txt', 'VOCdevkit/**/*.jpg'],
    'VOCtest_06-Nov-2007.tar': ['VOCdevkit/**/*test.txt', 'VOCdevkit/**/*.jpg'],
    'annotations_trainval2014.zip': ['annotations/instances_*2014.json'],
    'annotations_trainval2017.zip': ['annotations/captions_train2017.json'],
    'train2014.zip': ['train2014/*'],
    'val2014.zip': ['val2014/*'],
    'ConceptsList.zip': ['Concepts81.txt'],
    'ImageList.zip': ['ImageList/*'],
    'Groundtruth.zip': ['TrainTestLabels/*'],
    'open_images_train_v6_captions.jsonl': ['open_images_train_v6_captions.jsonl'],
}


def pack(path: Path, folder: Path, files: list[Path]):
    "Write an archive of some files of a folder; a file that is no archive is copied"
    if path.suffix == '.tar':
        with tarfile.open(path, 'w') as tar:
            for file in files: tar.add(file, file.relative_to(folder))
    elif path.suffix == '.zip':
        with ZipFile(path, 'w') as zipped:
            for file in files: zipped.write(file, file.relative_to(folder))
    else: shutil.copy(files[0], path)


def write_archives(folder: Path):
    "Archives with the names of the originals"
    sets = folder/'sets'
    write_miniature(sets, captions=60)
    for archive in {archive for data in DATA_SETS.values() for archive in data.archives}:
        home = sets/archive.folder
        shown = sets/archive.shown_by[0]
        if not shown.exists():  # an image that is not among the bundled ones
            shutil.copy(next(shown.parent.iterdir()), shown)
        files = [file for pattern in CONTENTS[archive.name] for file in sorted(home.glob(pattern))]
        pack(folder/archive.name, home, files)
    shutil.rmtree(sets)


def served_sets(folder: Path, address: str) -> dict[str, DataSet]:
    "The table of the data sets with the addresses, sizes and checksums of the small archives"
    def small(archive: Archive) -> Archive:
        content = (folder/archive.name).read_bytes()
        served = replace(archive, url=f'{address}/{archive.name}')
        if not archive.sha256: return served
        return replace(served, size=len(content), sha256=sha256(content).hexdigest())

    return {name: replace(data, archives=tuple(map(small, data.archives)))
            for name, data in DATA_SETS.items()}


# (first byte that is asked for, the file) -> status, headers and body of an answer
Lie = Callable[[int, bytes], tuple[int, dict, bytes]]


class Server(ThreadingHTTPServer):
    "Serves a folder's files, and notes from which byte each was asked for"
    folder: Path
    address: str
    ranges = True  # whether it can begin in the middle of a file
    cut: int | None = None  # after so many bytes it breaks the next connection
    moved: str | None = None  # where it says that its files are
    lie: Lie | None = None  # what it answers in place of the truth
    asked: list[tuple[str, int]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args): pass

    def do_GET(self):
        server = self.server
        if server.moved:
            self.send_response(302)
            self.send_header('Location', server.moved)
            return self.end_headers()
        content = (server.folder/self.path[1:]).read_bytes()
        version = f'"{sha256(content).hexdigest()}"'
        asked = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = int(asked[1]) if asked else 0
        server.asked.append((self.path[1:], start))
        same = self.headers.get('If-Range', version) == version
        if asked and server.ranges and same:
            if start >= len(content): return self.send_error(416)
            status, body = 206, content[start:]
            headers = {'Content-Range': f'bytes {start}-{len(content) - 1}/{len(content)}'}
        else: status, body, headers = 200, content, {}
        headers |= {'ETag': version, 'Content-Length': len(body)}
        if server.lie: status, headers, body = server.lie(start, content)
        self.send_response(status)
        for name, value in headers.items(): self.send_header(name, str(value))
        self.end_headers()
        body = body[:server.cut]
        server.cut = None
        with suppress(ConnectionError): self.wfile.write(body)  # who asked may have left


@contextmanager
def serving(folder: Path):
    "A server of a folder's files on this machine"
    with (mock.patch.dict(os.environ, no_proxy='127.0.0.1'),
          Server(('127.0.0.1', 0), Handler) as server):
        server.folder = folder
        server.address = f'http://127.0.0.1:{server.server_port}'
        server.asked = []
        serve = partial(server.serve_forever, poll_interval=0.01)       # so that it stops at once
        threading.Thread(target=serve, daemon=True).start()
        yield server
        server.shutdown()
