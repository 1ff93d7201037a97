"""The notebooks hold what they should. That they run is what `nbdev_test` says."""
import json
import re
import shutil

import nbformat
from conftest import ROOT, run, tool

NBS = ROOT/'nbs'


def is_page(name) -> bool:
    "No part of a page's path starts with a dot or an underscore"
    return not any(part.startswith(('.', '_')) for part in name.parts)


names = [path.relative_to(NBS) for path in NBS.rglob('*.ipynb')]
notebooks = sorted(name.as_posix() for name in names if is_page(name))


def outputs(name: str):
    "Code cells of a page with each of their outputs"
    for cell in nbformat.read(NBS/name, as_version=4).cells:
        for out in cell.get('outputs', []): yield cell, out


def test_stored_outputs():
    """No error, no widget, which would be dead, and nothing of the machine that ran it; a figure is
    a drawing with colours for light and dark pages"""
    for name in notebooks:
        for cell, out in outputs(name):
            where = f'{name}: {cell.source}'
            assert out.output_type != 'error', where
            data = out.get('data', {})
            assert 'application/vnd.jupyter.widget-view+json' not in data, where
            words = {kind: x for kind, x in (data or out).items() if not kind.startswith('image/')}
            assert not re.search(r'/(root|home|tmp|Users|work)/', json.dumps(words)), where
            if any(kind.startswith('image/') for kind in data):
                is_drawing = 'data-panels' in data.get('image/svg+xml', '')
                is_photo = 'image/jpeg' in data and 'display.Image' in data.get('text/plain', '')
                is_run_elsewhere = 'skip_exec' in first_cell(name)
                assert is_drawing or is_photo or is_run_elsewhere, where


def first_cell(name: str) -> str: return nbformat.read(NBS/name, as_version=4).cells[0].source


def test_pages_need_no_nbdev():
    "Which `pip install taidpt` does not bring: a page runs to its end without it"
    for name in notebooks:
        for cell in nbformat.read(NBS/name, as_version=4).cells:
            assert cell.cell_type != 'code' or 'nbdev' not in cell.source, f'{name}: {cell.source}'


NUMBER = r'([+−-]?\d+\.\d)'
INTERVALS = (                                     # of tables and of sentences
    rf'{NUMBER} \[{NUMBER}, {NUMBER}\]', rf'{NUMBER} \({NUMBER}–{NUMBER}\)',
    rf'{NUMBER}[^()\d|]{{0,60}}\({NUMBER} to {NUMBER}')


def intervals_of(text: str) -> dict[tuple[float, ...], str]:
    "Numbers with their intervals; a loss of 1.0 (0.4 to 1.6) is a gain of -1.0 (-1.6 to -0.4)"
    words = {}
    for form in INTERVALS:
        for match in re.finditer(form, text):
            value, low, high = (float(group.replace('−', '-')) for group in match.groups())
            if (value, low + high) < (0, 0): value, low, high = -value, -high, -low
            words[value, low, high] = match[0]
    return words


def prose_of(name: str) -> str:
    cells = nbformat.read(NBS/name, as_version=4).cells
    return '\n'.join(cell.source for cell in cells if cell.cell_type == 'markdown')


def shown_by(name: str) -> str:
    "All that a page's cells print, as text"
    texts = []
    for _, out in outputs(name):
        data = out.get('data', {})
        texts.append(data.get('text/markdown') or out.get('text') or data.get('text/plain', ''))
    return '\n'.join(texts)


def test_a_page_prints_each_interval_that_the_text_gives():
    "A number and its interval come from a run"
    printed = {interval for name in notebooks for interval in intervals_of(shown_by(name))}
    texts = {name: prose_of(name) for name in notebooks}
    texts['README'] = (ROOT/'README.md').read_text(encoding='utf-8')
    for name, text in texts.items():
        missing = [words for interval, words in intervals_of(text).items()
                   if interval not in printed]
        assert not missing, f'{name}: no page prints {missing}'


def contents(folder) -> dict[str, bytes]:
    "The notebooks and modules of a folder"
    paths = [*folder.glob('nbs/**/*.ipynb'), *folder.glob('taidpt/**/*.py')]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_export_and_clean_change_nothing(tmp_path):
    "On a copy, so that a tree that is being worked on is left alone"
    for name in ('settings.ini', 'setup.py', 'pyproject.toml'): shutil.copy(ROOT/name, tmp_path)
    for folder, left_out in (('nbs', '.ipynb_checkpoints'), ('taidpt', 'data')):
        ignored = shutil.ignore_patterns(left_out, '__pycache__')
        shutil.copytree(ROOT/folder, tmp_path/folder, ignore=ignored)
    before = contents(tmp_path)
    for command in ('nbdev_export', 'nbdev_clean'):
        assert run(tool(command), cwd=tmp_path).returncode == 0
        after = contents(tmp_path)
        files = sorted(before.keys() | after.keys())
        changed = [name for name in files if before.get(name) != after.get(name)]
        assert not changed, f'{command} changes {changed}: run it and commit the result'
