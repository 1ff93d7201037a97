"""Nothing heavy is loaded before it is needed."""
import sys

import pytest
from conftest import run

HEAVY = 'open_clip', 'torchvision', 'timm', 'sklearn', 'scipy', 'pandas', 'nltk', 'matplotlib', 'pyarrow', 'huggingface_hub', 'fsspec'
LOADED = 'import sys; print(*sorted(m for m in sys.modules if m in sys.argv[1].split()))'


def loaded(program: str, names) -> list[str]:
    "Which of these modules a program loads, and what it prints, if anything"
    return run(sys.executable, '-c', f'{program}\n{LOADED}', ' '.join(names)).stdout.splitlines()


def test_importing_all_loads_little():
    assert loaded('import taidpt.all', ['torch', *HEAVY]) == ['torch']


@pytest.mark.parametrize('classes', ['voc2007', 'coco', 'nuswide', 'cat,dog,fire truck'])
def test_explaining_needs_no_torch(classes):
    args = ['label', '--quiet', '--classes', classes, '--explain', "Two men's dogs can't see a cat; it's gonna hide."]
    *said, modules = loaded(f'from taidpt.apps.cli import main; main({args!r})', ['torch', 'numpy', *HEAVY])
    assert modules == '' and any("'dogs' ->" in line and 'dog' in line.split('->')[1] for line in said)
