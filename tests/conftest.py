"""What several tests need: where things are, ways to run a command and to open a script, and the
site."""
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
QUIET = {'HF_HUB_OFFLINE': '1', 'TQDM_DISABLE': '1', 'MPLBACKEND': 'agg'}     # of each process


def run(*command, cwd=ROOT, timeout=900, **env) -> subprocess.CompletedProcess:
    "Run a command to its end; its output is shown if the test fails"
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **QUIET, **env}, timeout=timeout, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(' '.join(words), done.stdout, sep='\n')
    return done


def tool(name: str) -> Path:
    "A command installed next to this Python"
    return Path(sys.executable).parent/name


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


@pytest.fixture(scope='session')
def site(shared_place) -> Path:
    "The folder of the site, which the first process builds that needs it"
    pytest.importorskip('myst_nb')
    html = shared_place/'site'
    with FileLock(shared_place/'site.lock'):
        if not (html/'index.html').exists():
            assert run(sys.executable, 'docs/build.py', 'html', html).returncode == 0
    return html
