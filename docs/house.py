"""Measure the house: how much there is of it, what imports what, how deep a call goes, and how much one has to choose.

    python docs/house.py            the figures, each beside its bound, and what is wrong
    python docs/house.py FOLDER     the same of another checkout; calls and commands are those of the installed package

`tests/test_house.py` asserts that no bound is passed and that nothing is wrong.
"""
import ast
import inspect
import re
import sys
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat

FLOORS = dict(files=0, plots=0, text=1, encoders=1, datasets=3, baselines=3, paper=4, apps=5, all=6)   # others: 2, the method
BOUNDS = {'exported lines': 9_752, 'modules': 60, 'notebooks': 82, 'functions and classes': 712, 'lines of tests and benchmarks': 3_500,
          'names that nobody uses': 0, 'imports that run upward': 0, 'circles of imports': 0, 'private names that are taken': 0,
          'frames of fit': 9, 'frames of predict': 10, 'frames of tag': 14,
          'parameters of TaIDPT': 16, 'parameters of fit': 5, 'parameters of predict': 3, 'options of all commands': 80}
AIMS = {'exported lines': 9_500}       # what bounds are meant to come down to
SITTING = {'words': 1_300, 'tests': 15, 'first picture': 25}       # of a page of the spine
# Names that are there for users alone: their pages show them at work
FOR_USERS = {
    'apps.cluster': {'label_files', 'score_files'}, 'encoders.features': {'load_features'}, 'baselines.rescoring': {'Rescored'},
    'paper.family': {'FAMILY', 'Result', 'read_results', 'keep_results'}, 'paper.reproduce': {'TABLES'},
    'paper.published': {'PublishedRun'}}


@dataclass
class Module:
    "A module of the package, without the package's name: 'scores', 'text.words'"
    name: str
    code: str

    @cached_property
    def tree(self) -> ast.Module: return ast.parse(self.code)

    @property
    def floor(self) -> int: return FLOORS.get(self.name.split('.')[0], 2)

    @property
    def public(self) -> list[str]:
        "The names of its `__all__`"
        found = [n.value for n in self.tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__']
        return [e.value for n in found if isinstance(n, ast.List) for e in n.elts]


def modules(root: Path) -> list[Module]:
    "All modules of a checkout but those that nbdev writes by itself"
    paths = sorted(p for p in (root/'taidpt').rglob('*.py') if p.name not in ('_modidx.py', '__init__.py'))
    return [Module('.'.join(p.relative_to(root/'taidpt').with_suffix('').parts), p.read_text(encoding='utf-8')) for p in paths]


def pages(root: Path) -> dict[Path, str]:
    "The code of each notebook"
    found = {}
    for path in sorted((root/'nbs').rglob('*.ipynb')):
        if any(part.startswith('.') for part in path.parts): continue
        cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == 'code']
        found[path.relative_to(root/'nbs')] = '\n'.join(re.sub(r'^\s*[%!].*$', '', c, flags=re.MULTILINE) for c in cells)
    return found


def sitting(path: Path) -> dict[str, float]:
    """How much a page asks of a reader: words of prose, the share of tests in the code before its edge cases in percent, and how
    far down, in percent of the page, the first picture is (100 without one)"""
    words, code, tests, length, first, edge = 0, 0, 0, 0, None, False
    for cell in nbformat.read(path, as_version=4).cells:
        text, out = cell.source, [data for o in cell.get('outputs', []) for data in [o.get('data', {})]]
        drawn = any(kind.startswith('image/') for data in out for kind in data) or re.search('<svg|<img', str(out))
        if cell.cell_type == 'markdown':
            edge |= bool(re.search('^#+ Edge cases', text, re.MULTILINE))
            words += len(re.findall(r"\w[\w'’-]*", re.sub(r'\$\$.*?\$\$|\$.*?\$', 'x', text, flags=re.DOTALL)))
            drawn = re.search(r'!\[|<svg|<img', text)
        elif not edge:
            lines = [line for line in text.splitlines() if line.strip() and not line.startswith('#|')]
            code += len(lines)
            asserts = re.search(r'^\s*(assert\b|test_\w+\(|expect\w*\(|with (expect|raises|warns|Exp))', text, re.MULTILINE)
            if asserts and '#| export' not in text: tests += len(lines)
        length += len(text)
        if drawn and first is None: first = length - len(text)
    return {'words': words, 'tests': 100*tests/max(code, 1), 'first picture': 100 if first is None else 100*first/length}


def taken(tree: ast.Module, package: str = '', known: set[str] = frozenset()) -> set[tuple[str, str]]:
    "Modules of the package that code imports, and the names that it takes of each; '' for the whole module"
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(a.name.partition('.')[2], '') for a in node.names if a.name.startswith('taidpt.')}
        if not isinstance(node, ast.ImportFrom): continue
        if node.level:
            above = package.split('.')[:len(package.split('.')) - node.level + 1] if package else []
            module = '.'.join([*filter(None, above), *filter(None, [node.module])])
        elif (node.module or '').split('.')[0] == 'taidpt': module = node.module.partition('.')[2]
        else: continue
        for a in node.names:
            inner = f'{module}.{a.name}'.strip('.')
            found.add((inner, '') if inner in known else (module, a.name))
    return found


def imports(found: list[Module]) -> dict[str, set[tuple[str, str]]]:
    "What each module takes of others"
    known = {m.name for m in found}
    return {m.name: taken(m.tree, m.name.rpartition('.')[0], known) for m in found}


def circles(needs: dict[str, set[str]]) -> list[str]:
    "Modules that import each other in a circle"
    done, path = set(), []

    def walk(module):
        if module in path: return path[path.index(module):] + [module]
        if module in done: return []
        path.append(module)
        for other in sorted(needs.get(module, ())):
            if around := walk(other): return around
        path.pop()
        done.add(module)
        return []

    return next(([' > '.join(around)] for module in sorted(needs) if (around := walk(module))), [])


def unused(found: list[Module], books: dict[Path, str]) -> list[str]:
    "Public names outside the method that no other module and no other page uses"
    used = {pair for pairs in imports(found).values() for pair in pairs}
    words = {book: set(re.findall(r'\w+', code)) for book, code in books.items()}
    wrong = []
    for m in found:
        if m.floor in (2, 6): continue
        own = Path(*m.name.split('.')).with_suffix('.ipynb')
        elsewhere = set().union(*(w for book, w in words.items() if book != own))
        wrong += [f'{m.name}.{name}' for name in m.public if (m.name, name) not in used and name not in elsewhere
                  and name not in FOR_USERS.get(m.name, ())]
    return wrong


def wrong_imports(found: list[Module]) -> dict[str, list[str]]:
    "Imports that run upward, circles, and private names that are taken"
    floors, needs = {m.name: m.floor for m in found}, imports(found)
    around = {name: {other for other, _ in pairs if other != name} for name, pairs in needs.items()}
    return {'imports that run upward': [f'{m} imports {other}' for m, others in around.items() for other in sorted(others) if floors.get(other, 0) > floors[m]],
            'circles of imports': circles(around),
            'private names that are taken': [f'{m} takes {name} of {other}' for m, pairs in needs.items() for other, name in sorted(pairs)
                                             if name.startswith('_') and not name.startswith('__')]}


def frames(call) -> int:
    "How many frames of the package are on top of each other at most while something is called, in whatever thread"
    import taidpt
    home, found = str(Path(taidpt.__file__).parent), {0}           # a set: threads lose no maximum

    def look(frame, event, _):
        if event != 'call' or not frame.f_code.co_filename.startswith(home): return
        depth, at = 0, frame
        while at is not None:
            depth += at.f_code.co_filename.startswith(home) and at.f_code.co_name[0] != '<'
            at = at.f_back
        found.add(depth)

    threading.setprofile(look)
    sys.setprofile(look)
    try: call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return max(found)


def depths() -> dict[str, int]:
    "Frames of learning, of prediction and of the command that tags"
    from contextlib import redirect_stdout
    from io import StringIO
    from itertools import islice
    from unittest import mock

    from taidpt.all import VOC2007, NounFilter, TaIDPT, bundled_captions, bundled_photos, load_clip
    from taidpt.apps.cli import main
    clip = load_clip()
    photos = [str(p) for p in bundled_photos().pictures[:2]]
    train = NounFilter(VOC2007).label(['a dog beside a bus', 'two people on a sofa with a cat'], progress=False)
    model = TaIDPT(clip, VOC2007, epochs=1, templates=False)
    few = [*islice(bundled_captions(), 100)]
    with redirect_stdout(StringIO()), mock.patch('taidpt.baselines.concepts.bundled_captions', lambda: few):
        return {'frames of fit': frames(lambda: model.fit(train, progress=False)),
                'frames of predict': frames(lambda: model.predict(photos, progress=False)),
                'frames of tag': frames(lambda: main(['tag', '--classes', 'cat,dog', *photos]))}


def choices() -> dict[str, int]:
    "Parameters of the learner and options of all commands"
    from typer.main import get_command

    from taidpt.all import TaIDPT
    from taidpt.apps.cli import app
    def count(f): return sum(name != 'self' for name in inspect.signature(f).parameters)
    options = [p for c in get_command(app).commands.values() for p in c.params if p.param_type_name == 'option' and p.name != 'help']
    return {'parameters of TaIDPT': count(TaIDPT.__init__), 'parameters of fit': count(TaIDPT.fit),
            'parameters of predict': count(TaIDPT.predict), 'options of all commands': len(options)}


def measure(root: Path) -> tuple[dict[str, int], list[str]]:
    "The figures of a checkout, and what is wrong in words"
    found, books = modules(root), pages(root)
    told = wrong_imports(found) | {'names that nobody uses': unused(found, books)}
    defined = sum(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for m in found for n in ast.walk(m.tree))
    beside = [p for folder in ('tests', 'benchmarks') for p in (root/folder).glob('*.py')]
    figures = {'exported lines': sum(len(m.code.splitlines()) for m in found), 'modules': len(found), 'notebooks': len(books),
               'functions and classes': defined, 'lines of tests and benchmarks': sum(len(p.read_text().splitlines()) for p in beside)}
    figures |= {name: len(wrong) for name, wrong in told.items()} | depths() | choices()
    return figures, [f'{name}: {one}' for name, wrong in told.items() for one in wrong]


def main(root: Path) -> bool:
    figures, wrong = measure(root)
    for name, value in figures.items(): print(f'{value:8,}  {name}, at most {BOUNDS[name]:,}' + (f' ({AIMS[name]:,} is the aim)' if name in AIMS else '') + ('   <- too many' if value > BOUNDS[name] else ''))
    if wrong: print('', *wrong, sep='\n')
    print('\nA page of the spine, of at most ' + ', '.join(f'{n:,} {what}' for what, n in SITTING.items()))
    for path in sorted((root/'nbs').glob('[01]*.ipynb')): print(f'{path.stem:16}', *(f'{n:8,.0f} {what}' for what, n in sitting(path).items()))
    return any(value > BOUNDS[name] for name, value in figures.items())


if __name__ == '__main__': sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parent.parent))
