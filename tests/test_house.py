"""The house stands: the spine by itself, no module in another's drawers, code that can be read beside a notebook's margin."""
import importlib.util
import re
from pathlib import Path

from conftest import ROOT

spec = importlib.util.spec_from_file_location('house', ROOT/'docs/house.py')
house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(house)
rooms = house.rooms(ROOT)


def test_nothing_is_wrong():
    assert not house.faults(rooms)


def test_what_is_wrong_is_found():
    def room(name, *cells): return house.Room(Path('nbs')/f'{name.replace(".", "/")}.ipynb', name, list(cells))
    def told(*rooms): return ' | '.join(house.faults(list(rooms)))
    assert told(room('scores', 'from taidpt.support.files import write_whole'), room('support.files', 'import os')) == ''
    assert 'exports 151 lines' in told(room('scores', 'x = 1\n'*151))
    assert 'exports' not in told(room('support.files', 'x = 1\n'*151))
    assert 'is of the spine and imports apps.cli' in told(room('scores', 'def f():\n    from taidpt.apps.cli import main'))
    assert 'is of the spine and imports paper.study' in told(room('scores', 'from taidpt.paper import study'))
    assert 'imports _cut from support.words, which is private' in told(room('apps.cli', 'from taidpt.support.words import _cut'))
    assert 'a circle of imports: a > b > c > a' in told(room('a', 'import taidpt.b'), room('b', 'from taidpt.c import x'), room('c', 'from taidpt.a import y'))
    assert 'belongs into another folder' in told(house.Room(Path('nbs/cli.ipynb'), 'apps.cli', ['x = 1']))


def test_code_breathes():
    f = house.figures(rooms)
    assert f['median'] <= 12 and f['ninth'] <= 30 and f['longest'] <= 62
    assert f['wide'] <= 3 and f['nested'] <= 3


def test_one_import_gives_what_users_need():
    assert 40 <= len(house.public(rooms)) <= 50


def test_the_spine_is_in_order():
    "00 to 14 without a gap; the overview exports nothing; other notebooks are in a wing"
    flat = sorted(p.stem for p in (ROOT/'nbs').glob('*.ipynb'))
    assert [int(n[:2]) for n in flat if re.match(r'\d\d_', n)] == [*range(15), 99]
    assert [n for n in flat if not re.match(r'\d\d_', n)] == ['glossary', 'index']
    assert not any(room.notebook.stem == '00_overview' for room in rooms)
    folders = {p.relative_to(ROOT/'nbs').parts[0] for p in (ROOT/'nbs').glob('*/**/*.ipynb') if not p.parts[-2].startswith('.')}
    assert folders == {*house.WINGS, 'tutorials'}


def test_hints_have_one_style():
    "X|None, not Optional[X]"
    for room in rooms:
        for cell in room.cells: assert not re.search(r'\b(?:Optional|Union|List|Dict|Tuple)\[', cell), f'{room.notebook}\n{cell}'
