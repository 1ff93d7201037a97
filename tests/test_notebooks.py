"""Every notebook runs from top to bottom, as `nbdev_test` runs it, and holds what it should."""
import json
import re
import shutil

import nbformat
import pytest
from conftest import ROOT, forked, run, run_page, tool
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor

NBS = ROOT/'nbs'


def is_page(name) -> bool:
    "No part of a page's path starts with a dot or an underscore"
    return not any(part.startswith(('.', '_')) for part in name.parts)


names = [path.relative_to(NBS) for path in NBS.rglob('*.ipynb')]
notebooks = sorted(name.as_posix() for name in names if is_page(name))


@pytest.mark.parametrize('name', notebooks)
def test_runs(name, tmp_path):
    front = NBProcessor(NBS/name, procs=FrontmatterProc, process=True).nb.frontmatter_
    if front.get('skip_exec'):
        pytest.skip('its front matter says skip_exec: it needs more than the package')
    assert forked(run_page, NBS/name, log=tmp_path/'log.txt') == 0


def check_figure(data: dict, source: str):
    "A figure is a drawing with colours for light and dark pages; a photo alone may be a JPEG"
    if not any(kind.startswith('image/') for kind in data): return
    drawn = 'data-panels' in data.get('image/svg+xml', '')
    photo = 'image/jpeg' in data and 'display.Image' in data.get('text/plain', '')
    assert drawn or photo, f'call figures_as_svg() of taidpt.plots before:\n{source}'


def check_output(out, source: str):
    "No error, no widget, which would be dead, and nothing of the machine that ran it"
    assert out.output_type != 'error', source
    data = out.get('data', {})
    widget = 'application/vnd.jupyter.widget-view+json'
    assert widget not in data, f'clear the output of: {source}'

    words = {kind: x for kind, x in (data or out).items() if not kind.startswith('image/')}
    text = json.dumps(words)
    assert not re.search(r'/(root|home|tmp|Users|work)/', text), text


@pytest.mark.parametrize('name', notebooks)
def test_stored_outputs(name):
    nb = nbformat.read(NBS/name, as_version=4)
    runs = 'skip_exec: true' not in nb.cells[0].source
    remedy = "clear the outputs that are widgets, and save without the widgets' state"
    assert 'widgets' not in nb.metadata, remedy
    for cell in nb.cells:
        bare = re.search(r'\\mathcal\s*[A-Za-z]', cell.source)
        remark = 'no braces, so this L is the matrix of class embeddings'
        assert not bare, f'{remark}: {cell.source}'
        for out in cell.get('outputs', []):
            check_output(out, cell.source)
            if runs: check_figure(out.get('data', {}), cell.source)


def of_text(out) -> str:
    "What an output shows as text alone"
    data = out.get('data', {'text/plain': out.get('text', '')})
    return data['text/plain'] if set(data) == {'text/plain'} else ''


@pytest.mark.parametrize('name', notebooks)
def test_lines_end_at_100_columns(name):
    "Of code, so many fit into the site's column, and of what it prints"
    for cell in nbformat.read(NBS/name, as_version=4).cells:
        if cell.cell_type != 'code': continue
        lines = '\n'.join([cell.source, *map(of_text, cell.outputs)]).splitlines()
        long = [line for line in lines if len(line) > 100]
        assert not long, f'fold them; textwrap.fill(text, 100) folds what is printed: {long}'


@pytest.mark.parametrize('name', notebooks)
def test_experiments_are_folded(name):
    "A long cell in sight is code of the package, or of a page that is about this code"
    nb = nbformat.read(NBS/name, as_version=4)
    if 'skip_exec: true' in nb.cells[0].source: return
    in_sight = [cell for cell in nb.cells if cell.cell_type == 'code' and not re.search(
        r'^#\| *(hide|export|exporti|echo: false|code-fold: true)\b', cell.source, re.MULTILINE)]
    long = [cell.id for cell in in_sight if cell.source.count('\n') >= 40]
    assert not long, f'begin these cells with #| code-fold: true: {long}'


@pytest.mark.parametrize('name', notebooks)
def test_needs_no_nbdev(name):
    "Which `pip install taidpt` does not bring: a page runs to its end without it"
    for cell in nbformat.read(NBS/name, as_version=4).cells:
        assert cell.cell_type != 'code' or 'nbdev' not in cell.source, cell.source


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
