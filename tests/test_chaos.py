"""Training that is killed, that finds the disk full, or that has company ends as if nothing had happened; `make chaos` breaks all commands."""
import sys

import pytest
from conftest import ROOT, run


@pytest.mark.skipif(sys.platform == 'win32', reason='needs fork')
def test_chaos():
    assert run(sys.executable, ROOT/'tests/chaos.py', '--minutes', .1, '--jobs', 'train').returncode == 0
