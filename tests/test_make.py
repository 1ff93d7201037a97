"""`make` says what is missing before it starts."""
import shutil
import stat

import pytest
from conftest import ROOT, run

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')


@pytest.mark.parametrize('body, says', [
    (None, 'apt install python3 python3-venv'),
    ('case "$2" in *version_info*10*) exit 1;; *) echo "Python 3.8.1";; esac', 'needs 3.10 or newer'),
    ('case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11;; esac', 'apt install python3-venv'),
], ids=['no python', 'old python', 'no venv'])
def test_missing(tmp_path, body, says):
    python = tmp_path/'python'
    if body:
        python.write_text(f'#!/bin/sh\n{body}\n')
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
    done = run('make', '-C', ROOT, 'test', f'PYTHON={python}', f'VENV={tmp_path}/venv')
    assert done.returncode != 0 and says in done.stdout
    assert not (tmp_path/'venv').exists()
