"""Commands that are killed, that find the disk full, or that have company end as if nothing had happened; `make chaos` goes on for longer."""
import sys

import pytest
from conftest import ROOT, run


@pytest.mark.skipif(sys.platform == 'win32', reason='needs fork')
def test_chaos():
    assert run(sys.executable, ROOT/'tests/chaos.py', '--minutes', 0, '--seed', 2488).returncode == 0      # each once, in every way
