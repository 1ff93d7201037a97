"""The floors carry what is above them, and the sums of tokens keep their bounds."""
import pytest
from conftest import docs_module

house = docs_module('house')


def test_imports_and_sums():
    wrong = house.wrong_imports(house.sources('taidpt'), house.spine())
    assert not wrong, '\n'.join(wrong)
    for folder, most in house.MOST.items():
        assert sum(map(house.tokens, house.sources(folder).values())) <= most, folder


@pytest.mark.parametrize(('modules', 'told'), [
    ({'files': 'import os', 'scores': 'from .files import x'}, []),
    ({'scores': 'from .paper.study import x', 'paper.study': ''},
     ['scores imports paper.study, a floor above it']),
    ({'apps.cli': 'from ..scores import _x, y', 'scores': ''}, ['apps.cli takes _x of scores']),
])
def test_wrong_imports_are_found(modules, told):
    assert house.wrong_imports(modules, {}) == told


def test_imports_of_a_later_page_are_found():
    pages = {'classes': (1, 'from taidpt.clip import x'), 'clip': (4, 'from .classes import y')}
    assert house.wrong_imports({}, pages) == ['the page of classes imports clip of a later page']


def test_lines_end_at_100_columns():
    "Of tests, benchmarks and the site's scripts; test_notebooks.py looks at the pages' code"
    for folder in ('tests', 'benchmarks', 'docs', 'nbs'):
        for name, code in house.sources(folder).items():
            assert max(map(len, code.splitlines()), default=0) <= 100, name
