"""The lower bounds in settings.ini are those that `make test-lowest` installs, and they name all that is imported."""
import ast
import configparser
import os
import re
import subprocess
import sys

from conftest import ROOT
from lowest import SETTINGS, installed, lowest, promised
from packaging.version import Version

LOWEST = 'TAIDPT_LOWEST' in os.environ                       # set by `make test-lowest`
MODULES = dict(sklearn='scikit-learn', PIL='pillow', open_clip='open_clip_torch', yaml='pyyaml')


def test_each_requirement_has_a_bound_that_is_installed():
    bounds = lowest()
    assert {need.name for need in promised()} == bounds.keys()
    made = subprocess.run([sys.executable, ROOT/'tests/lowest.py'], capture_output=True, text=True, check=True).stdout
    assert made.split() == [f'{name}=={bound}' for name, bound in bounds.items()]
    recipe = (ROOT/'Makefile').read_text(encoding='utf-8')
    assert re.search(r'tests/lowest\.py > \S+/lowest\.txt\n.*uv pip install .*-c \S+/lowest\.txt .*\[dev,docs\]', recipe)


def test_bounds_are_kept():
    "By what is installed here; in `make test-lowest`, by exactly that"
    bounds, here = lowest(), installed()
    needed = {need.name for need in promised('requirements')}
    assert needed <= here.keys(), f'not installed: {needed - here.keys()}'
    for name in here:
        given = Version(here[name].public)                   # torch 2.13.0+cpu is 2.13.0
        assert given == bounds[name] if LOWEST else given >= bounds[name], f'{name} {given}, and the bound is {bounds[name]}'


def test_known_bad_versions_are_shut_out():
    "PyTorch before 2.6 runs code in files of weights, open_clip 2 opens no local-dir:, NLTK 3.9 finds no WordNet, filelock 3.21 lets two in"
    for name, worked in (('torch', '2.6'), ('open_clip_torch', '3'), ('nltk', '3.9.1'), ('filelock', '4')):
        assert lowest()[name] >= Version(worked), name


def test_what_is_imported_is_required():
    "Nothing is here only because another package happens to bring it"
    names = set()
    for path in (ROOT/'taidpt').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import): names |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level: names.add(node.module.split('.')[0])
    others = names - sys.stdlib_module_names - {'taidpt'}
    needed = {need.name for need in promised('requirements', 'ray_requirements', 'app_requirements', 'onnx_requirements')}
    assert {MODULES.get(name, name) for name in others} <= needed


def test_pythons():
    "One range of versions in settings.ini, pyproject.toml, the Makefile and the workflow, both ends of which are tested"
    ini = configparser.ConfigParser(delimiters=['='])
    ini.read(SETTINGS, encoding='utf-8')
    low, high = ini['DEFAULT']['min_python'], ini['DEFAULT']['max_python']
    assert f'requires-python=">={low}"' in (ROOT/'pyproject.toml').read_text(encoding='utf-8')
    matrix = re.search(r'matrix: \{python: \[(.+?)\]', (ROOT/'.github/workflows/test.yml').read_text(encoding='utf-8'))[1]
    assert re.findall(r'[\d.]+', matrix) == [low, high]
    assert f'LOWEST_PYTHON ?= {low}\n' in (ROOT/'Makefile').read_text(encoding='utf-8')
