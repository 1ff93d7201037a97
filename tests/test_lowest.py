"""The lower bounds in settings.ini are those that `make test-lowest` installs, and they name all
that is imported.

    python tests/test_lowest.py      a constraint a line, `torch==2.6` and so on, for
                                     `make test-lowest` to install
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
MODULES = {                                                  # module -> package, where they differ
    'sklearn': 'scikit-learn',
    'PIL': 'pillow',
    'pillow_heif': 'pillow-heif',
    'open_clip': 'open_clip_torch',
    'yaml': 'pyyaml',
    'IPython': 'ipython',
    'matplotlib_inline': 'matplotlib-inline',
}


def settings() -> configparser.SectionProxy:
    ini = configparser.ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']


def groups() -> list[str]:
    "The names of the lists of requirements"
    return [name for name in settings() if name.endswith('requirements')]


def promised(*names: str) -> list[Requirement]:
    "What settings.ini requires in these groups; in all, if none is named"
    config = settings()
    return [Requirement(text) for name in names or groups() for text in config[name].split()]


def lower_bounds(need: Requirement) -> list[Version]:
    return [Version(part.version) for part in need.specifier if part.operator == '>=']


def lowest() -> dict[str, Version]:
    "The lowest version of each package; a `KeyError` names one without a bound"
    bounds = {}
    for need in promised(): bounds.setdefault(need.name, []).extend(lower_bounds(need))
    without = [name for name, versions in bounds.items() if not versions]
    if without: raise KeyError(f'no >= in settings.ini for {", ".join(without)}')
    return {name: max(versions) for name, versions in bounds.items()}


def installed() -> dict[str, Version]:
    "The version of each package that is here"
    versions = {}
    for name in lowest():
        try: given = Version(version(name))
        except PackageNotFoundError: continue
        versions[name] = Version(given.public)                  # torch 2.13.0+cpu is 2.13.0
    return versions


def test_bounds_are_kept():
    "By what is installed here; in `make test-lowest`, by exactly that"
    versions = installed()
    needed = {need.name for need in promised('requirements')}
    assert needed <= versions.keys(), f'not installed: {needed - versions.keys()}'
    for name, given in versions.items():
        bound = lowest()[name]
        kept = given == bound if LOWEST else given >= bound
        assert kept, f'{name} {given}, and the bound is {bound}'


def test_ray_unpickles_no_schema():
    "2.49 to 2.54 unpickle the type of a column when a parquet file is opened: GHSA-mw35-8rx3-xf9r"
    bounds = [lower_bounds(need) for need in promised() if need.name == 'ray']
    assert min(bounds) >= [Version('2.55')]


def imported(path: Path) -> set[str]:
    "The packages that a file imports"
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import): names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level: names.add(node.module)
    return {name.split('.')[0] for name in names}


def test_what_is_imported_is_required():
    "Nothing is here only because another package brings it, and nobody installs it for nothing"
    names = set()
    for path in (ROOT/'taidpt').rglob('*.py'): names |= imported(path)
    others = names - sys.stdlib_module_names - {'taidpt'}
    needed = {MODULES.get(name, name) for name in others}
    of_users = [name for name in groups() if not name.startswith(('dev_', 'docs_'))]
    assert needed <= {re.sub(r'\[.*', '', need.name) for need in promised(*of_users)}
    assert {need.name for need in promised('requirements')} <= needed


if __name__ == '__main__':
    for name, bound in lowest().items(): print(f'{name}=={bound}')
