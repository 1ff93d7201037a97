"""Measure the house: how long its cells and lines are, what imports what, and whether the spine stands by itself.

    python docs/house.py            figures of the whole and a line for each module of the spine
    python docs/house.py FOLDER     the same of another checkout's notebooks

What it finds wrong is told at the end, and `tests/test_house.py` asserts that there is nothing.
"""
import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import nbformat

WINGS = 'support', 'datasets', 'baselines', 'paper', 'apps'
SPINE_LINES = 150
COMPREHENSIONS = ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp


@dataclass
class Room:
    "A notebook that exports a module"
    notebook: Path
    module: str                     # without the package's name: 'scores', 'support.files'
    cells: list[str]                # what it exports, cell by cell

    @property
    def lines(self) -> list[str]: return [line for cell in self.cells for line in cell.splitlines()]

    @property
    def tree(self) -> ast.Module: return ast.parse('\n'.join(self.cells))

    @property
    def spine(self) -> bool: return '.' not in self.module and self.module != 'all'


def rooms(root: Path) -> list[Room]:
    "All notebooks of a checkout that export something"
    found = []
    for path in sorted((root/'nbs').rglob('*.ipynb')):
        if any(part.startswith('.') for part in path.parts): continue
        cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == 'code']
        name = next((m[1] for c in cells if (m := re.search(r'^#\| *default_exp +(\S+)', c, flags=re.MULTILINE))), None)
        exported = [c.split('\n', 1)[1] for c in cells if re.match(r'#\| *export\b.*\n', c)]
        if name and exported: found.append(Room(path.relative_to(root), name, exported))
    return found


def nested(tree: ast.AST) -> int:
    "How many comprehensions hold another, or run over two things at once"
    return sum(len(node.generators) > 1 or any(isinstance(inner, COMPREHENSIONS) for inner in ast.walk(node) if inner is not node)
               for node in ast.walk(tree) if isinstance(node, COMPREHENSIONS))


def imports(room: Room) -> dict[str, set[str]]:
    "The package's modules that a room imports, wherever in its code, and the names that it takes from each"
    found = {}
    for node in ast.walk(room.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'taidpt':
            module, names = node.module.partition('.')[2], {a.name for a in node.names}
            if module in ('', *WINGS):                           # from taidpt.apps import sharing
                for name in names: found.setdefault(f'{module}.{name}'.strip('.'), set())
            else: found.setdefault(module, set()).update(names)
        elif isinstance(node, ast.Import):
            for a in node.names:
                if a.name.startswith('taidpt.'): found.setdefault(a.name.partition('.')[2], set())
    return found


def circle(needs: dict[str, set[str]]) -> list[str]:
    "Modules that import each other in a circle; none if there is no circle"
    done, path = set(), []

    def walk(module):
        if module in path: return path[path.index(module):] + [module]
        if module in done: return []
        path.append(module)
        for other in sorted(needs.get(module, ())):
            if found := walk(other): return found
        path.pop()
        done.add(module)
        return []

    for module in sorted(needs):
        if found := walk(module): return found
    return []


def faults(found: list[Room]) -> list[str]:
    "What is not as CONTRIBUTING says"
    wrong, needs = [], {room.module: imports(room) for room in found}
    for room in found:
        if room.spine and len(room.lines) > SPINE_LINES:
            wrong.append(f'{room.notebook} exports {len(room.lines)} lines; a module of the spine has at most {SPINE_LINES}')
        for module, names in needs[room.module].items():
            wing = module.split('.')[0]
            if room.spine and wing in ('paper', 'apps'): wrong.append(f'{room.notebook} is of the spine and imports {module}')
            wrong += [f'{room.notebook} imports {name} from {module}, which is private there' for name in sorted(names) if name.startswith('_')]
        wing = room.module.rpartition('.')[0]
        if room.module != 'all' and wing != (room.notebook.parts[1] if len(room.notebook.parts) > 2 else ''):
            wrong.append(f'{room.notebook} exports {room.module}, which belongs into another folder')
    if around := circle({module: set(names) for module, names in needs.items()}): wrong.append('a circle of imports: ' + ' > '.join(around))
    return wrong


def figures(found: list[Room]) -> dict[str, float]:
    "The figures of all exported code"
    sizes = [len(cell.splitlines()) for room in found for cell in room.cells]
    lines = [line for room in found for line in room.lines]
    return dict(cells=len(sizes), lines=len(lines), median=median(sizes), ninth=quantiles(sizes, n=10)[-1], longest=max(sizes),
                wide=100*sum(len(line) > 120 for line in lines)/len(lines), over=100*sum(len(line) > 100 for line in lines)/len(lines),
                nested=1000*sum(nested(room.tree) for room in found)/len(lines))


def public(found: list[Room]) -> set[str]:
    "What `from taidpt.all import *` gives, as far as it is imported name by name"
    return {name for room in found if room.module == 'all' for names in imports(room).values() for name in names if name != '*'}


def main(root: Path):
    found = rooms(root)
    f = figures(found)
    print(f'{f["cells"]} exported cells, {f["lines"]:,} lines; lines in a cell: median {f["median"]:.0f}, '
          f'nine in ten at most {f["ninth"]:.0f}, longest {f["longest"]}')
    print(f'lines over 120 characters {f["wide"]:.1f} %, over 100 {f["over"]:.1f} %; nested comprehensions {f["nested"]:.1f} in 1,000 lines')
    print(f'names in taidpt.all: {len(public(found)) or "imported whole"}')
    print('\nThe spine, exported lines:')
    for room in found:
        if room.spine: print(f'{len(room.lines):5}  {room.notebook}')
    wrong = faults(found)
    print('', *(wrong or ['Nothing is wrong.']), sep='\n')
    return len(wrong)


if __name__ == '__main__': sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parent.parent) > 0)
