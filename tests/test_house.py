"""The floors carry what is above them, and the sums of tokens keep their bounds."""
from conftest import docs_module

house = docs_module('house')


def test_imports_and_sums():
    wrong = house.wrong_imports(house.sources('taidpt'), house.spine())
    assert not wrong, '\n'.join(wrong)
    for folder, most in house.MOST.items():
        assert sum(map(house.tokens, house.sources(folder).values())) <= most, folder


def test_lines_end_at_100_columns():
    "Of tests, benchmarks and the site's scripts; test_notebooks.py looks at the pages' code"
    for folder in ('tests', 'benchmarks', 'docs', 'nbs'):
        for name, code in house.sources(folder).items():
            assert max(map(len, code.splitlines()), default=0) <= 100, name
