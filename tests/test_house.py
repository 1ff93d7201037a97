"""The floors carry what is above them."""
from conftest import docs_module

house = docs_module('house')


def test_imports():
    wrong = house.wrong_imports(house.sources('taidpt'), house.spine())
    assert not wrong, '\n'.join(wrong)


def test_lines_end_at_100_columns():
    "Of tests, benchmarks and the site's scripts; test_notebooks.py looks at the pages' code"
    for folder in ('tests', 'benchmarks', 'docs', 'nbs'):
        for name, code in house.sources(folder).items():
            assert max(map(len, code.splitlines()), default=0) <= 100, name
