"""The lowest versions that settings.ini promises to work with, read from there.

    python tests/lowest.py      a constraint a line, `torch==2.6` and so on, for `make test-lowest` to install
"""
import configparser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

SETTINGS = Path(__file__).resolve().parent.parent/'settings.ini'


def promised(*groups: str) -> list[Requirement]:
    "What settings.ini requires; all groups, if none is named"
    ini = configparser.ConfigParser(delimiters=['='])
    ini.read(SETTINGS, encoding='utf-8')
    said = ini['DEFAULT']
    names = groups or [name for name in said if name.endswith('requirements')]
    return [Requirement(text) for name in names for text in said[name].split()]


def lowest() -> dict[str, Version]:
    "The lowest version of each package; a `KeyError` names one without a bound"
    found, seen = {}, set()
    for need in promised():
        seen.add(need.name)
        bounds = [Version(s.version) for s in need.specifier if s.operator == '>=']
        for bound in bounds: found[need.name] = max(bound, found.get(need.name, bound))
    if seen - found.keys(): raise KeyError(f'no >= in settings.ini for {", ".join(sorted(seen - found.keys()))}')
    return found


def installed() -> dict[str, Version]:
    "The version of each of them that is installed here"
    found = {}
    for name in lowest():
        try: found[name] = Version(version(name))
        except PackageNotFoundError: pass
    return found


if __name__ == '__main__':
    print(*[f'{name}=={bound}' for name, bound in lowest().items()], sep='\n')
