"""Files that nobody meant to write: each is read, or refused with a documented error that names it. See tests/fuzz.py."""
import random

import fuzz
import pytest

hypothesis = pytest.importorskip('hypothesis')
from hypothesis import HealthCheck, example, given, settings, strategies as st     # noqa: E402

from taidpt.text.words import lower_words, token_spans                          # noqa: E402

few = settings(max_examples=30, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
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


@pytest.mark.parametrize('path', sorted(fuzz.CORPUS.glob('*/*')), ids=lambda p: f'{p.parent.name}/{p.name}')
def test_what_once_was_a_fault(path):
    assert fuzz.try_file(path.parent.name, path.name, path.read_bytes())           # refused, with a message


@pytest.mark.parametrize('place', [.2, .6, .97])
def test_every_bit_of_prompts_counts(place):
    "Header and tensors: a flipped bit is refused, or lies where nothing is said"
    name, content = fuzz.seeds('prompts')[0]
    rng = random.Random(place)
    for at in (int(len(content)*place) + rng.randrange(-40, 40) for _ in range(25)):
        spoilt = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1:]
        assert fuzz.try_file('prompts', name, spoilt) or content[at:at + 1] == b' '


@given(st.text(st.one_of(st.sampled_from('abcXYZ019 ,.\t\n\x0b\u2003"\'-’_é\u0301'), st.characters()), max_size=40))
@example('a.b. \n')
@example('I cannot, 1,000.')
@settings(max_examples=150, derandomize=True, deadline=None, database=None)
def test_words_in_lower_case_are_the_tokens(text):
    assert lower_words(text) == [text[a:b].lower() for a, b in token_spans(text)]
