"""The architecture: which page defines a module, what a module imports, and the size of each layer.

    python docs/architecture.py        the sizes, and each rule that is broken

Each module comes from one page, and each page defines at most one module. A module imports from its
own layer and from layers below, a page of the spine from earlier pages. Nobody takes another's
`_name`, and there is no circle. `tests/test_architecture.py` asserts it.
"""
import ast
import io
import json
import re
import sys
import tokenize
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {  # all other modules are the method: 2
    'files': 0, 'plots': 0, 'text': 1, 'encoders': 1, 'datasets': 3, 'baselines': 3,
    'evaluate': 4, 'paper': 4, 'apps': 5, 'all': 6}
COUNTED = tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING


def layer(module: str) -> int: return LAYERS.get(module.split('.')[0], 2)


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


def pages() -> dict[str, str]:
    "The code of each notebook, by its path below nbs/, without what only IPython reads"
    codes = {}
    for path in sorted((ROOT/'nbs').rglob('*.ipynb')):
        if any(part.startswith(('.', '_')) for part in path.relative_to(ROOT).parts): continue
        cells = json.loads(path.read_text('utf-8'))['cells']
        parts = [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']
        code = '\n'.join(part for part in parts if not re.search('^%%', part, re.M))
        code = re.sub(r'^\s*[%!](?:.*\\\n)*.*$', '', code, flags=re.M)
        codes[path.relative_to(ROOT/'nbs').as_posix()] = code
    return codes


def default_modules(code: str) -> list[str]:
    "The modules that a page says it defines"
    return re.findall(r'^#\|\s*default_exp\s+([\w.]+)', code, re.M)


def imports(module: str, code: str) -> set[tuple[str, str]]:
    "Pairs of a module of the package and a name that this one takes from it"
    pairs = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.ImportFrom): continue
        home = (node.module or '').split('.')
        if node.level: home = ['taidpt', *module.split('.')[:-node.level], *filter(None, home)]
        if home[0] != 'taidpt': continue
        for alias in node.names: pairs.add(('.'.join(home[1:]), alias.name))
    return pairs


def without_types(code: str) -> str:
    "The code without what it imports for the check of types alone"
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if not (
        isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING')]
    return ast.unparse(tree)


def is_private(name: str) -> bool: return name.startswith('_') and not name.endswith('__')


def wrong_imports(modules: dict[str, str]) -> list[str]:
    "Each import of a module that runs upward, in a circle, or to a private name, in words"
    wrong, needs = [], {}
    for module, code in modules.items():
        for home, name in sorted(imports(module, code)):
            if home in modules and layer(home) > layer(module):
                wrong.append(f'{module} imports {home}, a layer above it')
            if is_private(name): wrong.append(f'{module} takes {name} of {home}')
        used = {home for home, _ in imports(module, without_types(code))}
        needs[module] = used & modules.keys() - {module}
    try: TopologicalSorter(needs).prepare()
    except CycleError as error: wrong.append(f'a circle: {" > ".join(error.args[1])}')
    return wrong


def wrong_pages(notebooks: dict[str, str]) -> list[str]:
    "Each page that defines two modules, or a part of one, or imports what comes later, in words"
    wrong, defined = [], Counter()
    numbers = {}                            # module of the spine -> number of its page
    for page, code in notebooks.items():
        modules = default_modules(code)
        defined.update(modules)
        if len(modules) > 1: wrong.append(f'{page} defines {" and ".join(modules)}')
        for elsewhere in re.findall(r'^#\|\s*export[ \t]+([\w.]+)', code, re.M):
            wrong.append(f'{page} exports a cell to {elsewhere}')
        if re.match(r'\d\d_', page) and modules: numbers[modules[0]] = int(page[:2])
    wrong += [f'{module} comes from {n} pages' for module, n in defined.items() if n > 1]
    for page, code in notebooks.items():
        modules = default_modules(code)
        for home, name in sorted(imports('', code)):
            if is_private(name): wrong.append(f'{page} takes {name} of {home}')
            if modules and modules[0] in numbers and numbers.get(home, 0) > numbers[modules[0]]:
                wrong.append(f'{page} imports {home} of a later page')
    return wrong


def main() -> bool:
    "Print the sizes and what is wrong; True if anything is"
    modules = sources('taidpt')
    wrong = wrong_imports(modules) + wrong_pages(pages())
    for folder in 'taidpt', 'tests', 'docs', 'benchmarks':
        print(f'{sum(map(tokens, sources(folder).values())):8,} tokens in {folder}')
    sizes = Counter()
    for module, code in modules.items(): sizes[layer(module)] += tokens(code)
    for number, size in sorted(sizes.items()): print(f'{size:8,} in layer {number}')
    print(*wrong, sep='\n')
    return bool(wrong)


if __name__ == '__main__': sys.exit(main())
