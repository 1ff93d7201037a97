"""Commands that are killed, that find the disk full, or that have company end as if nothing had
happened; `make chaos` goes on for longer."""
import sys

import pytest
from conftest import forked


def each_once() -> int:
    import chaos
    return chaos.run(0, 2488, [*chaos.JOBS])


@pytest.mark.skipif(sys.platform == 'win32', reason='needs fork')
def test_chaos(tmp_path): assert forked(each_once, log=tmp_path/'log.txt') == 0
