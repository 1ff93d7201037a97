"""Measure the house: how readable it is, what imports what, how deep calls go, how much to choose.

    python docs/house.py            each figure beside its bound, and the longest functions
    python docs/house.py FOLDER     the same of another checkout, but calls and parameters of
                                    the installed package

`tests/test_house.py` asserts that no bound is passed. How much code there is, in lines, tokens,
modules and options, is told and not bounded: clear code takes the room that it takes.
"""
import ast
import inspect
import io
import math
import re
import sys
import threading
import tokenize
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest import mock

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parent))
import build

FLOORS = {                        # of a folder or module; all others are the method, on floor 2
    'files': 0, 'plots': 0,
    'text': 1, 'encoders': 1,
    'datasets': 3, 'baselines': 3,
    'paper': 4,
    'apps': 5,
    'all': 6,
}
METHOD = 2
# A token is a name, an operator, a number or a string
READABLE = {
    'tokens a line': 9.5,
    'tokens of the median function': 65,
    'tokens of nine in ten functions': 200,
    'functions over 250 tokens': 35,
    'raises per 100 lines': 3.0,
    'comprehensions per 100 lines': 4.5,
    'assignments of several values per 100 lines': 2.5,
}
IN_ORDER = {
    'names that nobody uses': 0,
    'imports that run upward': 0,
    'imports of a later page': 0,
    'circles of imports': 0,
    'private names that are taken': 0,
}
DEPTHS = {'frames of fit': 11, 'frames of predict': 12, 'frames of tag': 16}
CHOICES = {'parameters of TaIDPT': 16, 'parameters of fit': 6, 'parameters of predict': 3}
BOUNDS = READABLE | IN_ORDER | DEPTHS | CHOICES
# Of a page of the spine: its minutes, lines of its longest cell of exported code, and pixels above
# its first picture count what is in sight; words and the share of tests, all that it has
SITTING = {'minutes': 15, 'longest cell': 40, 'first picture': 700, 'words': 1_300,
           'words of exercises': 120, 'tests': 15}
WORDS_A_MINUTE = 200
LINES_A_MINUTE = 40

# Names that no other module or page needs: users call them, or meet them in what they call
FOR_USERS = {
    'apps.cluster': {'score_files'},
    'apps.demo': {'DemoResult'},
    'encoders.features': {'load_features'},
    'paper.family': {'FAMILY', 'Method', 'Result', 'read_results', 'keep_results'},
    'paper.published': {'PublishedRun'},
    'paper.reproduce': {'TABLES'},
}


# What is measured

@dataclass
class Module:
    "A module of the package, without the package's name: 'scores', 'text.words'"
    name: str
    code: str

    @cached_property
    def tree(self) -> ast.Module: return ast.parse(self.code)

    @property
    def floor(self) -> int:
        folder = self.name.split('.')[0]
        return FLOORS.get(folder, METHOD)

    @property
    def folder(self) -> str:
        "'text' for 'text.words', '' for 'scores'"
        return self.name.rpartition('.')[0]

    @property
    def public(self) -> list[str]:
        "The names of its `__all__`"
        names = []
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
                names += ast.literal_eval(node.value)
        return names


@dataclass
class Page:
    "A notebook, by its path in nbs/, with the text of its code cells"
    path: Path
    cells: list[str]

    @property
    def code(self) -> str:
        "Its Python, without lines for the shell and magics"
        shell = r'^\s*[%!](?:.*\\\n)*.*$'
        return re.sub(shell, '', '\n'.join(self.cells), flags=re.MULTILINE)

    @property
    def module(self) -> str:
        "The module that it exports, '' for none"
        found = re.search(r'^#\|\s*default_exp\s+([\w.]+)', self.code, re.MULTILINE)
        return found[1] if found else ''

    @property
    def number(self) -> int|None:
        "Its place in the spine, None for other pages"
        found = re.match(r'(\d\d)_', str(self.path))
        return int(found[1]) if found else None


def modules(root: Path) -> list[Module]:
    "All modules of a checkout but those that nbdev writes by itself"
    package = root/'taidpt'
    found = []
    for path in sorted(package.rglob('*.py')):
        if path.name in ('_modidx.py', '__init__.py'): continue
        name = '.'.join(path.relative_to(package).with_suffix('').parts)
        found.append(Module(name, path.read_text(encoding='utf-8')))
    return found


def pages(root: Path) -> list[Page]:
    "All notebooks of a checkout"
    found = []
    for path in sorted((root/'nbs').rglob('*.ipynb')):
        if any(part.startswith('.') for part in path.parts): continue
        cells = nbformat.read(path, as_version=4).cells
        code = [cell.source for cell in cells if cell.cell_type == 'code']
        found.append(Page(path.relative_to(root/'nbs'), code))
    return found


# How readable the code is

class Token(NamedTuple):
    "Where a name, an operator, a number or a string stands: lines and columns"
    start: tuple[int, int]
    end: tuple[int, int]


LAYOUT = {'COMMENT', 'NL', 'NEWLINE', 'INDENT', 'DEDENT', 'ENCODING', 'ENDMARKER'}
COMPREHENSIONS = ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef


def tokens(code: str) -> list[Token]:
    "What is read: no comments, no layout; each string is one, also a docstring or an f-string"
    found, opened = [], []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        kind = tokenize.tok_name[token.type]
        if kind == 'FSTRING_START':               # from Python 3.12 on, f-strings come in pieces
            opened.append(token)
        elif kind == 'FSTRING_END':
            first = opened.pop()
            if not opened: found.append(Token(first.start, token.end))
        elif not opened and kind not in LAYOUT:
            found.append(Token(token.start, token.end))
    return found


def lines(found: list[Token]) -> int:
    "How many lines have a token"
    numbers = set()
    for token in found: numbers.update(range(token.start[0], token.end[0] + 1))
    return len(numbers)


def function_sizes(module: Module) -> dict[str, int]:
    "Tokens of each function and method, nested ones too, by a name that says where it stands"
    found = tokens(module.code)
    sizes = {}
    for node in ast.walk(module.tree):
        if not isinstance(node, FUNCTIONS): continue
        first = node.lineno, node.col_offset
        inside = sum(token.start >= first and token.start[0] <= node.end_lineno for token in found)
        sizes[f'{module.name}.{node.name}, line {node.lineno}'] = inside
    return sizes


def is_raise(node: ast.AST) -> bool: return isinstance(node, ast.Raise)


def is_comprehension(node: ast.AST) -> bool: return isinstance(node, COMPREHENSIONS)


def assigns_several(node: ast.AST) -> bool:
    "Is it `a, b = …`?"
    if not isinstance(node, ast.Assign): return False
    return any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets)


def readability(found: list[Module]) -> dict[str, float]:
    "How dense code is: what `READABLE` bounds"
    of_each = [tokens(module.code) for module in found]
    in_lines = sum(lines(some) for some in of_each)
    nodes = [node for module in found for node in ast.walk(module.tree)]
    sizes = sorted(size for module in found for size in function_sizes(module).values())

    def per_100_lines(holds) -> float: return 100*sum(map(holds, nodes))/in_lines

    return {
        'tokens a line': sum(len(some) for some in of_each)/in_lines,
        'tokens of the median function': median(sizes),
        'tokens of nine in ten functions': sizes[int(.9*len(sizes))],
        'functions over 250 tokens': sum(size > 250 for size in sizes),
        'raises per 100 lines': per_100_lines(is_raise),
        'comprehensions per 100 lines': per_100_lines(is_comprehension),
        'assignments of several values per 100 lines': per_100_lines(assigns_several),
    }


# What imports what

def home_of(node: ast.ImportFrom, folder: str) -> str|None:
    "The module that `from … import` names, '' for the package itself, None for another package"
    if not node.level:
        package, _, inner = (node.module or '').partition('.')
        return inner if package == 'taidpt' else None
    above = folder.split('.') if folder else []
    kept = above[:len(above) - node.level + 1]
    return '.'.join([*kept, node.module] if node.module else kept)


Taken = set[tuple[str, str]]      # pairs of a module and of a name in it; '' for the whole module


def taken(tree: ast.Module, folder: str = '', known: set[str] = frozenset()) -> Taken:
    "What code imports of the package"
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package, _, module = alias.name.partition('.')
                if package == 'taidpt' and module: found.add((module, ''))
        elif isinstance(node, ast.ImportFrom):
            home = home_of(node, folder)
            if home is None: continue
            for alias in node.names:
                inner = f'{home}.{alias.name}'.strip('.')
                found.add((inner, '') if inner in known else (home, alias.name))
    return found


def imports(found: list[Module]) -> dict[str, Taken]:
    "What each module takes of others"
    known = {module.name for module in found}
    return {module.name: taken(module.tree, module.folder, known) for module in found}


def upward_imports(found: list[Module]) -> list[str]:
    "Imports from a floor above"
    floors = {module.name: module.floor for module in found}
    wrong = []
    for name, pairs in imports(found).items():
        for other in sorted({other for other, _ in pairs}):
            if floors.get(other, 0) > floors[name]: wrong.append(f'{name} imports {other}')
    return wrong


def private_imports(found: list[Module]) -> list[str]:
    "Names with an underscore that another module takes"
    wrong = []
    for module, pairs in imports(found).items():
        for other, name in sorted(pairs):
            private = name.startswith('_') and not name.startswith('__')
            if private: wrong.append(f'{module} takes {name} of {other}')
    return wrong


def circles(found: list[Module]) -> list[str]:
    "The first circle of modules that import each other"
    needs = {}
    for name, pairs in imports(found).items():
        needs[name] = sorted({other for other, _ in pairs if other != name})
    done, path = set(), []

    def walk(name):
        if name in path: return [*path[path.index(name):], name]
        if name in done: return []
        path.append(name)
        for other in needs.get(name, ()):
            around = walk(other)
            if around: return around
        path.pop()
        done.add(name)
        return []

    for name in sorted(needs):
        around = walk(name)
        if around: return [' > '.join(around)]
    return []


def later_imports(books: list[Page]) -> list[str]:
    "Imports, in whatever cell of a page of the spine, from a page after it; 00 shows the whole"
    spine = [book for book in books if book.number is not None]
    page_of = {book.module: book for book in spine if book.module}
    wrong = []
    for book in spine:
        if not 1 <= book.number < 99: continue
        needs = {module for module, _ in taken(ast.parse(book.code), known=set(page_of))}
        for module in sorted(needs & page_of.keys()):
            other = page_of[module]
            if other.number > book.number:
                wrong.append(f'{book.path.stem} imports {module} of {other.path.stem}')
    return wrong


def unused(found: list[Module], books: list[Page], for_users=FOR_USERS) -> list[str]:
    "Public names outside the method that no other module and no other page uses"
    used = {pair for pairs in imports(found).values() for pair in pairs}
    words = {}
    for book in books: words[book.module or book.path] = set(re.findall(r'\w+', book.code))
    wrong = []
    for module in found:
        if module.floor in (METHOD, FLOORS['all']): continue
        elsewhere = set()
        for page, some in words.items():
            if page != module.name: elsewhere |= some
        for name in module.public:
            needed = (module.name, name) in used or name in elsewhere
            kept = name in for_users.get(module.name, ())
            if not needed and not kept: wrong.append(f'{module.name}.{name}')
    return wrong


def out_of_order(found: list[Module], books: list[Page]) -> dict[str, list[str]]:
    "What is wrong with imports and names, in words: what `IN_ORDER` bounds"
    return {
        'names that nobody uses': unused(found, books),
        'imports that run upward': upward_imports(found),
        'imports of a later page': later_imports(books),
        'circles of imports': circles(found),
        'private names that are taken': private_imports(found),
    }


# How deep a call goes, and how much one has to choose

def deepest(call) -> list[str]:
    "The most frames of the package that are on top of each other during a call, in any thread"
    import taidpt
    home = Path(taidpt.__file__).parent
    found = {0: []}               # by how many they are: threads lose no maximum

    def look(frame, event, _):
        if event != 'call' or not frame.f_code.co_filename.startswith(str(home)): return
        frames = []
        while frame is not None:
            code = frame.f_code
            ours = code.co_filename.startswith(str(home)) and not code.co_name.startswith('<')
            if ours: frames.append(code)
            frame = frame.f_back
        found.setdefault(len(frames), frames)

    threading.setprofile(look)
    sys.setprofile(look)
    try: call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    outermost_first = reversed(found[max(found)])
    return [f'{Path(code.co_filename).stem}.{code.co_name}' for code in outermost_first]


@contextmanager
def two_threads():
    "PyTorch with two threads: with one, pictures are encoded in a thread with frames of its own"
    import torch
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def deep_calls() -> dict[str, list[str]]:
    "Frames of learning, of prediction and of the command that tags: what `DEPTHS` bounds"
    from taidpt.all import VOC2007, NounFilter, TaIDPT, bundled_captions, bundled_photos, load_clip
    from taidpt.apps.cli import main
    photos = [str(path) for path in bundled_photos().pictures[:2]]
    sentences = ['a dog beside a bus', 'two people on a sofa with a cat']
    train = NounFilter(VOC2007).label(sentences, progress=False)
    model = TaIDPT(load_clip(), VOC2007, epochs=1, templates=False)
    some = list(islice(bundled_captions(), 100))
    few_captions = mock.patch('taidpt.baselines.concepts.bundled_captions', lambda: some)
    with redirect_stdout(io.StringIO()), warnings.catch_warnings(), two_threads(), few_captions:
        warnings.simplefilter('ignore')                         # that few sentences name a class
        return {
            'frames of fit': deepest(lambda: model.fit(train, progress=False)),
            'frames of predict': deepest(lambda: model.predict(photos, progress=False)),
            'frames of tag': deepest(lambda: main(['tag', '--classes', 'cat,dog', *photos])),
        }


def parameters(function) -> int:
    "How many parameters a function or method has"
    return sum(name != 'self' for name in inspect.signature(function).parameters)


def choices() -> dict[str, int]:
    "Parameters of the learner: what `CHOICES` bounds"
    from taidpt.all import TaIDPT
    return {
        'parameters of TaIDPT': parameters(TaIDPT.__init__),
        'parameters of fit': parameters(TaIDPT.fit),
        'parameters of predict': parameters(TaIDPT.predict),
    }


def options() -> int:
    "Options of all commands"
    from typer.main import get_command

    from taidpt.apps.cli import app
    found = 0
    for command in get_command(app).commands.values():
        for parameter in command.params:
            found += parameter.param_type_name == 'option' and parameter.name != 'help'
    return found


# How much a page of the spine asks of a reader

CHECKS = r'^\s*(assert\b|test_\w+\(|expect\w*\(|with (expect|raises|warns|Exp))'


DRAWING = r'<svg.*?</svg>'
PICTURE = r'!\[|<svg|<img|<picture'


def shows_a_picture(cell) -> bool:
    "Does a cell hold a picture, in its text or among its outputs?"
    if cell.cell_type == 'markdown': return bool(re.search(PICTURE, cell.source))
    outputs = [out.get('data', {}) for out in cell.get('outputs', [])]
    kinds = {kind for data in outputs for kind in data}
    drawn = any(kind.startswith('image/') for kind in kinds)
    return drawn or bool(re.search('<svg|<img', str(outputs)))


def words_of(text: str) -> int:
    "How many words a text has; an equation is one, a drawing or a tag none"
    text = re.sub(DRAWING, '', text, flags=re.DOTALL)
    text = re.sub(r'\$\$.*?\$\$|\$.*?\$', 'x', text, flags=re.DOTALL)
    text = re.sub(r'</?[a-z][^<>]*>', '', text)
    return len(re.findall(r"\w[\w'’-]*", text))


def words_in(cell) -> int:
    "How many words of prose a cell has"
    return words_of(cell.source) if cell.cell_type == 'markdown' else 0


def code_lines(cell) -> int:
    "How many lines of code a cell has, but for directives"
    if cell.cell_type == 'markdown': return 0
    lines_of_cell = cell.source.splitlines()
    return sum(bool(line.strip()) and not line.startswith('#|') for line in lines_of_cell)


def is_test(cell) -> bool:
    "Does a cell check something?"
    checks = re.search(CHECKS, cell.source, re.MULTILINE)
    return bool(checks) and '#| export' not in cell.source


def before_edge_cases(cell) -> bool:
    "Is it another cell than the heading of a page's edge cases?"
    heading = re.search('^#+ Edge cases', cell.source, re.MULTILINE)
    return cell.cell_type != 'markdown' or not heading


def lines_in_sight(cell) -> int:
    "How many lines of code a cell of the site shows: none if they are folded or left out"
    tags = cell.metadata.get('tags', [])
    return 0 if {'hide-cell', 'hide-input', 'remove-input'} & {*tags} else code_lines(cell)


def height(cell) -> float:
    """About how many pixels a cell takes on the site, on a desk: a line of text has 14 words and
    26 pixels, one of code 18, one of output 17, a fold 30, and each cell 20 around it"""
    if cell.cell_type == 'markdown': return 20 + 26*words_in(cell)/14
    tags = cell.metadata.get('tags', [])
    if 'hide-cell' in tags: return 50
    fold = 30 if 'hide-input' in tags else 0
    outputs = [str(out.get('text', '')) for out in cell.get('outputs', [])]
    printed = sum(len(text.splitlines()) for text in outputs)
    return 20 + fold + 18*lines_in_sight(cell) + 17*printed


def above_picture(cells: list) -> float:
    """About how many pixels stand above the first picture, or above the code that draws it;
    infinite without one"""
    above = list(takewhile(lambda cell: not shows_a_picture(cell), cells))
    if len(above) == len(cells): return math.inf
    pixels = sum(map(height, above))
    last = cells[len(above)]
    if last.cell_type != 'markdown': return pixels
    before, *_ = re.split(PICTURE, last.source)
    return pixels + 26*words_of(before)/14


def split_exercises(cells: list) -> tuple[list, list]:
    "Cells to read, and those of exercises, from a heading of that name to the next heading"
    read, exercises = [], []
    found = read
    for cell in cells:
        heading = re.match(r'#+ (\w+)', cell.source) if cell.cell_type == 'markdown' else None
        if heading: found = exercises if heading[1].startswith('Exercise') else read
        found.append(cell)
    return read, exercises


def sitting(path: Path) -> dict[str, float]:
    """What a page asks of a reader: minutes, from the words and the code in sight; lines of the
    longest exported cell in sight; pixels above the first picture; words of prose, and of
    exercises, which one may leave out; the share of tests, in percent of the code before its edge
    cases"""
    on_site = build.visible(path).cells
    exported = [cell for cell in on_site if 'exported' in cell.metadata.get('tags', [])]
    cells, exercises = split_exercises(nbformat.read(path, as_version=4).cells)
    main_part = list(takewhile(before_edge_cases, cells))
    code = sum(map(code_lines, main_part))
    tests = sum(map(code_lines, filter(is_test, main_part)))
    prose = sum(map(words_in, on_site))
    in_sight = sum(map(lines_in_sight, on_site))
    return {
        'minutes': prose/WORDS_A_MINUTE + in_sight/LINES_A_MINUTE,
        'longest cell': max(map(lines_in_sight, exported), default=0),
        'first picture': above_picture(on_site),
        'words': sum(map(words_in, cells)),
        'words of exercises': sum(map(words_in, exercises)),
        'tests': 100*tests/max(code, 1),
    }


# All of it

def measure(root: Path) -> tuple[dict[str, float], list[str]]:
    "The bounded figures of a checkout, and where they come from, in words"
    found = modules(root)
    told = out_of_order(found, pages(root))
    calls = deep_calls()
    counted = {name: len(some) for name, some in (told | calls).items()}
    words = [f'{name}: {one}' for name, wrong in told.items() for one in wrong]
    for name, frames in calls.items():
        if len(frames) > BOUNDS[name]: words.append(f'{name}: {" > ".join(frames)}')
    return readability(found) | counted | choices(), words


def passed(figures: dict[str, float]) -> list[str]:
    "The figures above their bounds, in words"
    over = {name: value for name, value in figures.items() if value > BOUNDS[name]}
    return [f'{name}: {value:.4g}, at most {BOUNDS[name]:g}' for name, value in over.items()]


def counts(root: Path) -> dict[str, int]:
    "How much there is of a checkout; no bound"
    found = modules(root)
    of_each = [tokens(module.code) for module in found]
    nodes = [node for module in found for node in ast.walk(module.tree)]
    definitions = *FUNCTIONS, ast.ClassDef
    return {
        'modules': len(found),
        'notebooks': len(pages(root)),
        'functions and classes': sum(isinstance(node, definitions) for node in nodes),
        'lines of code': sum(lines(some) for some in of_each),
        'tokens': sum(len(some) for some in of_each),
        'options of all commands': options(),
    }


def longest(found: list[Module], over: int = 250) -> dict[str, int]:
    "Functions over so many tokens, the longest first"
    sizes = {}
    for module in found: sizes |= function_sizes(module)
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    return {name: size for name, size in ordered if size > over}


def main(root: Path) -> bool:
    "Print everything; True if a bound is passed"
    figures, wrong = measure(root)
    for name, value in figures.items():
        remark = '   <- too many' if value > BOUNDS[name] else ''
        print(f'{value:8.4g}  {name}, at most {BOUNDS[name]:g}{remark}')
    for name, value in counts(root).items(): print(f'{value:8,}  {name}')
    if wrong: print('\nWrong:', *wrong, sep='\n')

    print('\nFunctions over 250 tokens')
    for name, size in longest(modules(root)).items(): print(f'{size:8}  {name}')

    allowed = ', '.join(f'{most:,} {what}' for what, most in SITTING.items())
    print(f'\nA page of the spine, of at most {allowed}')
    for path in sorted((root/'nbs').glob('[01]*.ipynb')):
        asked = sitting(path)
        found = [f'{value:8,.0f} {what}' for what, value in asked.items()]
        over = any(value > SITTING[what] for what, value in asked.items())
        print(f'{path.stem:16}', *found, '  <- too much' if over else '')
    return bool(passed(figures))


if __name__ == '__main__':
    here = Path(__file__).resolve().parent.parent
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else here))
