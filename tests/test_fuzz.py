"""Files that nobody meant to write: each is read, or refused with a documented error that names
it. See tests/fuzz.py."""
import os

import fuzz
import pytest

hypothesis = pytest.importorskip('hypothesis')
from hypothesis import HealthCheck, given, settings, strategies as st     # noqa: E402

MANY = os.environ.get('FUZZ')
few = settings(
    max_examples=int(MANY or 30), derandomize=not MANY, deadline=None, database=None,
    suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.xdist_group('fuzz')


@pytest.mark.parametrize('reader', fuzz.READERS)
def test_good_files_are_read(reader):
    for name, content in fuzz.seeds(reader):
        if name != 'a.bmp': assert fuzz.try_file(reader, name, content) == ''


@pytest.mark.parametrize('reader', fuzz.READERS)
def test_spoilt_files_are_read_or_refused(reader):
    @given(st.randoms(use_true_random=False, note_method_calls=False))
    @few
    def spoil(rng): fuzz.try_file(reader, *fuzz.one_case(reader, rng))
    spoil()


def case_name(path) -> str: return f'{path.parent.name}/{path.name}'


@pytest.mark.parametrize('path', sorted(fuzz.CORPUS.glob('*/*')), ids=case_name)
def test_what_once_was_a_fault(path):
    message = fuzz.try_file(path.parent.name, path.name, path.read_bytes())
    assert message                                               # it is refused
