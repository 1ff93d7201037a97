"""What several tests need: where things are, and a way to run a command."""
import importlib.util
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent


def run(*command, cwd=ROOT, timeout=900, **env) -> subprocess.CompletedProcess:
    "Run a command to its end; its output is shown if the test fails"
    env = {**os.environ, 'HF_HUB_OFFLINE': '1', 'TQDM_DISABLE': '1', 'MPLBACKEND': 'agg', **env}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(' '.join(map(str, command)), done.stdout, sep='\n')
    return done


def run_here(path, log):
    "The notebook's cells from top to bottom; ends the process, with 1 if one of them fails"
    import torch
    from nbdev.config import get_config
    from nbdev.test import test_nb
    multiprocessing.set_start_method(None, force=True)                  # what a notebook would have without all this
    out = os.open(log, os.O_WRONLY | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr): os.dup2(out, stream.fileno())
    flags = ['cuda'] if torch.cuda.is_available() else []
    passed, _ = test_nb(path, skip_flags=get_config().tst_flags.split(), force_flags=flags, basepath=ROOT)
    for stream in (sys.stdout, sys.stderr): stream.flush()
    os._exit(not passed)


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


@pytest.fixture(scope='session')
def site(tmp_path_factory) -> Path:
    "The folder of the built site; processes that test side by side build it once"
    pytest.importorskip('myst_nb')
    alone = 'PYTEST_XDIST_WORKER' not in os.environ
    place = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    done, html = place/'site.done', place/'site'
    with FileLock(place/'site.lock'):
        if not done.exists():
            assert run(sys.executable, 'docs/build.py', 'site').returncode == 0
            assert run(sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-c', 'docs', 'docs/_build/src', html).returncode == 0
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
