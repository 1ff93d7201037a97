"""The lower bounds in settings.ini are those that `make test-lowest` installs, and they name all that is imported.

    python tests/test_lowest.py      a constraint a line, `torch==2.6` and so on, for `make test-lowest` to install
"""
import ast
import configparser
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOWEST = 'TAIDPT_LOWEST' in os.environ                       # set by `make test-lowest`
MODULES = dict(sklearn='scikit-learn', PIL='pillow', open_clip='open_clip_torch', yaml='pyyaml', google='protobuf')


def settings() -> configparser.SectionProxy:
    ini = configparser.ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']


def promised(*groups: str) -> list[Requirement]:
    "What settings.ini requires; all groups, if none is named"
    said = settings()
    names = groups or [name for name in said if name.endswith('requirements')]
    return [Requirement(text) for name in names for text in said[name].split()]


def lowest() -> dict[str, Version]:
    "The lowest version of each package; a `KeyError` names one without a bound"
    bounds = {}
    for need in promised(): bounds.setdefault(need.name, []).extend(Version(s.version) for s in need.specifier if s.operator == '>=')
    if without := [name for name, versions in bounds.items() if not versions]: raise KeyError(f'no >= in settings.ini for {", ".join(without)}')
    return {name: max(versions) for name, versions in bounds.items()}


def test_bounds_are_kept():
    "By what is installed here; in `make test-lowest`, by exactly that"
    here = {}
    for name in lowest():
        try: here[name] = Version(Version(version(name)).public)           # torch 2.13.0+cpu is 2.13.0
        except PackageNotFoundError: pass
    needed = {need.name for need in promised('requirements')}
    assert needed <= here.keys(), f'not installed: {needed - here.keys()}'
    for name, given in here.items():
        bound = lowest()[name]
        assert given == bound if LOWEST else given >= bound, f'{name} {given}, and the bound is {bound}'


def test_what_is_imported_is_required():
    "Nothing is here only because another package happens to bring it"
    names = set()
    for path in (ROOT/'taidpt').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import): names |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level: names.add(node.module.split('.')[0])
    others = names - sys.stdlib_module_names - {'taidpt'}
    groups = [name for name in settings() if name.endswith('requirements') and name not in ('dev_requirements', 'docs_requirements')]
    assert {MODULES.get(name, name) for name in others} <= {re.sub(r'\[.*', '', need.name) for need in promised(*groups)}


def test_pythons():
    "One range of versions in settings.ini, pyproject.toml, the Makefile and the workflow, both ends of which are tested"
    low, high = settings()['min_python'], settings()['max_python']
    assert f'requires-python=">={low}"' in (ROOT/'pyproject.toml').read_text(encoding='utf-8')
    matrix = re.search(r'matrix: \{python: \[(.+?)\]', (ROOT/'.github/workflows/test.yml').read_text(encoding='utf-8'))[1]
    assert re.findall(r'[\d.]+', matrix) == [low, high]
    assert f'LOWEST_PYTHON ?= {low}\n' in (ROOT/'Makefile').read_text(encoding='utf-8')


if __name__ == '__main__': print(*[f'{name}=={bound}' for name, bound in lowest().items()], sep='\n')
