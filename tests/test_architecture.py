"""Each page defines one module, and imports run downward."""
from conftest import docs_module

architecture = docs_module('architecture')


def test_imports():
    wrong = architecture.wrong_imports(architecture.sources('taidpt'))
    assert not wrong, '\n'.join(wrong)


def test_one_page_one_module():
    wrong = architecture.wrong_pages(architecture.pages())
    assert not wrong, '\n'.join(wrong)


def test_wrong_pages_are_found():
    notebooks = {
        '03_a.ipynb': '#| default_exp a\nfrom taidpt.b import c, _d',
        '04_b.ipynb': '#| default_exp b\n#| export a\n', 'c.ipynb': '#| default_exp b'}
    assert architecture.wrong_pages(notebooks) == [
        '04_b.ipynb exports a cell to a', 'b comes from 2 pages', '03_a.ipynb takes _d of b',
        '03_a.ipynb imports b of a later page', '03_a.ipynb imports b of a later page']


def test_lines_end_at_100_columns():
    "Of tests, benchmarks and the site's scripts; test_notebooks.py looks at the pages' code"
    for folder in ('tests', 'benchmarks', 'docs', 'nbs'):
        for name, code in architecture.sources(folder).items():
            assert max(map(len, code.splitlines()), default=0) <= 100, name
