"""The house is as readable as it is meant to be, and its floors carry what is above them."""
import math
import re
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, docs_module
from nbformat.v4 import new_code_cell, new_markdown_cell

house = docs_module('house')
SPINE = sorted((ROOT/'nbs').glob('[0-9]*.ipynb'))


def module(name: str, code: str): return house.Module(name, code)


def page(path: str, *cells: str): return house.Page(Path(path), list(cells))


@pytest.fixture(scope='module')
def measured(): return house.measure(ROOT)


def test_no_bound_is_passed(measured):
    figures, wrong = measured
    assert figures.keys() == house.BOUNDS.keys()
    offending = [*house.passed(figures), *wrong]
    if offending: pytest.fail('\n'.join(offending), pytrace=False)


def test_what_passes_a_bound_is_told():
    figures = {'tokens a line': 9.75, 'raises per 100 lines': 2.9, 'frames of fit': 12}
    assert house.passed(figures) == [
        'tokens a line: 9.75, at most 9.5',
        'frames of fit: 12, at most 11',
    ]


PACKED = '''"""What it is about,
in two lines"""

# a remark
def outer(x):
    """One token"""
    def inner(): return f'{x + 1} of {x}'
    a, b = x, [y for y in x]    # a remark
    if not a: raise ValueError(b)
'''


def test_tokens_are_counted():
    "A docstring and an f-string are one each; a function counts what it spans, a nested one too"
    code = module('scores', PACKED)
    found = house.tokens(code.code)
    lines = [token.start[0] for token in found]
    by_line = {number: lines.count(number) for number in set(lines)}
    assert by_line == {1: 1, 5: 6, 6: 1, 7: 7, 8: 13, 9: 9}
    assert house.lines(found) == 7
    assert house.function_sizes(code) == {'scores.outer, line 5': 36, 'scores.inner, line 7': 7}


def test_readability_is_measured():
    figures = house.readability([module('scores', PACKED), module('text.words', 'x = 1\n')])
    assert figures == pytest.approx({
        'tokens a line': 40/8,
        'tokens of the median function': 21.5,
        'tokens of nine in ten functions': 36,
        'functions over 250 tokens': 0,
        'raises per 100 lines': 12.5,
        'comprehensions per 100 lines': 12.5,
        'assignments of several values per 100 lines': 12.5,
    })
    assert figures.keys() == house.READABLE.keys()


def test_long_functions_are_found():
    long = 'def f():\n' + '    x = 1\n'*82
    found = [module('scores', long), module('tags', PACKED)]
    assert house.longest(found) == {'scores.f, line 1': 251}


def test_imports_that_run_upward_are_found():
    found = [module('scores', 'from .files import x'), module('files', 'import os')]
    assert house.upward_imports(found) == []
    inner = 'def f():\n    from taidpt.paper.study import x'
    for code in ('from .paper import study', 'import taidpt.paper.study', inner):
        found = [module('scores', code), module('paper.study', '')]
        assert house.upward_imports(found) == ['scores imports paper.study']
    found = [module('scores', ''), module('text.words', 'from ..scores import x')]
    assert house.upward_imports(found) == ['text.words imports scores']


def test_circles_are_found():
    first = module('a', 'import taidpt.b')
    second = module('b', 'from .c import x')
    assert house.circles([first, second, module('c', '')]) == []
    third = module('c', 'from taidpt.a import y')
    assert house.circles([first, second, third]) == ['a > b > c > a']


def test_private_names_that_are_taken_are_found():
    found = [module('scores', ''), module('apps.cli', 'from ..scores import _x, y, __all__')]
    assert house.private_imports(found) == ['apps.cli takes _x of scores']


def test_imports_of_a_later_page_are_found():
    "In whatever cell; the overview and the page of everything may, and other pages have no place"
    clip = page('04_clip.ipynb', '#| default_exp clip', 'from taidpt.classes import VOC2007')
    classes = page('01_classes.ipynb', '#| default_exp classes', '%matplotlib inline')
    overview = page('00_overview.ipynb', 'from taidpt.clip import load_clip')
    whole = page('99_all.ipynb', '#| default_exp all', 'from taidpt.clip import load_clip')
    study = page('paper/study.ipynb', '#| default_exp paper.study', 'from taidpt.all import *')
    assert house.later_imports([overview, classes, clip, whole, study]) == []

    early = page('02_texts.ipynb', '#| default_exp texts', 'x = 1', 'from taidpt import clip')
    told = house.later_imports([classes, early, clip])
    assert told == ['02_texts imports clip of 04_clip']
    early.cells[-1] = '#| export\ndef f():\n    from taidpt.all import VOC2007'
    told = house.later_imports([classes, early, clip, whole])
    assert told == ['02_texts imports all of 99_all']


def test_names_that_nobody_uses_are_found():
    files = module('files', "__all__ = ['kept', 'lost']")
    scores = module('scores', 'from .files import kept')
    own = page('files.ipynb', '#| default_exp files', 'lost()')
    other = page('a.ipynb', 'lost()')
    assert house.unused([files, scores], []) == ['files.lost']
    assert house.unused([files, scores], [own]) == ['files.lost']
    assert house.unused([files, scores], [own, other]) == []
    assert house.unused([files, scores], [own], {'files': {'lost'}}) == []


def test_names_for_users_are_used_nowhere_else():
    "The list holds no name that is gone, or that is used and needs no exception"
    without = house.unused(house.modules(ROOT), house.pages(ROOT), {})
    listed = {f'{name}.{one}' for name, some in house.FOR_USERS.items() for one in some}
    assert not sorted(listed - set(without))


def test_lines_end_at_100_columns():
    "Of tests, benchmarks and the site's scripts; test_notebooks.py looks at the pages' code"
    long = []
    for folder in ('tests', 'benchmarks', 'docs', 'nbs'):
        for path in sorted((ROOT/folder).rglob('*.py')):
            if {'_build', '.ipynb_checkpoints'} & set(path.parts): continue
            lines = enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
            long += [f'{path}, line {n}' for n, line in lines if len(line) > 100]
    assert not long


@pytest.mark.parametrize('path', sorted((ROOT/'nbs').glob('[01]*.ipynb')), ids=lambda p: p.stem)
def test_a_page_is_read_in_one_sitting(path):
    asked = house.sitting(path)
    assert asked.keys() == house.SITTING.keys()
    assert not {what: n for what, n in asked.items() if n > house.SITTING[what]}


FOLDED = '#| export\n#| code-fold: true\n' + 'y = 1\n'*60
DRAWN = '<div>\n<svg viewBox="0 0 9 9"><text>not a word of prose</text></svg>\n</div>'


def sitting_of(tmp_path, *cells: str) -> dict[str, float]:
    "What a page of these cells asks; a cell of text begins with a sign that is no code"
    book = nbformat.v4.new_notebook()
    for source in cells:
        new = new_code_cell if re.match(r'#\||\w+ =|assert', source) else new_markdown_cell
        book.cells.append(new(source))
    path = tmp_path/'page.ipynb'
    nbformat.write(book, path)
    return house.sitting(path)


def test_minutes_are_those_of_what_is_in_sight(tmp_path):
    "Words and lines count, but not what is folded, hidden, or written in a drawing"
    text = '**' + 'word '*400 + '**'
    code = 'x = 1\n'*80
    seen = sitting_of(tmp_path, text, code)
    assert (seen['minutes'], seen['words']) == (4, 400)
    hidden = [FOLDED, '#| hide\n' + code, '#| echo: false\n' + code, DRAWN]
    assert sitting_of(tmp_path, text, code, *hidden)['minutes'] == 4


def test_the_longest_cell_is_exported_and_in_sight(tmp_path):
    exported = '#| export\n' + 'x = 1\n\n'*41
    assert sitting_of(tmp_path, 'x = 1\n'*80, FOLDED)['longest cell'] == 0
    assert sitting_of(tmp_path, exported, FOLDED)['longest cell'] == 41


def test_what_stands_above_the_first_picture(tmp_path):
    "Text before a drawing in the same cell, too; nothing is in sight of a page without one"
    text = '**' + 'word '*140 + '**'
    assert sitting_of(tmp_path, text)['first picture'] == math.inf
    assert sitting_of(tmp_path, DRAWN, text)['first picture'] == 0
    assert sitting_of(tmp_path, text, DRAWN)['first picture'] == 280
    assert sitting_of(tmp_path, f'{text}\n\n{DRAWN}')['first picture'] == 260
    assert sitting_of(tmp_path, FOLDED, '![a](b.png)')['first picture'] == 50
    assert sitting_of(tmp_path, 'x = 1\n'*10, '![a](b.png)')['first picture'] == 200


def test_exercises_are_no_part_of_a_sitting():
    "Their words count apart, up to the next heading"
    sources = '# Page', '### Exercise: one', 'a question', '## Edge cases', 'the end'
    cells = [nbformat.v4.new_markdown_cell(source) for source in sources]
    read, exercises = house.split_exercises(cells)
    assert [cell.source for cell in read] == ['# Page', '## Edge cases', 'the end']
    assert [cell.source for cell in exercises] == ['### Exercise: one', 'a question']


def test_the_spine_is_in_order():
    "00 to 17 without a gap, and 99"
    numbers = [int(path.stem[:2]) for path in SPINE]
    assert numbers == [*range(18), 99]


def test_other_pages_are_on_a_floor():
    folders = set()
    for path in (ROOT/'nbs').glob('*/**/*.ipynb'):
        if not path.parent.name.startswith('.'): folders.add(path.relative_to(ROOT/'nbs').parts[0])
    floors = {name for name in house.FLOORS if (ROOT/'nbs'/name).is_dir()}
    assert folders == floors | {'tutorials'}
