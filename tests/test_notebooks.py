"""Every notebook runs from top to bottom, as `nbdev_test` runs it, and holds what it should."""
import base64
import io
import json
import re
import shutil

import nbformat
import pytest
from conftest import ROOT, forked, run, run_page, tool
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor
from PIL import Image

NBS = ROOT/'nbs'
notebooks = sorted(p.relative_to(NBS).as_posix() for p in NBS.rglob('*.ipynb')
                   if not any(part[0] in '._' for part in p.relative_to(NBS).parts))


@pytest.mark.parametrize('name', notebooks)
def test_runs(name, tmp_path):
    front = NBProcessor(NBS/name, procs=FrontmatterProc, process=True).nb.frontmatter_
    if front.get('skip_exec'): pytest.skip('its front matter says skip_exec: it needs more than the package')
    assert forked(run_page, NBS/name, log=tmp_path/'log.txt') == 0


@pytest.mark.parametrize('name', notebooks)
def test_stored_outputs(name):
    "No errors, nothing of the machine that ran it, no widget, which would be dead, and no photo that a dark page takes for a chart"
    nb = nbformat.read(NBS/name, as_version=4)
    assert 'widgets' not in nb.metadata, 'clear the outputs that are widgets, and save without the widgets\' state'
    for cell in nb.cells:
        assert not re.search(r'\\mathcal\s*[A-Za-z]', cell.source), f'no braces, so this L is the matrix of class embeddings: {cell.source}'
        for out in cell.get('outputs', []):
            assert out.output_type != 'error', cell.source
            data = out.get('data', {})
            assert 'application/vnd.jupyter.widget-view+json' not in data, f'clear the output of: {cell.source}'
            text = json.dumps({k: v for k, v in (data or out).items() if not k.startswith('image/')})
            assert not re.search(r'/(root|home|tmp|Users|work)/', text), text
            if png := data.get('image/png'):
                colours = Image.open(io.BytesIO(base64.b64decode(png))).convert('RGB').getcolors(5000)
                assert colours, f'a figure with a photo is a JPEG: set_matplotlib_formats("jpeg")\n{cell.source}'


def test_export_and_clean_change_nothing(tmp_path):
    "On a copy, so that a tree that is being worked on is left alone"
    for name in ('settings.ini', 'setup.py', 'pyproject.toml'): shutil.copy(ROOT/name, tmp_path)
    shutil.copytree(NBS, tmp_path/'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints', '__pycache__'))
    shutil.copytree(ROOT/'taidpt', tmp_path/'taidpt', ignore=shutil.ignore_patterns('data', '__pycache__'))
    contents = lambda: {p.relative_to(tmp_path).as_posix(): p.read_bytes() for pattern in ('nbs/**/*.ipynb', 'taidpt/**/*.py')
                        for p in tmp_path.glob(pattern)}
    before = contents()
    for command in ('nbdev_export', 'nbdev_clean'):
        assert run(tool(command), cwd=tmp_path).returncode == 0
        after = contents()
        changed = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
        assert not changed, f'{command} changes {changed}: run it and commit the result'
