"""`make` says what is missing before it starts."""
import shutil
import stat

import pytest
from conftest import ROOT, run

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')


def make(tmp_path, target, python):
    return run('make', '-C', ROOT, target, f'PYTHON={python}', f'VENV={tmp_path}/venv')


def fake_python(path, body):
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_help(tmp_path):
    done = make(tmp_path, 'help', 'python3')
    assert done.returncode == 0 and 'make demo' in done.stdout and 'make test' in done.stdout


@pytest.mark.parametrize('body, says', [
    (None, 'apt install python3 python3-venv'),
    ('case "$2" in *version_info*10*) exit 1;; *) echo "Python 3.8.1";; esac',
     'needs 3.10 or newer'),
    ('case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11;; esac', 'apt install python3-venv'),
], ids=['no python', 'old python', 'no venv'])
def test_missing(tmp_path, body, says):
    python = tmp_path/'python' if body is None else fake_python(tmp_path/'python', body)
    done = make(tmp_path, 'test', python)
    assert done.returncode != 0 and says in done.stdout
    assert not (tmp_path/'venv').exists()
