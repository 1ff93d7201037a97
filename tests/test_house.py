"""The house is as light as it is meant to be, and its floors carry what is above them."""
import importlib.util
import re
import sys
from pathlib import Path

from conftest import ROOT

spec = importlib.util.spec_from_file_location('house', ROOT/'docs/house.py')
house = importlib.util.module_from_spec(spec)
sys.modules['house'] = house
spec.loader.exec_module(house)


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


def test_frames_are_counted():
    from taidpt.scores import global_scores, local_scores
    import torch
    x = torch.ones(1, 2)
    assert house.frames(lambda: torch.ones(2)) == 0
    assert house.frames(lambda: global_scores(x, x)) < house.frames(lambda: local_scores(x[None], x))


def test_the_spine_is_in_order():
    "00 to 15 without a gap; the overview exports nothing; other notebooks are on a floor"
    flat = sorted(p.stem for p in (ROOT/'nbs').glob('*.ipynb'))
    assert [int(n[:2]) for n in flat if re.match(r'\d\d_', n)] == [*range(16), 99]
    assert [n for n in flat if not re.match(r'\d\d_', n)] == ['files', 'glossary', 'index', 'plots']
    folders = {p.relative_to(ROOT/'nbs').parts[0] for p in (ROOT/'nbs').glob('*/**/*.ipynb') if not p.parts[-2].startswith('.')}
    assert folders == {name for name in house.FLOORS if (ROOT/'nbs'/name).is_dir()} | {'tutorials'}
