"""What several tests need: where things are, and a way to run a command."""
import gc
import importlib.util
import multiprocessing
import os
import sqlite3
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

gc.disable()                                     # while modules are imported: what they make stays
os.environ.setdefault('OMP_NUM_THREADS', '1')    # a process with more threads may not be forked
ROOT = Path(__file__).resolve().parent.parent
# A second device slows all of its process: tests/test_gpu.py runs these in their own
collect_ignore = [] if 'TAIDPT_DEVICE' in os.environ else ['test_device.py']
QUIET = {'HF_HUB_OFFLINE': '1', 'TQDM_DISABLE': '1', 'MPLBACKEND': 'agg'}     # of each process

# tests/faster: here, and in all processes that these tests start
sys.path.insert(0, str(ROOT/'tests/faster'))
python_path = [sys.path[0]]
if os.environ.get('PYTHONPATH'): python_path.append(os.environ['PYTHONPATH'])
os.environ['PYTHONPATH'] = os.pathsep.join(python_path)

# What a forked process finds loaded
LOADED = [
    'conftest', 'torch', 'torchvision', 'torch.utils.data', 'open_clip', 'timm', 'sklearn.metrics',
    'matplotlib.pyplot', 'nltk', 'pyarrow.parquet', 'safetensors.torch',
    'fastcore.test', 'nbdev.test', 'nbdev.showdoc', 'matplotlib_inline.backend_inline',
    'taidpt.all', 'factories_preloaded',
]


def photos_in(batch) -> int: # N × 3 × height × width
    "How many images of a batch are not the grey ones that fill it"
    return int((batch.float().flatten(2).std(2) > 1e-3).any(1).sum())


def run(*command, cwd=ROOT, timeout=900, **env) -> subprocess.CompletedProcess:
    "Run a command to its end; its output is shown if the test fails"
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **QUIET, **env}, timeout=timeout, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(' '.join(words), done.stdout, sep='\n')
    return done


def collect_rarely():
    "What is loaded stays: do not look at it again for what can be freed"
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def forked(function, *args, log) -> int:
    """The exit status of a function in a process of its own: a fork of one that has loaded PyTorch
    and its company, which takes seconds"""
    os.environ |= QUIET                          # the first call starts the process that is forked
    # the paper's pages learn for minutes: a slice shows that they run
    os.environ['TAIDPT_SLICE'] = '1'
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(LOADED)
    process = context.Process(target=alone, args=(log, function, *args))
    process.start()
    process.join(900)
    process.kill()                               # if it has not ended by itself
    process.join()
    print(log.read_text(encoding='utf-8'))
    return process.exitcode


def alone(log, function, *args):
    "End the process with what a function gives; its output is in a file"
    collect_rarely()
    multiprocessing.set_start_method(None, force=True)     # what a program has without all this
    out = os.open(log, os.O_WRONLY | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr): os.dup2(out, stream.fileno())
    status = function(*args)
    for stream in (sys.stdout, sys.stderr): stream.flush()
    os._exit(status)


def run_page(path) -> bool:
    "Whether a cell of a notebook fails, run from top to bottom; a page of nbs/paper as a slice"
    from nbdev.config import get_config
    from nbdev.test import test_nb
    if path.parent.name == 'paper':
        from taidpt import texts
        texts.TEMPLATES = texts.TEMPLATES[:8]
        keep_features(pytest.MonkeyPatch())
    success, _ = test_nb(path, skip_flags=get_config().tst_flags.split(), basepath=ROOT)
    return not success


def recalled(recipe, contents: list[bytes], encode):
    """The tensors, in columns, that `encode` gives for numbers of contents, some for each: made
    once, and kept in a file"""
    from safetensors.torch import load, save
    path = Path(os.environ['XDG_CACHE_HOME'])/'features.db'
    path.parent.mkdir(exist_ok=True)
    keys = [sha256(repr(recipe).encode() + content).digest() for content in contents]
    numbers = {key: i for i, key in enumerate(keys)}
    with sqlite3.connect(path, timeout=900) as db:
        db.execute('create table if not exists kept (key primary key, made)')
        rows = {key: db.execute('select made from kept where key = ?', [key]).fetchone()
                for key in numbers}
        new = [key for key, row in rows.items() if not row]
        for key, tensors in zip(new, encode([numbers[key] for key in new]) if new else ()):
            rows[key] = [save({str(i): x.contiguous() for i, x in enumerate(tensors)})]
            db.execute('insert or ignore into kept values (?, ?)', [key, *rows[key]])
    db.close()
    def columns(key): return [x for _, x in sorted(load(*rows[key]).items())]
    return zip(*map(columns, keys))


def keep_features(m: pytest.MonkeyPatch):
    """Let all processes of these tests share what the embedded CLIP computes on the CPU: they
    would encode the same captions and photos anew"""
    import torch
    from taidpt import encode as module
    from taidpt.clip import FrozenCLIP
    read, look = module._sentence_features, FrozenCLIP.encode_maps

    def is_ours(clip) -> bool:
        return (clip.width, clip.precision, clip.device.type) == (256, 'float32', 'cpu')

    def sentences(clip, texts, bar) -> dict:
        def encode(rows):
            made = read(clip, [texts[i] for i in rows], bar)
            return zip(made['global_'], made['local'].split(made['lengths'].tolist()))

        if not is_ours(clip): return read(clip, texts, bar)
        contents = [text.encode('utf-8', 'surrogatepass') for text in texts]
        h, H = recalled(clip.feature_recipe('sentences'), contents, encode)
        return {'global_': torch.stack(h), 'local': torch.cat(H),
                'lengths': torch.tensor([*map(len, H)])}

    def maps(clip, pixels, pos_embed=False) -> tuple:
        def encode(rows): return zip(*look(clip, pixels[rows], pos_embed))

        if not is_ours(clip): return look(clip, pixels, pos_embed)
        recipe = clip.feature_recipe(), pixels.dtype, pixels.shape[1:], pos_embed
        contents = [x.numpy().tobytes() for x in pixels]
        return tuple(map(torch.stack, recalled(recipe, contents, encode)))

    m.setattr(module, '_sentence_features', sentences)
    m.setattr(FrozenCLIP, 'encode_maps', maps)


def build_site(html) -> int: return docs_module('build').html(html)


def docs_module(name: str):
    "A script of docs/ as a module, with those that it imports"
    docs = str(ROOT/'docs')
    if docs not in sys.path: sys.path.append(docs)
    spec = importlib.util.spec_from_file_location(name, ROOT/f'docs/{name}.py')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def paper_module(name: str):
    "A script beside the pages of nbs/paper as a module"
    paper = str(ROOT/'nbs'/'paper')
    if paper not in sys.path: sys.path.append(paper)
    return importlib.import_module(name)


def tool(name: str) -> Path:
    "A command installed next to this Python"
    return Path(sys.executable).parent/name


@pytest.fixture(scope='session')
def shared_place(tmp_path_factory) -> Path:
    "A folder for all processes that test side by side"
    place = tmp_path_factory.getbasetemp()
    return place.parent if 'PYTEST_XDIST_WORKER' in os.environ else place


@pytest.fixture(scope='session', autouse=True)
def user_cache(shared_place):
    "What commands keep in the user's folder, they keep where these tests keep their files"
    with pytest.MonkeyPatch.context() as m:
        m.setenv('XDG_CACHE_HOME', str(shared_place/'cache'))
        yield


def quicken(m: pytest.MonkeyPatch):
    """One CLIP whose features are kept, two templates and every twelfth caption: each command would
    load the CLIP anew, encode the same photos, 89 template sentences a class, and read all captions
    """
    from taidpt import clip, model_files, texts
    from taidpt.baselines import concepts
    from taidpt.paper import reproduce
    from taidpt.text import captions
    load = cache(clip.load_clip)
    twelfth = list(captions.bundled_captions())[::12]
    m.setattr(texts, 'TEMPLATES', texts.TEMPLATES[:2])
    for module in (captions, concepts): m.setattr(module, 'bundled_captions', lambda: twelfth)
    for module in (clip, model_files, concepts, reproduce): m.setattr(module, 'load_clip', load)
    keep_features(m)


@pytest.fixture(scope='module')
def kept_features():
    with pytest.MonkeyPatch.context() as m:
        keep_features(m)
        yield


@pytest.fixture(scope='module')
def one_clip():
    with pytest.MonkeyPatch.context() as m:
        quicken(m)
        yield


@pytest.fixture(scope='session')
def site(tmp_path_factory) -> Path:
    "The folder of the built site"
    pytest.importorskip('myst_nb')
    place = tmp_path_factory.mktemp('site')
    assert forked(build_site, place/'html', log=place/'log.txt') == 0
    return place/'html'


class FilesTogether(LoadScopeScheduling):
    """Processes that test side by side share out files: the tests of one run in one process, which
    makes once what they share. Pages share nothing, and the two files of the site its building"""
    def _split_scope(self, nodeid):
        file = nodeid.partition('::')[0]
        if file == 'tests/test_notebooks.py': return nodeid
        return 'site' if file in ('tests/test_browser.py', 'tests/test_docs.py') else file


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False              # but as they are sorted below
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items):
    "What takes long comes first: the site, then the pages"
    collect_rarely()
    for item in items:
        # on a busy machine Chromium misses a frame now and then; a fault of ours comes again
        if {'browser', 'served'} & set(item.fixturenames):
            item.add_marker(pytest.mark.flaky(reruns=1))
    place = {name: i for i, name in enumerate(['test_browser', 'test_docs', 'test_notebooks'])}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
