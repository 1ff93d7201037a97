"""Turn the notebooks into README.md and into the site's source.

    python docs/build.py readme     nbs/index.ipynb -> README.md
    python docs/build.py site       nbs/**/*.ipynb  -> docs/_build/src, for Sphinx with MyST-NB
    python docs/build.py html [DIR] the same, and then the site in docs/_build/html, or DIR

Nothing is executed: pages show the outputs that the notebooks hold. nbdev's processors do what its
own site does with `#| hide`, `#| hide_line`, `#| filter_stream` and back-quoted names. Unlike
there, exported code stays visible, since it is what the notebooks explain, unless its cell asks
with `#| code-fold: true` to be folded. The reference, a page for each module, is read off the
package itself: signatures, docments and docstrings.
(`nbdev_readme` and `nbdev_proc_nbs` themselves want Quarto, a program that nothing else here needs;
`quarto-cli` on PyPI downloads it when it is installed.)
"""
import ast
import importlib
import inspect
import json
import re
import shutil
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib.util import resolve_name
from pathlib import Path
from subprocess import run
from types import ModuleType
from typing import Annotated, NamedTuple, get_args, get_origin
from uuid import uuid4

import figures
import nbformat
import numpy as np
from fastcore.docments import docments, empty
from nbconvert import MarkdownExporter
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import NBProcessor
from nbdev.processors import filter_stream_, hide_line, strip_ansi
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

root = Path(__file__).resolve().parent.parent
nbs = root/'nbs'
images = root/'docs/images'
pages = root/'docs/_build/src'
sections = {                                  # title -> notebooks of nbs/, in this order
    'Use it': (
        'tutorials/your_own_classes apps/command tutorials/read_a_report tutorials/bring_your_clip '
        'tutorials/serve apps/onnx apps/hub'),
    'Learn it': 'tutorials/learn tutorials/touch [01]?_* tags glossary tutorials/teach',
    'Does it hold?': (
        'paper/report paper/what_matters paper/clips tutorials/reproduce_the_paper '
        'tutorials/reproduce_on_colab paper/table1 paper/pictures paper/family '
        'paper/rank_pictures paper/differences'),
    'Extend it': (
        'tutorials/your_own_idea wrappers baselines/concepts baselines/coop baselines/tipadapter '
        'datasets/labelled evaluate'),
}                                             # `reference_page` lists all others
root_files = ['CHANGELOG.md', 'SECURITY.md', 'LICENSES.md']        # shown as they are
# What people search for: page, or page#heading -> words that it answers to, also in other words
# than its own; they go into the site's index
ASKED = {
    'index#Licence and citation': 'cite, citation, how to cite, bibtex',
    'index#Install': 'install, installation, getting started',
    'tutorials/your_own_classes': 'tag my photos, tag photos, label my pictures, custom classes',
    'tutorials/your_own_classes#Your own captions': 'own captions, my captions, captions.txt',
    'glossary#temperature': 'tau_s, τ_s, tau, temperature',
    'wrappers#Without what all classes share': 'Centred, centring, centered, subtract the mean',
    'tutorials/bring_your_clip': 'my own CLIP, fine-tuned CLIP, SigLIP, OpenCLIP',
    'tutorials/reproduce_on_colab': 'run on Colab, free GPU, Google Colab',
    'tutorials/serve#Speed': 'speed, how fast, latency, benchmarks',
    'tutorials/serve#On a GPU': 'GPU, CUDA',
    'paper/what_matters#Which loss?': 'modality gap',
    'baselines/concepts#Noise': 'noise and modality gap',
    '05_losses#Ranking loss': 'loss and modality gap',
    'security#Without a network': 'install offline, offline, without internet, air-gapped',
}

CREDIT = 'COCO {coco_id}, {license} ({license_url}), {source}'

SITE = '''# This site

Made from {notebooks} notebooks, each with the outputs that are stored in it, and from the \
docstrings of {modules} modules. Nothing is run to make it, and nothing of it comes from another \
server: no script, no font, no picture. It weighs SITE-WEIGHT, without the model of \
[Try it](try.md), which comes when it is used.

It is made with [Sphinx](https://www.sphinx-doc.org), [MyST-NB](https://myst-nb.readthedocs.io), \
[Furo](https://pradyunsg.me/furo/) and \
[sphinx-copybutton](https://sphinx-copybutton.readthedocs.io). `make docs` builds it.
'''


# Notebooks and their cells

def notebooks(folder: Path = nbs) -> list[Path]:
    "Notebooks in order; names that start with a dot or an underscore are left out"
    def is_page(path):
        return not any(part[0] in '._' for part in path.relative_to(folder).parts)
    return sorted(filter(is_page, folder.rglob('*.ipynb')))


def made(kind: str, source: str, metadata: dict|None = None, **more) -> nbformat.NotebookNode:
    "A cell; `nbformat.write` checks all of a notebook's at once"
    cell = dict(cell_type=kind, id=uuid4().hex[:8], source=source, metadata=metadata or {}, **more)
    return nbformat.from_dict(cell)


def visible(path: Path) -> nbformat.NotebookNode:
    "The notebook as a reader is to see it: directives obeyed and removed, hidden cells gone"
    proc = NBProcessor(path, procs=[hide_line, filter_stream_, strip_ansi])
    written = nbformat.read(path, as_version=4)
    sources = {cell.id: cell.source for cell in written.cells}
    heading = ''
    for cell in proc.nb.cells:
        if cell.cell_type == 'markdown': heading = last_heading(cell.source) or heading
        mark(cell, heading, sources.get(cell.id, ''))
    proc.process()
    metadata = {**written.metadata, 'language_info': {'name': 'python'}}
    nb = nbformat.v4.new_notebook(metadata=metadata)
    for cell in proc.nb.cells:
        if cell.cell_type == 'raw' or 'drop' in cell.metadata['tags'] or not cell.source.strip():
            continue
        if cell.cell_type == 'markdown': nb.cells.append(made('markdown', cell.source))
        else: nb.cells.append(shown(cell))
    return nb


def last_heading(text: str) -> str:
    "The last heading of a text cell, '' without one"
    headings = re.findall(r'^#+ (.+)', text, flags=re.MULTILINE)
    return headings[-1] if headings else ''


def mark(cell, heading: str = '', source: str = ''):
    """Note in a cell's metadata what its directives ask for, its figure's words, and how it folds:
    under the heading of an exercise, a folded cell is the answer; `source` has its directives"""
    directives = cell.directives_
    hidden = {'hide', 'default_exp'} & directives.keys()
    tags = {
        'remove-input': directives.get('echo:') == ['false'],
        'remove-output': directives.get('output:') == ['false'],
        'hide-input': directives.get('code-fold:') == ['true'],
        'exported': 'export' in directives,
        'drop': hidden or directives.get('include:') == ['false'],
    }
    cell.metadata['tags'] = [tag for tag, wanted in tags.items() if wanted]
    if cell.cell_type != 'code': return
    alt = described(cell, source)
    if alt: cell.metadata['mystnb'] = dict(image=dict(alt=alt))
    answers = heading.startswith('Exercise') and tags['hide-input']
    if answers:                                             # what they print is folded, too
        cell.metadata['tags'].remove('hide-input')
        cell.metadata['tags'].append('hide-cell')
    kind = fold_kind(cell, answers)
    if kind == 'Imports': cell.metadata['tags'].append('hide-input')
    if kind: cell.metadata['mystnb'] = fold_as(kind)


def without_directives(source: str) -> str:
    "Code without the lines that speak to nbdev"
    return re.sub(r'^#\|.*\n', '', source, flags=re.MULTILINE)


def shown(cell) -> nbformat.NotebookNode:
    "A code cell of nbdev's, which holds text as lists of lines, as one of nbformat's"
    outputs = [nbformat.from_dict(dict(out)) for out in cell.get('outputs', [])]
    for out in outputs:
        if isinstance(out.get('text'), list): out.text = ''.join(out.text)
        for mime, data in out.get('data', {}).items():
            if isinstance(data, list): out.data[mime] = ''.join(data)
    metadata = {key: cell.metadata[key] for key in ('tags', 'mystnb') if key in cell.metadata}
    source = without_directives(cell.source)
    return made('code', source, metadata, outputs=outputs, execution_count=None)


def statements(source: str) -> list[ast.stmt]:
    "The statements of a cell; none if it is not Python, as with `%` and `!`"
    try: return ast.parse(source).body
    except SyntaxError: return []


def only_imports(body: list[ast.stmt]) -> bool:
    "Are there statements that import, and nothing else, also under `if TYPE_CHECKING`?"
    if not body: return False
    for statement in body:
        typing = isinstance(statement, ast.If) and ast.unparse(statement.test) == 'TYPE_CHECKING'
        inner = statement.body if typing else [statement]
        if not all(isinstance(s, (ast.Import, ast.ImportFrom)) for s in inner): return False
    return True


THE_CODE = 'The code'


def fold_kind(cell, is_answer: bool) -> str:
    "What a cell is a click away as, '' for one in sight or folded without words of its own"
    if is_answer: return 'Answer'
    if not cell.get('outputs') and only_imports(statements(cell.source)): return 'Imports'
    folded_code = {'hide-input', 'exported'} <= set(cell.metadata['tags'])
    return THE_CODE if folded_code and not cell.get('outputs') else ''


def fold_as(label: str) -> dict:
    "What tells MyST-NB the words that a fold shows"
    return dict(code_prompt_show=label, code_prompt_hide=label)


def name_fold(cell):
    "Say of a fold of exported code which public names it defines, or that it has helpers alone"
    if fold_label(cell) != THE_CODE: return
    kinds = ast.ClassDef, ast.FunctionDef
    names = [s.name for s in statements(cell.source) if isinstance(s, kinds)]
    public = ', '.join(name for name in names if not name.startswith('_'))
    cell.metadata['mystnb'] = fold_as(f'{THE_CODE} of {public}' if public else 'Helpers')


def fold_label(cell) -> str|None:
    "What a cell is folded away as, None for one in sight"
    return cell.metadata.get('mystnb', {}).get('code_prompt_show')


def are_code(*cells): return all(cell.cell_type == 'code' for cell in cells)


def side_by_side(cells: list) -> list:
    "Cells that are folded away as the same thing, one after the other, as one"
    out = []
    for cell in cells:
        before = out[-1] if out else None
        alike = before and are_code(before, cell) and fold_label(cell) == fold_label(before)
        if alike and fold_label(cell):
            before.source += f'\n\n{cell.source}'
            before.outputs += cell.outputs
        else:
            out.append(cell)
    return out


def joined(cells: list) -> list:
    """Code cells that follow each other without an output between them as one, so that imports and
    their use are copied together"""
    out = []
    for cell in cells:
        before = out[-1] if out else None
        if before and are_code(before, cell) and not before.outputs:
            before.source = f'{before.source}\n\n{cell.source}'
            before.outputs = cell.outputs
        else:
            out.append(cell)
    return out


def figure_alt(source: str) -> str:
    "The words of `#| fig-alt:`, on its line or, after `>-`, on the indented ones below; '' if none"
    match = re.search(r'^#\| fig-alt: (?:>-\n((?:#\|   .+\n)+)|(.+))', f'{source}\n', re.MULTILINE)
    if not match: return ''
    below, beside = match.groups()
    return ' '.join((below or beside).replace('#|', '').split())


def described(cell, source: str) -> str:
    """What a cell's figure shows, in words: from the `#| fig-alt:` of its whole source, or the text
    that the figure prints as (`taidpt.plots.DescribedFigure`)"""
    alt = figure_alt(source)
    if alt: return alt
    for out in cell.get('outputs', []):
        data = out.get('data', {})
        if not any(mime.startswith('image/') for mime in data): continue
        text = ''.join(data.get('text/plain', ''))
        return '' if text.startswith('<') else ' '.join(text.split())
    return ''


# Figures

def drawn(out: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    "An output; a drawing for light and dark pages, as one output for each of its panels"
    svg = out.get('data', {}).get('image/svg+xml')
    if not svg: return [out]
    parts = [figures.for_pages(part) for part in figures.panels(svg)]
    return [nbformat.from_dict(dict(out, data={'image/svg+xml': part})) for part in parts]


def with_panels(cell) -> list:
    "A cell; its first figure that has panels follows as a cell of its own"
    rows = [drawn(out) for out in cell.get('outputs', [])]
    wide = next((row for row in rows if len(row) > 1), [])
    if 'outputs' in cell: cell.outputs = [out for row in rows if row is not wide for out in row]
    if not wide: return [cell]
    metadata = cell.metadata | dict(tags=['panels', 'remove-input'])
    return [cell, made('code', 'figure', metadata, outputs=wide, execution_count=None)]


# The front page

def readme() -> str:
    "README.md's text, from the front page"
    nb = visible(nbs/get_config().readme_nb)
    for cell in nb.cells:
        tags = cell.metadata.get('tags', [])
        if 'remove-input' in tags: cell.source = ''
        if 'remove-output' in tags: cell.outputs = []
    nb.cells = joined(nb.cells)
    text, resources = MarkdownExporter().from_notebook_node(nb)
    if resources.get('outputs'):
        sys.exit(
            'index.ipynb has a figure among its outputs. Save it under docs/images, hide the cell '
            'that draws it, and show it in a text cell: ![what it shows](../docs/images/NAME.png)')
    # links leave from the root now
    text = re.sub(r'(\]\(|src="|srcset="|href=")\.\./', r'\1', text)
    text = re.sub(r'(\]\(|href=")([\w/]+\.ipynb)', rf'\1{nbs.name}/\2', text)
    text = text.replace('](try.md)', '](https://taidpt.github.io/taidpt/try.html)')
    text = text.replace('```python\n\n```\n', '')                      # an output without its code
    text = re.sub(r'\n{3,}', '\n\n', text).strip()
    remark = '<!-- From nbs/index.ipynb by `make readme` -->'
    return f'{remark}\n\n{text}\n'


# The site's pages

def bound(tree: ast.AST) -> set[str]:
    "The names that code defines: functions, classes, parameters and variables"
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)): names.add(node.name)
        elif isinstance(node, ast.arg): names.add(node.arg)
        elif isinstance(node, ast.Assign):
            targets = [name for target in node.targets for name in ast.walk(target)]
            names |= {name.id for name in targets if isinstance(name, ast.Name)}
    return names


def defines(module: str, name: str) -> bool:
    return f'{module}.{name}' in index().get(module, {})


def imported(tree: ast.AST, package: str = 'taidpt') -> dict[str, str]:
    "Names that code imports, or takes from a module that it imports -> the module of each"
    pairs = []
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = resolve_name('.'*node.level + (node.module or ''), package)
            for name in node.names:
                pairs.append((name.name, module))
                modules[name.asname or name.name] = f'{module}.{name.name}'
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            pairs.append((node.attr, modules.get(node.value.id, '')))
    return {name: module for name, module in pairs if defines(module, name)}


@cache
def imported_by_all() -> dict[str, str]:
    return imported(ast.parse((root/'taidpt/all.py').read_text(encoding='utf-8')))


class Names(NbdevLookup):
    """nbdev's links for one page. What the page's code defines is no link, nor is the name of a
    class. If several modules define a name, the page means the one that it imports the name from,
    or else the one that `taidpt.all` imports it from, or none."""
    def __init__(self, code: ast.AST, package: str = 'taidpt'):
        super().__init__()
        classes = importlib.import_module('taidpt.classes')
        sets = classes.VOC2007, classes.COCO, classes.NUSWIDE
        self.unlinked = bound(code).union(*(class_set.names for class_set in sets))
        self.modules = imported_by_all() | imported(code, package)

    def __getitem__(self, name: str):
        if name.partition('.')[0] in self.unlinked: return None
        owners = [module for module in index() if defines(module, name)]
        if len(owners) > 1: name = f'{self.modules.get(name)}.{name}'
        return super().__getitem__(name)

    def link_line(self, line: str) -> str:
        "A line with its links; headings and links stay as they are"
        if line.startswith('#'): return line
        parts = re.split(r'(\[[^]]*\]\([^)]*\))', line)
        parts[::2] = [super(Names, self).link_line(part) for part in parts[::2]]
        return ''.join(parts)


def names_of(path: Path) -> Names:
    "What names mean in a notebook; `train` on a page that explains `taidpt train` is the command"
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == 'code']
    text = '\n'.join(cell.source for cell in cells if cell.cell_type == 'markdown')
    names = Names(ast.Module(sum(map(statements, code), []), []))
    names.unlinked |= set(re.findall(r'^#+ taidpt (\w+)', text, flags=re.MULTILINE))
    return names


def names_in(module: ModuleType) -> Names:
    "What names mean in a module's docstrings; what it defines is explained in its notebook"
    names = Names(ast.parse(inspect.getsource(module)), module.__package__)
    prefix = f'{module.__name__}.'
    defined = {name.removeprefix(prefix) for name in index()[module.__name__]}
    names.unlinked -= defined
    names.modules |= dict.fromkeys(defined, module.__name__)
    return names


class Links(NamedTuple):
    "How names in a text become links"
    link: Callable[[str, str, Names], str]   # text, how far up the root is -> text with links
    where: dict[str, Path]                   # page as nbdev's links spell it -> its path in nbs/


def linker() -> Links:
    "What links public names in a text to the notebook that defines them"
    cfg = get_config()
    address = re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/')
    ours = re.compile(
        r'\[(`[^`]+`)\]\(' + address + r'((?:[\w-]+/)*[\w-]+)\.html(#[\w.]+)?\)')
    where = {}
    for path in notebooks():
        page = path.relative_to(nbs)
        name = page.with_suffix('').as_posix().lower()
        where[re.sub(r'(^|/)\d+_', r'\1', name)] = page

    def link(text: str, up: str, names: Names) -> str:
        def to_page(match):
            name, page, anchor = match.groups('')
            target = f'{up}{where[page].with_suffix(".html")}{anchor}'
            return f'<a href="{target}"><code>{name[1:-1]}</code></a>'
        linked = (names.linkify(text) or text) if text else ''
        return ours.sub(to_page, linked)

    return Links(link, where)


def in_colab(path: Path) -> list[nbformat.NotebookNode]:
    "A link to Colab, for a notebook with a cell that installs the package there"
    if '[ -e /content ]' not in path.read_text(encoding='utf-8'): return []
    cfg = get_config()
    repository = cfg.git_url.replace('//github.com', '//colab.research.google.com/github')
    where = f'{repository}/blob/{cfg.branch}/{path.relative_to(root).as_posix()}'
    return [made('markdown', f'[Open in Colab]({where})')]


def definitions(source: str) -> list[str]:
    """What a cell defines, spelt as in the anchors of nbdev's links: `local_scores`, `classset`,
    `classset.from_file`"""
    names = []
    owner = None
    defined = re.findall(r'^( {4})?(?:async )?(def|class) (\w+)', source, flags=re.MULTILINE)
    for indent, kind, name in defined:
        if not indent:
            owner = name if kind == 'class' else None
            names.append(name)
        elif owner:
            names.append(f'{owner}.{name}')
    patch = r'^@patch\b.*\n(?:@.*\n)*(?:async )?def (\w+)\(\s*(?:self|cls) *: *(\w+)'
    patched = re.findall(patch, source, flags=re.MULTILINE)
    names += [f'{owner}.{name}' for name, owner in patched]
    return [name.lower() for name in names]


def in_both(match: re.Match, folder: Path) -> str:
    """A picture of a screen, twice if there is one of a dark screen beside it: `NAME.jpg` for light
    pages, `NAME-dark.jpg` for dark ones"""
    alt, path, kind = match.groups()
    dark = f'{path}-dark.{kind}'
    if not (folder/dark).is_file(): return match[0]
    light = f'![{alt}]({path}.{kind}){{.screen .only-light}}'
    return f'{light}![{alt}]({dark}){{.screen .only-dark}}'


def prose(text: str, page: Path, link: Callable) -> str:
    "A text cell of a page, with its links as the site needs them"
    cfg = get_config()
    depth = len(page.parts)
    up = '../'*(depth - 1)
    text = link(text, up)
    folder = (nbs/page).parent
    text = re.sub(r'!\[([^]]*)\]\(([^)]+)\.(jpg)\)', lambda match: in_both(match, folder), text)
    link = r'(?<!!)\[([^][]+)\]\((?:\.\./)+docs/images/([\w-]+\.svg)\)'      # no second copy of it
    text = re.sub(link, rf'<a href="{up}_static/\2">\1</a>', text)
    text = re.sub(r'(\]\()(\.\./)+docs/images/', rf'\1{up}images/', text)
    # HTML, which Sphinx leaves as it is
    text = re.sub(r'(src="|srcset=")(\.\./)+docs/images/', rf'\1{up}_static/', text)
    # other files, which are no pages
    blob = f'{cfg.git_url}/blob/{cfg.branch}/'
    return re.sub(rf'\]\((\.\./){{{depth}}}(?!\.)', f']({blob}', text)


def indexed(page: str, text: str) -> str:
    """A text with entries of the site's index, which its search reads: below the page's title, or
    the heading that answers"""
    for place, words in ASKED.items():
        name, _, heading = place.partition('#')
        if name != page: continue
        main = ', '.join(f'! {word}' for word in words.split(', '))
        entry = f'```{{index}} {main}\n```'
        title = rf'^#+ {re.escape(heading)}.*' if heading else r'\A# .+'
        text = re.sub(title, rf'\g<0>\n\n{entry}', text, flags=re.MULTILINE)
    return text


def page_of(path: Path, link: Callable) -> nbformat.NotebookNode:
    "A notebook as Sphinx reads it"
    page = path.relative_to(nbs)
    nb = visible(path)
    summary = '' if page.name[0].isdigit() else r'\2'             # of a page of the method: no more
    nb.cells[0].source = re.sub(r'\A(# .+)(\n\n> .+)', r'\1' + summary, nb.cells[0].source)
    nb.cells += in_colab(path)
    link = partial(link, names=names_of(path))
    anchored = set()
    cells = []
    for cell in side_by_side(nb.cells):
        if cell.cell_type == 'markdown':
            name = page.with_suffix('').as_posix()
            cell.source = indexed(name, prose(cell.source, page, link))
        else:
            new = [name for name in definitions(cell.source) if name not in anchored]
            anchored.update(new)
            anchors = ''.join(f'<a id="{name}"></a>' for name in new)
            if anchors: cells.append(made('markdown', anchors))
            name_fold(cell)
        cells += with_panels(cell)
    if page.name == get_config().readme_nb: cells.append(made('markdown', contents()))
    for i, cell in enumerate(cells): cell['id'] = f'cell-{i}'
    nb.cells = cells
    return nb


def write_about():
    "Write the pages that are files of the root"
    cfg = get_config()
    blob = f'{cfg.git_url}/blob/{cfg.branch}/'
    addresses = '|'.join(name.lower() for name in root_files)
    for name in root_files:
        text = (root/name).read_text(encoding='utf-8')
        for other in root_files: text = text.replace(f']({other})', f']({other.lower()})')
        text = re.sub(rf'\]\((?![a-z]+:|#)(?!(?:{addresses})\))', f']({blob}', text)
        text = indexed(Path(name).stem.lower(), text)
        (pages/name.lower()).write_text(text, encoding='utf-8')


def site():
    "Write the pages that Sphinx reads"
    links = linker()
    shutil.rmtree(pages, ignore_errors=True)
    reference(links)
    reference_page(links)
    for path in notebooks():
        target = pages/path.relative_to(nbs)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(page_of(path, links.link), target)
    write_about()
    shutil.copy(nbs/'try.md', pages)
    counted = sum(map(bool, modules().values()))
    text = SITE.format(notebooks=len(notebooks()), modules=counted)
    (pages/'site.md').write_text(text, encoding='utf-8')
    if images.is_dir(): shutil.copytree(images, pages/'images')
    # of notebooks that Voilà serves: it sees no other folder
    for folder in nbs.rglob('images'): shutil.copytree(folder, pages/folder.relative_to(nbs))
    print(f'{len(notebooks())} pages in {pages.relative_to(root)}')


FIRST = '000000011149.jpg'                    # the photo that Try it opens with, as the front page


def rounded(values) -> list: return np.round(np.asarray(values, float), 4).tolist()


def tagged(model, photo: Path) -> dict:
    "What the app finds in a photo (`found` in page.js), for a page that has not fetched the model"
    scores, maps = (f([photo], progress=False) for f in (model.predict, model.predict_dense))
    branches = model.predict_branches([photo], progress=False)
    weights = (maps/model.image_tau()).flatten(2).softmax(-1).view_as(maps)
    return dict(
        names=list(model.classes.names),
        scores=rounded(scores[0]),
        limits=rounded(model.rule().thresholds(scores)[0]),
        branches=[rounded(branch[0]) for branch in branches],
        maps=rounded(maps[0]),
        weights=rounded(weights[0]))


def try_it(folder: Path):
    """Write the app of the page Try it: the bundled prompts and photos, and ONNX Runtime from npm;
    without npm, the app takes it from a public server"""
    from taidpt.all import TaIDPT, load_clip, photo_credits
    from taidpt.apps.onnx import export_page
    clip = load_clip()
    models = {name: TaIDPT.load(root/f'taidpt/data/prompts/{name}.safetensors', clip)
              for name in ('voc2007', 'coco')}
    runtime = None
    if shutil.which('npm'):
        run(['npm', 'install', '--silent', '--no-audit'], cwd=root/'docs', check=True)
        runtime = root/'docs/node_modules/onnxruntime-web/dist'
    export_page(models, folder, words=True, runtime=runtime)
    shutil.copytree(root/'taidpt/data/coco_demo/images', folder, dirs_exist_ok=True)
    page = folder/'page.json'
    content = json.loads(page.read_text())
    content['photos'] = [
        [f'Labelled {", ".join(its["labels"])}', its['image'], CREDIT.format(**its)]
        for its in photo_credits().values()]
    first = folder/FIRST
    with Image.open(first) as image: ImageOps.fit(image, (224, 224)).save(folder/'first.jpg')
    content['first'] = dict(
        photo=list(photo_credits()).index(FIRST), view='first.jpg',
        result=tagged(models['voc2007'], first))
    page.write_text(json.dumps(content))


def html(out: Path = root/'docs/_build/html') -> int:
    "Write the pages and let Sphinx make the site of them; its exit status"
    from sphinx.cmd.build import main as sphinx
    site()
    try_it(out/'page')
    trees = out.parent/'doctrees'
    options = ['-q', '-W', '--keep-going', '-c', str(root/'docs'), '-d', str(trees)]
    return sphinx([*options, str(pages), str(out)])


# The reference

def escaped(text: str) -> str:
    "A text as a cell of a table"
    return text.replace('|', '\\|')


def type_name(kind) -> str:
    "A type as it is read: `Tensor | None`"
    if kind is empty or kind is None: return ''
    if get_origin(kind) is Annotated: kind, *_ = get_args(kind)   # the rest is Typer's, of options
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    dozen = inspect.formatannotation(ArrayLike)[len('Union['):-1]          # its kinds, one by one
    text = text.replace(dozen, 'ArrayLike')
    if text.startswith('Union['):
        text = text[len('Union['):-1].replace('NoneType', 'None').replace(', ', ' | ')
    text = f'`{text}`'.replace('typing.', '').replace('torch.Tensor', 'Tensor')
    return escaped(re.sub(r'\b(?:[a-z_]+\.)+(?=[A-Z])', '', text))


def default_of(doc) -> str:
    "A parameter's default, without addresses in memory"
    if doc.default is empty: return ''
    text = re.sub(r' at 0x\w+', '', repr(doc.default))
    return f'`{escaped(text)}`'


def table(f: Callable, link: Callable) -> str:
    "The parameters of a function and what it gives, with types and defaults"
    def row(name, doc, default):
        description = link(' '.join((doc.docment or '').split()), '../')
        return f'| {name} | {type_name(doc.anno)} | {default} | {escaped(description)} |'

    docs = docments(f, full=True, returns=True)
    given = docs.pop('return', None)
    parameters = {name: doc for name, doc in docs.items() if name not in ('self', 'cls')}
    rows = [row(f'`{name}`', doc, default_of(doc)) for name, doc in parameters.items()]
    if given and (given.docment or given.anno not in (empty, None)):
        rows.append(row('*gives*', given, ''))
    if not rows: return ''
    return '| | type | default | |\n|---|---|---|---|\n' + '\n'.join(rows) + '\n\n'


def index() -> dict:
    "nbdev's index of the package: module -> name -> where it is explained"
    if str(root) not in sys.path: sys.path.insert(0, str(root))
    return importlib.import_module('taidpt._modidx').d['syms']


def modules() -> dict[str, list[str]]:
    "Public names of each module, methods with their class, also those that are added elsewhere"
    public = {}
    for module, owned in index().items():
        names = [name.removeprefix(f'{module}.') for name in owned]
        public[module] = [name for name in names if not re.search(r'(^|\.)_', name)]
    return public


def explaining(module: str, links: Links) -> Path:
    "The notebook that explains a module"
    page, _ = index()[module][f'{module}.{modules()[module][0]}'][0].split('#')
    return links.where[page.removesuffix('.html')]


def unwrapped(thing):
    "The function within a class method, Python's or fastcore's"
    return getattr(thing, '__func__', getattr(thing, 'f', thing))


def inherited(cls: type, owner: dict[str, str]) -> str:
    "Links to the classes of the package that a class inherits from; `owner`: the page of each"
    bases = [base.__name__ for base in cls.__mro__[1:] if base.__name__ in owner]
    links = ', '.join(f'[{name}]({owner[name]}.md#class-{name.lower()})' for name in bases)
    return f'It has all that these have: {links}.\n\n' if links else ''


def found_in(module, name: str):
    "A module's function, class, method or property by its name, None for none"
    thing = module
    for part in name.split('.'):
        get = inspect.getattr_static if inspect.isclass(thing) else getattr
        thing = get(thing, part, None)
    return None if thing is None else unwrapped(thing)


def entry(name: str, thing, owner: dict[str, str], link: Callable) -> str:
    "What the reference says of a function, class, method or property"
    f = thing.fget if isinstance(thing, property) else thing
    if not callable(f): return ''
    is_class = inspect.isclass(thing)
    heading = '###' if '.' in name else '##'
    kind = 'class ' if is_class else ''
    # without the arguments, which the table has
    documented = inspect.unwrap(f) if inspect.isfunction(f) else f
    description = link(inspect.getdoc(documented) or '', '../')
    takes = not isinstance(thing, property) and (not is_class or '__init__' in vars(thing))
    parameters = table(f, link) if takes else ''
    more = inherited(thing, owner) if is_class else ''
    return f'{heading} {kind}{name}\n\n{description}\n\n{parameters}{more}'


def reference(links: Links):
    "A page for each module: public names, signatures, docments, docstrings; what a class inherits"
    owner = {}
    for module, names in modules().items():
        owner |= {name: module.removeprefix('taidpt.') for name in names if '.' not in name}
    (pages/'reference').mkdir(parents=True)
    for name, public in modules().items():
        if not public: continue
        module = importlib.import_module(name)
        short = name.removeprefix('taidpt.')
        page = explaining(name, links)
        text = (
            f'# {short}\n\n{module.__doc__}. The notebook that explains it: '
            f'[{page.stem}](../{page.as_posix()}).\n\n'
            f'```python\nfrom {name} import *\n```\n\n')
        link = partial(links.link, names=names_in(module))
        for one in public:
            thing = found_in(module, one)
            if thing is not None: text += entry(one, thing, owner, link)
        (pages/'reference'/f'{short}.md').write_text(text, encoding='utf-8')


# The table of contents

def toctree(title: str, rows: list[str]) -> str:
    "A part of the table of contents"
    caption = f':caption: {title}\n' if title else ''
    listed = '\n'.join(rows)
    return f'```{{toctree}}\n{caption}:hidden:\n:maxdepth: 1\n\n{listed}\n```\n\n'


def entries(patterns: str) -> list[str]:
    "The notebooks of a section, in order"
    known = notebooks()
    chosen = []
    for pattern in patterns.split():
        paths = sorted(nbs.glob(f'{pattern}.ipynb'))
        chosen += [path.relative_to(nbs) for path in paths if path in known]
    return [page.with_suffix('').as_posix() for page in chosen]


def by_folder() -> dict[str, list[str]]:
    "The modules with public names, without `taidpt.`, in the folder of each; 'method' is the root"
    folders = {'method': []}
    for name, public in modules().items():
        if not public: continue
        short = name.removeprefix('taidpt.')
        folder = short.rpartition('.')[0] or 'method'
        folders.setdefault(folder, []).append(short)
    return folders


def title_of(page: str) -> str:
    "The title of a notebook of nbs/"
    cells = nbformat.read(nbs/f'{page}.ipynb', as_version=4).cells
    opening = next(cell for cell in cells if cell.source.startswith('# '))
    return opening.source.splitlines()[0].removeprefix('# ')


def beside_the_menu() -> list[str]:
    "The notebooks that no section of the menu has"
    known = [page.relative_to(nbs).with_suffix('').as_posix() for page in notebooks()]
    chosen = {Path(get_config().readme_nb).stem}
    for patterns in sections.values(): chosen.update(entries(patterns))
    return [page for page in known if page not in chosen]


def reference_page(links: Links):
    "Write the one page of the reference that the menu has: it leads to all that the menu lacks"
    text = '# Reference\n\n'
    listed = []
    explained = set()
    for folder, names in by_folder().items():
        text += f'## {folder.capitalize()}\n\n'
        text += '| module | what is in it | its page |\n|---|---|---|\n'
        for short in names:
            page = explaining(f'taidpt.{short}', links).with_suffix('').as_posix()
            line = importlib.import_module(f'taidpt.{short}').__doc__
            its_page = f'[{escaped(title_of(page))}](../{page}.ipynb)'
            text += f'| [{short}]({short}.md) | {escaped(line)} | {its_page} |\n'
            listed.append(short)
            explained.add(page)
        text += '\n'
    others = beside_the_menu()
    rows = [f'- [{title_of(page)}](../{page}.ipynb)\n' for page in others if page not in explained]
    for name in root_files:
        title = (root/name).read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')
        rows.append(f'- [{title}](../{name.lower()})\n')
        others.append(Path(name).stem.lower())
    text += '## Further pages\n\n' + ''.join(rows) + '\n'
    text += toctree('', [*(f'/{page}' for page in others), *listed])
    (pages/'reference/index.md').write_text(text, encoding='utf-8')


def contents() -> str:
    "The site's table of contents"
    rows = {title: entries(patterns) for title, patterns in sections.items()}
    rows['Use it'].insert(0, 'try')
    rows['Reference'] = ['reference/index', 'site']
    return ''.join(toctree(title, names) for title, names in rows.items())


def main():
    asked = sys.argv[1:]
    if asked == ['site']: site()
    elif asked[:1] == ['html']: sys.exit(html(*map(Path, asked[1:])))
    elif asked == ['readme']: (root/'README.md').write_text(readme(), encoding='utf-8')
    else: sys.exit(__doc__)


if __name__ == '__main__': main()
