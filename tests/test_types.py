"""People's code against the package has types that hold, and the package has no faults that ruff finds."""
import json
import re
import sys

import nbformat
import pytest
from conftest import ROOT, run

PAGES = sorted(p for p in (ROOT/'nbs/tutorials').glob('*.ipynb') if p.stem != 'serve')        # whose programs are files that it writes


def code_of(page) -> str:
    "The Python of a page as one program, without what only a notebook understands"
    if page.suffix == '.md': return '\n'.join(re.findall(r'^```python\n(.*?)^```', page.read_text(encoding='utf-8'), re.MULTILINE | re.DOTALL))
    cells = [c.source for c in nbformat.read(page, 4).cells if c.cell_type == 'code']
    return 'from IPython.display import display\n' + '\n\n'.join(re.sub(r'^(\s*)[%!].*$', r'\1pass', c, flags=re.MULTILINE) for c in cells)


def test_examples_have_types_that_hold(tmp_path):
    pytest.importorskip('basedpyright')
    for page in [ROOT/'README.md', *PAGES]: (tmp_path/f'page_{page.stem}.py').write_text(code_of(page), encoding='utf-8')
    settings = dict(typeCheckingMode='standard', executionEnvironments=[dict(root='.', extraPaths=[str(ROOT), str(ROOT/'docs')])])
    # a page knows that there is a gradient and a `preprocess`, and leaves a cell out where its data are not at hand
    settings |= dict.fromkeys(('reportOptionalCall', 'reportOptionalMemberAccess', 'reportPossiblyUnboundVariable'), False)
    (tmp_path/'pyrightconfig.json').write_text(json.dumps(settings))
    done = run(sys.executable, '-m', 'basedpyright', '--pythonpath', sys.executable, '--level', 'error', tmp_path, cwd=tmp_path)
    assert done.returncode == 0


def test_the_package_is_typed_and_clean():
    assert (ROOT/'taidpt/py.typed').exists()
    assert run(sys.executable, '-m', 'ruff', 'check', '--no-cache', 'taidpt').returncode == 0
    assert run(sys.executable, '-m', 'ruff', 'check', '--no-cache', '--select', 'YTT', '.').returncode == 0     # pages run on the oldest Python
