"""The house is as light as it is meant to be, and its floors carry what is above them."""
from pathlib import Path

import pytest
from conftest import ROOT, docs_module

house = docs_module('house')


def test_no_bound_is_passed():
    figures, wrong = house.measure(ROOT)
    assert figures.keys() == house.BOUNDS.keys()
    assert not wrong
    assert not {name: value for name, value in figures.items() if value > house.BOUNDS[name]}


def test_what_is_wrong_is_found():
    def told(**code): return house.wrong_imports([house.Module(name.replace('__', '.'), text) for name, text in code.items()])
    assert told(scores='from .files import x', files='import os')['imports that run upward'] == []
    assert told(scores='', text__words='from ..scores import x')['imports that run upward'] == ['text.words imports scores']
    assert told(scores='def f():\n    from taidpt.paper import study', paper__study='')['imports that run upward'] == ['scores imports paper.study']
    assert told(a='import taidpt.b', b='from .c import x', c='from taidpt.a import y')['circles of imports'] == ['a > b > c > a']
    assert told(apps__cli='from ..scores import _x', scores='')['private names that are taken'] == ['apps.cli takes _x of scores']
    files = house.Module('files', "__all__ = ['kept', 'lost']")
    assert house.unused([files, house.Module('scores', 'from .files import kept')], {}) == ['files.lost']
    assert house.unused([files, house.Module('scores', 'from .files import kept')], {Path('files.ipynb'): 'lost()', Path('a.ipynb'): 'lost()'}) == []


@pytest.mark.parametrize('page', sorted((ROOT/'nbs').glob('[01]*.ipynb')), ids=lambda p: p.stem)
def test_a_page_is_read_in_one_sitting(page):
    found = house.sitting(page)
    assert not {what: n for what, n in found.items() if n > house.SITTING[what]}


def test_the_spine_is_in_order():
    "00 to 15 without a gap; other notebooks are on a floor"
    spine = sorted(int(p.stem[:2]) for p in (ROOT/'nbs').glob('[0-9]*.ipynb'))
    assert spine == [*range(16), 99]
    folders = {p.relative_to(ROOT/'nbs').parts[0] for p in (ROOT/'nbs').glob('*/**/*.ipynb') if not p.parts[-2].startswith('.')}
    assert folders == {name for name in house.FLOORS if (ROOT/'nbs'/name).is_dir()} | {'tutorials'}
