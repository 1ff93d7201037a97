"""Turn the notebooks into README.md and into the site's source.

    python docs/build.py readme     nbs/index.ipynb -> README.md
    python docs/build.py site       nbs/**/*.ipynb  -> docs/_build/src, for Sphinx with MyST-NB
    python docs/build.py html       the same, and then the site in docs/_build/html

Nothing is executed: pages show the outputs that the notebooks hold. nbdev's processors do what its own site does with
`#| hide`, `#| hide_line`, `#| filter_stream` and back-quoted names. Unlike there, exported code stays visible, since it is
what the notebooks explain. The reference, a page for each module, is read off the package itself: signatures, docments and
docstrings. (`nbdev_readme` and `nbdev_proc_nbs` themselves want Quarto, which is not on PyPI.)
"""
import ast
import base64
import importlib
import inspect
import io
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, get_args, get_origin
from uuid import uuid4

import nbformat
import numpy as np
from fastcore.docments import docments, empty
from nbconvert import MarkdownExporter
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import NBProcessor
from nbdev.processors import filter_stream_, hide_line, strip_ansi
from numpy.typing import ArrayLike
from PIL import Image

root = Path(__file__).resolve().parent.parent
nbs, images, pages = root/'nbs', root/'docs/images', root/'docs/_build/src'
sections = {'Tutorials': 'tutorials/*', 'The method': '[01]?_*', 'Words and captions': 'text/*', 'CLIP and its features': 'encoders/*',
            'Data sets and baselines': 'datasets/* baselines/*', 'The paper': 'paper/*', 'Apps': 'apps/*',
            'Reference': 'glossary 99_all files plots'}                                                 # title -> notebooks of nbs/
about = ['CHANGELOG.md', 'SECURITY.md', 'LICENSES.md']             # of the root, shown as they are
first = dict(tutorials=['learn', 'touch', 'explorer', 'your_own_classes', 'bring_your_clip', 'your_own_idea', 'recipes', 'combine_with_pictures',
                        'reproduce_the_paper', 'serve', 'scaling'],
             text=['words', 'phrases', 'synonyms', 'published_labels', 'corpora'],
             encoders=['weights', 'towers', 'shared_prefix', 'pictures', 'features', 'engines'],
             datasets=['labelled', 'benchmarks', 'samples'],
             baselines=['concepts', 'linear', 'coop', 'dualcoop', 'tipadapter', 'rescoring'],
             paper=['report', 'table1', 'expect', 'differences', 'fig6', 'fig7', 'table2', 'table3', 'ablations', 'statements', 'family', 'rank_pictures', 'scale', 'beyond',
                    'speed', 'published', 'study', 'reproduce', 'checkpoints', 'augment', 'train_mini_clip'],
             apps=['cli', 'report', 'explorer', 'onnx', 'hub', 'cluster'])     # in this order; others follow



SITE = '''# This site

Made from {notebooks} notebooks, each with the outputs that are stored in it, and from the docstrings of {modules} modules. Nothing is run to make it, and nothing of it comes from another server: no script, no font, no picture. It weighs SITE-WEIGHT altogether.

It is made with [Sphinx](https://www.sphinx-doc.org), [MyST-NB](https://myst-nb.readthedocs.io), [Furo](https://pradyunsg.me/furo/) and [sphinx-copybutton](https://sphinx-copybutton.readthedocs.io). `make docs` builds it.
'''


def notebooks(folder: Path = nbs) -> list[Path]:
    "Notebooks under `folder` in order; names that start with a dot or an underscore are left out"
    return sorted(p for p in folder.rglob('*.ipynb') if not any(part[0] in '._' for part in p.relative_to(folder).parts))


def visible(path: Path) -> nbformat.NotebookNode:
    "The notebook as a reader is to see it: directives obeyed and removed, hidden cells gone"
    proc = NBProcessor(path, procs=[hide_line, filter_stream_, strip_ansi])
    helpers = test_helpers(proc.nb.cells)
    for cell in proc.nb.cells:                                     # nbdev's cells hold text as lists of lines
        d = cell.directives_
        tags = {'remove-input': d.get('echo:') == ['false'], 'remove-output': d.get('output:') == ['false'],
                'hide-input': d.get('code-fold:') == ['true'],
                'drop': {'hide', 'default_exp'} & d.keys() or d.get('include:') == ['false'] or 'nbdev_export(' in cell.source}
        cell.metadata['tags'] = [tag for tag, wanted in tags.items() if wanted]
        if cell.cell_type == 'code' and (alt := described(cell, d)): cell.metadata['mystnb'] = dict(image=dict(alt=alt))
        if cell.cell_type == 'code' and (kind := folded(cell, helpers)):
            cell.metadata['tags'] = [*{*cell.metadata['tags'], 'hide-input'}]
            cell.metadata['mystnb'] = dict(code_prompt_show=kind, code_prompt_hide=kind)
    proc.process()
    nb = nbformat.v4.new_notebook(metadata={**nbformat.read(path, as_version=4).metadata, 'language_info': {'name': 'python'}})
    for cell in proc.nb.cells:
        if cell.cell_type == 'raw' or 'drop' in cell.metadata['tags'] or not cell.source.strip(): continue
        if cell.cell_type == 'markdown':
            nb.cells.append(made('markdown', cell.source))
            continue
        source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.MULTILINE)
        outputs = [nbformat.from_dict(dict(o)) for o in cell.get('outputs', [])]
        for o in outputs:
            if isinstance(o.get('text'), list): o.text = ''.join(o.text)
            for mime, data in o.get('data', {}).items():
                if isinstance(data, list): o.data[mime] = ''.join(data)
        nb.cells.append(made('code', source, {k: cell.metadata[k] for k in ('tags', 'mystnb') if k in cell.metadata}, outputs=outputs, execution_count=None))
    return nb


def made(kind: str, source: str, metadata: dict|None = None, **more) -> nbformat.NotebookNode:
    "A cell; `nbformat.write` checks all of a notebook's at once"
    return nbformat.from_dict(dict(cell_type=kind, id=uuid4().hex[:8], source=source, metadata=metadata or {}, **more))


def checks(node: ast.AST, helpers: set[str]) -> bool:
    "Does a statement assert something, itself or by a call of `test_…` or of a helper?"
    for n in ast.walk(node):
        if isinstance(n, ast.Assert): return True
        called = getattr(n.func, 'id', getattr(n.func, 'attr', '')) if isinstance(n, ast.Call) else ''
        if called.startswith('test_') or called in helpers: return True
    return False


def test_helpers(cells: list) -> set[str]:
    "Names of the functions that a notebook's tests define for themselves"
    found = set()
    for cell in cells:
        if cell.cell_type != 'code' or 'export' in cell.directives_: continue
        try: body = ast.parse(cell.source).body
        except SyntaxError: continue                               # `%` and `!` are not Python
        found |= {s.name for s in body if isinstance(s, ast.FunctionDef) and checks(s, found)}
    return found


def folded(cell, helpers: set[str]) -> str:
    """What a cell is a click away as: 'Imports' if it does nothing else, 'Tests' if most of its lines check something, '' for one that is in sight.

    Exported code, code with an output, and up to three lines of tests stay in sight."""
    if cell.get('outputs'): return ''
    try: body = ast.parse(cell.source).body
    except SyntaxError: return ''
    if not body: return ''
    inner = [t for s in body for t in (s.body if isinstance(s, ast.If) and ast.unparse(s.test) == 'TYPE_CHECKING' else [s])]
    if all(isinstance(s, (ast.Import, ast.ImportFrom)) for s in inner): return 'Imports'
    lines = {s: s.end_lineno - s.lineno + 1 for s in body}
    whole = sum(lines.values())
    return 'Tests' if 'export' not in cell.directives_ and whole > 3 and 2*sum(n for s, n in lines.items() if checks(s, helpers)) >= whole else ''


def side_by_side(cells: list) -> list:
    "Cells that are folded away as the same thing, one after the other, as one"
    out = []
    label = lambda c: c.metadata.get('mystnb', {}).get('code_prompt_show')
    for cell in cells:
        if out and cell.cell_type == out[-1].cell_type == 'code' and label(cell) and label(cell) == label(out[-1]): out[-1].source += f'\n\n{cell.source}'
        else: out.append(cell)
    return out


def lighter(data: dict) -> dict:
    "An output whose PNG takes fewer bytes and looks the same: a chart with 256 colours, a photo as JPEG"
    if 'image/png' not in data: return data
    with Image.open(io.BytesIO(base64.b64decode(data['image/png']))) as picture: picture = picture.convert('RGBA')
    if picture.getchannel('A').getextrema()[0] < 255: return data
    picture, out = picture.convert('RGB'), io.BytesIO()
    if chart := picture.getcolors(4096) is not None: picture.quantize(256, dither=Image.Dither.NONE).save(out, 'PNG', optimize=True)
    else: picture.save(out, 'JPEG', quality=88, optimize=True, progressive=True)
    text = base64.b64encode(out.getvalue()).decode()
    if len(text) >= len(data['image/png']): return data
    return {k: v for k, v in data.items() if k != 'image/png'} | {'image/png' if chart else 'image/jpeg': text}


def panels(out: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    "A wide figure as one output for each of its panels, which lie in a row on a desk and below each other on a phone"
    kind = next((k for k in ('image/png', 'image/jpeg') if k in out.get('data', {})), None)
    if not kind: return [out]
    with Image.open(io.BytesIO(base64.b64decode(out.data[kind]))) as file: picture = file.convert('RGB')
    if picture.width < 1.7*picture.height: return [out]
    pixels = np.asarray(picture)
    white = [*(pixels > 240).all((0, 2)), False]
    ends = [x for x in range(1, len(white)) if white[x - 1] and not white[x]]                       # of columns that are white from top to bottom
    starts = [next(w for w in range(x, -1, -1) if w == 0 or not white[w - 1]) for x in ends]
    axes = (pixels < 100).all(2).mean(0) > .3                                                       # a chart's panel has one, right of its labels
    labelled = lambda left, right: kind == 'image/jpeg' or axes[left:right].any() and axes[left:].argmax() > 12
    whole = lambda left, right: right - left >= 120 and labelled(left, right)
    cuts = [0]
    for start, end in zip(starts, ends):
        if end - start >= 4 and whole(cuts[-1], start) and whole(end, picture.width): cuts.append((start + end)//2)
    if len(cuts) == 1: return [out]
    found = []
    for left, right in zip(cuts, [*cuts[1:], picture.width]):
        file, panel = io.BytesIO(), picture.crop((left, 0, right, picture.height))
        if kind == 'image/png': panel.quantize(256, dither=Image.Dither.NONE).save(file, 'PNG', optimize=True)
        else: panel.save(file, 'JPEG', quality=90, optimize=True)
        found.append(nbformat.from_dict(dict(out, data={kind: base64.b64encode(file.getvalue()).decode()})))
    return found


def described(cell, directives: dict) -> str:
    "What a cell's figure shows, in words: from `#| fig-alt:`, or the text that the figure prints as (`taidpt.plots.DescribedFigure`)"
    if 'fig-alt:' in directives: return ' '.join(directives['fig-alt:'])
    for out in cell.get('outputs', []):
        data = out.get('data', {})
        text = ''.join(data.get('text/plain', ''))
        if any(m.startswith('image/') for m in data): return '' if text.startswith('<') else ' '.join(text.split())
    return ''


def joined(cells: list) -> list:
    "Code cells that follow each other without an output between them as one, so that imports and their use are copied together"
    out = []
    for cell in cells:
        before = out[-1] if out else None
        if before and before.cell_type == cell.cell_type == 'code' and not before.outputs: before.source, before.outputs = f'{before.source}\n\n{cell.source}', cell.outputs
        else: out.append(cell)
    return out


def readme() -> str:
    "README.md's text, from the front page"
    nb = visible(nbs/get_config().readme_nb)
    for cell in nb.cells:
        if 'remove-input' in cell.metadata.get('tags', []): cell.source = ''
        if 'remove-output' in cell.metadata.get('tags', []): cell.outputs = []
    nb.cells = joined(nb.cells)
    text, resources = MarkdownExporter().from_notebook_node(nb)
    if resources.get('outputs'):
        sys.exit('index.ipynb has a figure among its outputs. Save it under docs/images, hide the cell that draws it, '
                 'and show it in a text cell: ![what it shows](../docs/images/NAME.png)')
    text = re.sub(r'(\]\(|src="|srcset="|href=")\.\./', r'\1', text)                            # links leave from the root now
    text = re.sub(r'(\]\(|href=")([\w/]+\.ipynb)', rf'\1{nbs.name}/\2', text)
    text = re.sub(r'\n{3,}', '\n\n', text.replace('```python\n\n```\n', '')).strip()           # an output without its code
    return f'<!-- Made from nbs/index.ipynb by `make readme`: edit the notebook. -->\n\n{text}\n'


def with_colab(path: Path, text: str) -> str:
    "A notebook's first cell with a link to Colab under the title, if a cell of it installs the package there"
    if '[ -e /content ]' not in path.read_text(encoding='utf-8'): return text
    cfg = get_config()
    where = f'{cfg.git_url.replace("//github.com", "//colab.research.google.com/github")}/blob/{cfg.branch}/{path.relative_to(root).as_posix()}'
    return re.sub(r'\A# .+\n\n> .+', lambda m: f'{m[0]}\n\n[Open in Colab]({where})', text)


def definitions(source: str) -> list[str]:
    "What a cell defines, spelt as in the anchors of nbdev's links: `local_scores`, `classset`, `classset.from_file`"
    names, owner = [], None
    for indent, kind, name in re.findall(r'^( {4})?(?:async )?(def|class) (\w+)', source, flags=re.MULTILINE):
        if not indent: owner = name if kind == 'class' else None
        if not indent or owner: names.append(f'{owner}.{name}' if indent else name)
    patched = re.findall(r'^@patch\b.*\n(?:@.*\n)*(?:async )?def (\w+)\(\s*(?:self|cls) *: *(\w+)', source, flags=re.MULTILINE)
    return [n.lower() for n in names + [f'{owner}.{name}' for name, owner in patched]]


def linker():
    "A function that links public names in a text to the notebook that defines them, from a page `up` folders down"
    cfg, lookup = get_config(), NbdevLookup()
    ours = re.compile(r'\[(`[^`]+`)\]\(' + re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/') + r'((?:[\w-]+/)*[\w-]+)\.html(#[\w.]+)?\)')
    where = {re.sub(r'(^|/)\d+_', r'\1', p.relative_to(nbs).with_suffix('').as_posix().lower()): p.relative_to(nbs) for p in notebooks()}
    def link(text, up=''):
        to_page = lambda m: f'<a href="{up}{where[m[2]].with_suffix(".html")}{m[3] or ""}"><code>{m[1][1:-1]}</code></a>'
        return ours.sub(to_page, (lookup.linkify(text) or text) if text else "")
    return link, where


def site():
    "Write the pages that Sphinx reads"
    cfg, (link, where) = get_config(), linker()
    shutil.rmtree(pages, ignore_errors=True)
    reference(link, where)
    anchored = set()
    for path in notebooks():
        page = path.relative_to(nbs)
        up = '../'*(len(page.parts) - 1)
        nb = visible(path)
        nb.cells[0].source = with_colab(path, nb.cells[0].source)
        cells, nb.cells = side_by_side(nb.cells), []
        for cell in cells:
            if cell.cell_type == 'markdown':
                text = link(cell.source, up)
                text = re.sub(r'(\]\()(\.\./)+docs/images/', rf'\1{up}images/', text)
                text = re.sub(r'(src="|srcset=")(\.\./)+docs/images/', rf'\1{up}_static/', text)               # HTML, which Sphinx leaves as it is
                cell.source = re.sub(rf'\]\((\.\./){{{len(page.parts)}}}(?!\.)', f']({cfg.git_url}/blob/{cfg.branch}/', text)  # not a page
            elif new := [n for n in definitions(cell.source) if (page, n) not in anchored]:
                anchored.update((page, n) for n in new)
                nb.cells.append(made('markdown', ''.join(f'<a id="{n}"></a>' for n in new)))
            for out in cell.get('outputs', []):
                if 'data' in out: out.data = nbformat.from_dict(lighter(out.data))
            nb.cells.append(cell)
            figure, row = next(((out, row) for out in cell.get('outputs', []) if len(row := panels(out)) > 1), (None, []))
            if figure:
                cell.outputs.remove(figure)
                nb.cells.append(made('code', 'figure', cell.metadata | dict(tags=['panels', 'remove-input']), outputs=row, execution_count=None))
        if page.name == cfg.readme_nb: nb.cells.append(made('markdown', contents()))
        for i, cell in enumerate(nb.cells): cell['id'] = f'cell-{i}'
        (pages/page).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nb, pages/page)
    for name in about:
        text = (root/name).read_text(encoding='utf-8')
        for other in about: text = text.replace(f']({other})', f']({other.lower()})')
        text = re.sub(r'\]\((?![a-z]+:|#)(?!(?:' + '|'.join(map(str.lower, about)) + r')\))', f']({cfg.git_url}/blob/{cfg.branch}/', text)
        (pages/name.lower()).write_text(text, encoding='utf-8')
    (pages/'site.md').write_text(SITE.format(notebooks=len(notebooks()), modules=sum(map(bool, modules().values()))), encoding='utf-8')
    if images.is_dir(): shutil.copytree(images, pages/'images')
    for folder in nbs.rglob('images'): shutil.copytree(folder, pages/folder.relative_to(nbs))       # of notebooks that Voilà serves: it sees no other folder
    print(f'{len(notebooks())} pages in {pages.relative_to(root)}')


def html(out: Path = root/'docs/_build/html') -> int:
    "Write the pages and let Sphinx make the site of them; its exit status"
    from sphinx.cmd.build import main as sphinx
    site()
    return sphinx(['-q', '-W', '--keep-going', '-c', str(root/'docs'), '-d', str(out.parent/'doctrees'), str(pages), str(out)])


def table(f, link) -> str:
    "The parameters of a function and what it gives, with types and defaults"
    docs = {n: d for n, d in docments(f, full=True, returns=True).items() if n not in ('self', 'cls')}
    like = inspect.formatannotation(ArrayLike)[len('Union['):-1]               # its dozen kinds, one by one
    def kind(a):
        if a is empty or a is None: return ''
        if get_origin(a) is Annotated: a, *_ = get_args(a)                  # the rest is what Typer says of an option
        text = a if isinstance(a, str) else inspect.formatannotation(a).replace(like, 'ArrayLike')
        if text.startswith('Union['): text = text[len('Union['):-1].replace('NoneType', 'None').replace(', ', ' | ')
        return f'`{text}`'.replace('typing.', '').replace('torch.Tensor', 'Tensor')
    kind_ = lambda a: re.sub(r'\b(?:[a-z_]+\.)+(?=[A-Z])', '', kind(a)).replace('|', '\\|')
    row = lambda n, d, default: f'| {n} | {kind_(d.anno)} | {default} | {link(" ".join((d.docment or "").split()), "../").replace("|", chr(92) + "|")} |'
    rows = [row(f'`{n}`', d, '' if d.default is empty else '`' + re.sub(r' at 0x\w+', '', repr(d.default)).replace('|', '\\|') + '`')
            for n, d in docs.items() if n != 'return']
    if (r := docs.get('return')) and (r.docment or r.anno not in (empty, None)): rows.append(row('*gives*', r, ''))
    return '| | type | default | |\n|---|---|---|---|\n' + '\n'.join(rows) + '\n\n' if rows else ''


def modules() -> dict[str, list[str]]:
    "Public names of each module, methods with their class, those that are added elsewhere included"
    if str(root) not in sys.path: sys.path.insert(0, str(root))
    names = {m: [k.removeprefix(f'{m}.') for k in owned] for m, owned in importlib.import_module('taidpt._modidx').d['syms'].items()}
    return {m: [n for n in owned if not any(p.startswith('_') for p in n.split('.'))] for m, owned in names.items()}


def source(thing) -> str:
    "The module that a method, class method or property was written in"
    f = thing.fget if isinstance(thing, property) else getattr(thing, '__func__', getattr(thing, 'f', thing))
    return getattr(f, '__module__', '')


def inherited(cls: type, owner: dict[str, str], link) -> str:
    """Public methods that a class has from elsewhere, each with a link to its arguments; `owner`: the page of each method.

    From elsewhere: from the package's other classes, or added to this one in another module."""
    rows, own = [], {name for name, thing in vars(cls).items() if source(thing) in ('', cls.__module__)}
    for base in cls.__mro__:
        for name, thing in vars(base).items():
            page = owner.get(f'{base.__name__}.{name}')
            if name in own or not page or source(thing) != f'taidpt.{page}': continue
            own.add(name)
            told = link(' '.join((inspect.getdoc(getattr(base, name)) or '').split('\n\n')[0].split()), '../').replace('|', chr(92) + '|')
            origin = page if base is cls else base.__name__
            rows.append(f'| [`{cls.__name__}.{name}`]({page}.md#{base.__name__.lower()}{name.lower()}) | {told} | `{origin}` |')
    return '| it also has | | from |\n|---|---|---|\n' + '\n'.join(rows) + '\n\n' if rows else ''


def reference(link, where):
    "A page for each module: public names, signatures, docments, docstrings; a class with what it inherits"
    syms = importlib.import_module('taidpt._modidx').d['syms']
    owner = {n: m.removeprefix('taidpt.') for m, names in modules().items() for n in names if '.' in n}
    (pages/'reference').mkdir(parents=True)
    for name, owned in syms.items():
        module, short = importlib.import_module(name), name.removeprefix('taidpt.')
        if not (public := modules()[name]): continue
        page = where[owned[f'{name}.{public[0]}'][0].split('#')[0].removesuffix('.html')]
        text = f'# {short}\n\n{module.__doc__}. The notebook that explains it: [{page.stem}](../{page.as_posix()}).\n\n```python\nfrom {name} import *\n```\n\n'
        for n in public:
            thing = module
            for part in n.split('.'): thing = inspect.getattr_static(thing, part, None) if inspect.isclass(thing) else getattr(thing, part, None)
            if thing is None: continue
            thing = getattr(thing, '__func__', getattr(thing, 'f', thing))      # a class method, Python's or fastcore's
            f = thing.fget if isinstance(thing, property) else thing
            if not callable(f): continue
            plain = isinstance(thing, property) or inspect.isclass(thing) and not any('__init__' in vars(c) for c in thing.__mro__ if c.__module__.startswith('taidpt'))
            parameters = '' if plain else table(f, link)
            what = 'class ' if inspect.isclass(thing) else ''
            told = link(inspect.getdoc(inspect.unwrap(f) if inspect.isfunction(f) else f) or '', '../')                # without the arguments, which the table has
            text += f'{"###" if "." in n else "##"} {what}{n}\n\n{told}\n\n{parameters}'
            if inspect.isclass(thing): text += inherited(thing, owner, link)
        (pages/'reference'/f'{short}.md').write_text(text, encoding='utf-8')


def toctree(title: str, rows: list[str]) -> str:
    "A part of the table of contents"
    caption = f':caption: {title}\n' if title else ''
    return f'```{{toctree}}\n{caption}:hidden:\n:maxdepth: 1\n\n' + '\n'.join(rows) + '\n```\n\n'


def entries(patterns: str) -> list[str]:
    "The notebooks of a section, in order"
    found = []
    for pattern in patterns.split():
        order = first.get(Path(pattern).parent.name, [])
        found += sorted(nbs.glob(f'{pattern}.ipynb'), key=lambda p: (order.index(p.stem) if p.stem in order else len(order), p.name))
    known = notebooks()
    return [p.relative_to(nbs).with_suffix('').as_posix() for p in found if p in known]


def parts() -> list[str]:
    "A page for each folder of modules, with what each module says of itself"
    folders = {'method': {}}
    for name, public in modules().items():
        short = name.removeprefix('taidpt.')
        if public: folders.setdefault(short.rpartition('.')[0] or 'method', {})[short] = importlib.import_module(name).__doc__
    for folder, own in folders.items():
        rows = ''.join(f'| [{short}]({short}.md) | {line.replace("|", chr(92) + "|")} |\n' for short, line in own.items())
        (pages/f'reference/{folder}.md').write_text(f'# Reference: {folder}\n\n| module | what is in it |\n|---|---|\n{rows}\n' + toctree('', [*own]), encoding='utf-8')
    return [f'reference/{folder}' for folder in folders]


def contents() -> str:
    "The site's table of contents"
    rows = {title: entries(patterns) for title, patterns in sections.items()}
    rows['Reference'] += parts()
    return ''.join(toctree(*row) for row in rows.items()) + toctree('About', [*(Path(name).stem.lower() for name in about), 'site'])


def main():
    if sys.argv[1:] == ['site']: site()
    elif sys.argv[1:] == ['html']: sys.exit(html())
    elif sys.argv[1:] == ['readme']: (root/'README.md').write_text(readme(), encoding='utf-8')
    else: sys.exit(__doc__)


if __name__ == '__main__': main()
