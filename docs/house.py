"""The house: what each module imports, and how many tokens each floor has.

    python docs/house.py        the sums, and each import that is wrong

A module imports from its own floor and from floors below, a page of the spine from earlier pages.
Nobody takes another's `_name`, and there is no circle. `tests/test_house.py` asserts it.
"""
import ast
import io
import json
import re
import sys
import tokenize
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {'files': 0, 'plots': 0, 'text': 1, 'encoders': 1, 'datasets': 3, 'baselines': 3,
          'evaluate': 4, 'paper': 4, 'apps': 5,
          'all': 6}              # all other modules are the method: 2
COUNTED = tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING


def floor(module: str) -> int: return FLOORS.get(module.split('.')[0], 2)


def tokens(code: str) -> int:
    "Names, operators, numbers and strings, without docstrings"
    kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(code).readline)]
    docstrings = sum(kind == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT)
                     for before, kind in zip([tokenize.NEWLINE, *kinds], kinds))
    return sum(kind in COUNTED for kind in kinds) - docstrings


def sources(folder: str) -> dict[str, str]:
    "The code of each module in a folder of the project, without what nbdev writes"
    top = ROOT/folder
    paths = [path for path in sorted(top.rglob('*.py')) if path.name != '_modidx.py']
    return {'.'.join(path.relative_to(top).with_suffix('').parts): path.read_text('utf-8')
            for path in paths}


def without_types(code: str) -> str:
    "The code without what it imports for the check of types alone"
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if not (
        isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING')]
    return ast.unparse(tree)


def imports(module: str, code: str) -> set[tuple[str, str]]:
    "Pairs of a module of the package and a name that this one takes from it"
    found = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.ImportFrom): continue
        home = (node.module or '').split('.')
        if node.level: home = ['taidpt', *module.split('.')[:-node.level], *filter(None, home)]
        if home[0] != 'taidpt': continue
        for alias in node.names: found.add(('.'.join(home[1:]), alias.name))
    return found


def spine() -> dict[str, tuple[int, str]]:
    "Number and code of each numbered page, by the module that it exports"
    found = {}
    for path in sorted((ROOT/'nbs').glob('[01]*.ipynb')):
        cells = json.loads(path.read_text('utf-8'))['cells']
        code = '\n'.join(''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code')
        code = re.sub(r'^\s*[%!](?:.*\\\n)*.*$', '', code, flags=re.M)
        named = re.search(r'^#\|\s*default_exp\s+([\w.]+)', code, re.M)
        if named: found[named[1]] = int(path.name[:2]), code
    return found


def wrong_imports(modules: dict[str, str], pages: dict[str, tuple[int, str]]) -> list[str]:
    "Each import that runs upward, to a later page, in a circle, or to a private name, in words"
    wrong, needs = [], {}
    for module, code in modules.items():
        taken = imports(module, code)
        run = imports(module, without_types(code))
        needs[module] = {home for home, _ in run if home in modules} - {module}
        wrong += [f'{module} imports {home}, a floor above it' for home in sorted(needs[module])
                  if floor(home) > floor(module)]
        wrong += [f'{module} takes {name} of {home}' for home, name in sorted(taken)
                  if name.startswith('_') and not name.endswith('__')]
    for module, (number, code) in pages.items():
        later = {home for home, _ in imports(module, code) if pages.get(home, (0,))[0] > number}
        wrong += [f'the page of {module} imports {home} of a later page' for home in sorted(later)]
    try: TopologicalSorter(needs).prepare()
    except CycleError as error: wrong.append(f'a circle: {" > ".join(error.args[1])}')
    return wrong


def main() -> bool:
    "Print the sums and what is wrong; True if anything is"
    wrong = wrong_imports(sources('taidpt'), spine())
    for folder in 'taidpt', 'tests', 'docs', 'benchmarks':
        print(f'{sum(map(tokens, sources(folder).values())):8,} tokens in {folder}')
    of_floor = {}
    for module, code in sources('taidpt').items():
        of_floor[floor(module)] = of_floor.get(floor(module), 0) + tokens(code)
    for number, found in sorted(of_floor.items()): print(f'{found:8,} on floor {number}')
    print(*wrong, sep='\n')
    return bool(wrong)


if __name__ == '__main__': sys.exit(main())
