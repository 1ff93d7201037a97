"""What several tests need: where things are, and a way to run a command."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command, cwd=ROOT, timeout=900, **env) -> subprocess.CompletedProcess:
    "Run a command to its end; its output is shown if the test fails"
    env = {**os.environ, 'HF_HUB_OFFLINE': '1', 'TQDM_DISABLE': '1', 'MPLBACKEND': 'agg', **env}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(' '.join(map(str, command)), done.stdout, sep='\n')
    return done


def tool(name: str) -> Path:
    "A command installed next to this Python"
    return Path(sys.executable).parent/name


@pytest.fixture
def shared() -> Path:
    "The folder of reference data beside the repository; tests that need it are skipped where it is absent"
    folder = ROOT.parent/'shared'
    if not folder.is_dir(): pytest.skip(f'no reference data beside the repository ({folder})')
    return folder
