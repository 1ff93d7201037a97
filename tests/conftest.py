"""What several tests need: where things are, and a way to run a command."""
import gc
import importlib.util
import multiprocessing
import os
import subprocess
import sys
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tests/faster'))                 # here, and in all processes that these tests start
os.environ['PYTHONPATH'] = os.pathsep.join([sys.path[0], *filter(None, [os.environ.get('PYTHONPATH')])])
LOADED = ['torch', 'torchvision', 'torch.utils.data', 'open_clip', 'timm', 'sklearn.metrics', 'matplotlib.pyplot', 'nltk', 'pyarrow.parquet',
          'hypothesis', 'safetensors.torch', 'fastcore.test', 'nbdev.test', 'nbdev.showdoc', 'matplotlib_inline.backend_inline', 'taidpt.all', 'conftest']


def run(*command, cwd=ROOT, timeout=900, **env) -> subprocess.CompletedProcess:
    "Run a command to its end; its output is shown if the test fails"
    env = {**os.environ, 'HF_HUB_OFFLINE': '1', 'TQDM_DISABLE': '1', 'MPLBACKEND': 'agg', **env}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(' '.join(map(str, command)), done.stdout, sep='\n')
    return done


def forked(function, *args, log) -> int:
    "The exit status of a function in a process of its own: a fork of one that has loaded PyTorch and its company, which takes seconds"
    os.environ |= dict(HF_HUB_OFFLINE='1', TQDM_DISABLE='1', MPLBACKEND='agg')     # the first call starts the process that is forked
    os.environ.setdefault('TAIDPT_SHARED', '/nowhere')                 # the pages' thousands of photos take minutes: name their folder to run on them
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(LOADED)
    process = context.Process(target=alone, args=(log, function, *args))
    process.start()
    process.join(900)
    process.kill()                                                     # if it has not ended by itself
    process.join()
    print(log.read_text(encoding='utf-8'))
    return process.exitcode


def alone(log, function, *args):
    "End the process with what a function gives; its output is in a file"
    gc.freeze()                                                        # what is loaded stays: do not look at it again and again
    gc.set_threshold(50_000, 20, 20)
    multiprocessing.set_start_method(None, force=True)                  # what a program would have without all this
    out = os.open(log, os.O_WRONLY | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr): os.dup2(out, stream.fileno())
    status = function(*args)
    for stream in (sys.stdout, sys.stderr): stream.flush()
    os._exit(status)


def run_page(path) -> bool:
    "Whether a cell of a notebook fails, run from top to bottom"
    import torch
    from nbdev.config import get_config
    from nbdev.test import test_nb
    flags = ['cuda'] if torch.cuda.is_available() else []
    return not test_nb(path, skip_flags=get_config().tst_flags.split(), force_flags=flags, basepath=ROOT)[0]


def build_site(html) -> int: return docs_module('build').html(html)


def docs_module(name: str):
    "A script of docs/ as a module"
    spec = importlib.util.spec_from_file_location(name, ROOT/f'docs/{name}.py')
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name: str) -> Path:
    "A command installed next to this Python"
    return Path(sys.executable).parent/name


@pytest.fixture(scope='session', autouse=True)
def user_cache(tmp_path_factory):
    "What commands keep for the next time in the user's folder, they keep where these tests keep their files"
    with pytest.MonkeyPatch.context() as m:
        m.setenv('XDG_CACHE_HOME', str(tmp_path_factory.getbasetemp()/'cache'))
        yield


def remembered(encode):
    "A method of a CLIP that gives what it gave for the same input"
    seen = {}
    @wraps(encode)
    def call(clip, x, *args, **how):
        key = id(clip), x.shape, sha256(x.cpu().contiguous().numpy()).digest(), repr((args, how))
        if key not in seen: seen[key] = encode(clip, x, *args, **how)
        return tuple(t.clone() for t in seen[key])
    return call


@pytest.fixture(scope='module')
def one_clip():
    "Each command would load the CLIP anew, encode the same photos and sentences, 89 template sentences a class, and read all captions that we have"
    from taidpt import clip, model_files, texts
    from taidpt.apps import models
    from taidpt.baselines import concepts
    from taidpt.paper import reproduce
    load, some = cache(clip.load_clip), [*concepts.bundled_captions()][::6]
    with pytest.MonkeyPatch.context() as m:
        m.setattr(texts, 'TEMPLATES', texts.TEMPLATES[:2])
        m.setattr(concepts, 'bundled_captions', lambda: some)
        for module in (clip, model_files, concepts, models, reproduce): m.setattr(module, 'load_clip', load)
        for name in ('encode_texts', 'encode_maps'): m.setattr(clip.FrozenCLIP, name, remembered(getattr(clip.FrozenCLIP, name)))
        yield


@pytest.fixture(scope='session')
def site(tmp_path_factory) -> Path:
    "The folder of the built site; processes that test side by side build it once"
    pytest.importorskip('myst_nb')
    alone = 'PYTEST_XDIST_WORKER' not in os.environ
    place = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    done, html = place/'site.done', place/'site'
    with FileLock(place/'site.lock'):
        if not done.exists():
            assert forked(build_site, html, log=place/'site.log') == 0
            done.touch()
    return html


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items):
    "Tests that share what takes long to make run in one process (`--dist loadgroup`), which makes it once; they come first"
    for item in items:
        if 'site' in item.fixturenames: item.add_marker(pytest.mark.xdist_group('site'))
        # on a busy machine Chromium misses a frame now and then; a fault of ours is there the second time, too
        if {'browser', 'served'} & set(item.fixturenames): item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=lambda item: item.get_closest_marker('xdist_group') is None)
    return (yield)
