"""Each page defines one module, and imports run downward."""
import ast

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


VAGUE = {'how', 'each', 'some', 'here', 'own', 'told', 'said', 'found', 'about'}
COMPREHENSIONS = ast.ListComp, ast.SetComp, ast.DictComp


def lines_to_be_solved(sources: dict[str, str]) -> list[str]:
    "Each word that means everything, and each comprehension inside another"
    wrong = []
    for place, code in sources.items():
        lines = code.splitlines()
        for node in ast.walk(ast.parse(code)):
            name = ''
            if isinstance(node, ast.FunctionDef): name = node.name
            if isinstance(node, ast.arg): name = node.arg
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store): name = node.id
            if name in VAGUE:
                line = lines[node.lineno - 1].strip()
                wrong.append(f'{place}: what does {name} hold? {line}')
            if not isinstance(node, (*COMPREHENSIONS, ast.GeneratorExp)): continue
            inner = [x for x in ast.walk(node) if x is not node and isinstance(x, COMPREHENSIONS)]
            if inner:
                line = lines[node.lineno - 1].strip()
                wrong.append(f'{place}: a comprehension in another: {line}')
    return wrong


def test_no_line_has_to_be_solved():
    folders = 'taidpt', 'tests', 'benchmarks', 'docs', 'nbs'
    wrong = []
    for folder in folders: wrong += lines_to_be_solved(architecture.sources(folder))
    assert not wrong, '\n'.join(wrong)


def test_no_line_of_a_page_has_to_be_solved():
    wrong = lines_to_be_solved(architecture.pages())
    assert not wrong, '\n'.join(wrong)


def test_lines_to_be_solved_are_found():
    pages = {'a': 'def f(how): return [[x] for x in [y for y in how]]', 'b': 'about, n = 1, 2'}
    places = [line[0] for line in lines_to_be_solved(pages)]
    assert places == ['a', 'a', 'b']
