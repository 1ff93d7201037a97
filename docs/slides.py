"""Make the slides of the class of ninety minutes (tutorials/teach) in docs/_build/slides.

    python docs/slides.py

Their pictures, code and equations are those that the notebooks hold, found by the ids of cells, and
their speaker's notes are the steps of tutorials/teach. Nothing is run, and nothing comes from
another server: reveal.js is the copy that the package sphinx-revealjs brings.
"""
import base64
import html
import mimetypes
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import nbformat
from build import figure_alt
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

root = Path(__file__).resolve().parent.parent
nbs = root/'nbs'
TEACH = 'tutorials/teach'


class Slide(NamedTuple):
    "A title, what is shown of which cells, and the step of the class"
    title: str
    step: int                             # 0: before the class
    parts: list[tuple[str, str, str]]     # page, cell, what: picture, equations, code, outputs
    subtitle: str = ''                    # a line of text under the title


SLIDES = [
    Slide('Texts as images', 1, [('tutorials/learn', 'le-idea', 'picture')]),
    Slide(
        'CLIP looks for a class by a sentence', 1, [('tutorials/learn', 'le-005', 'outputs')],
        'Zero-shot: “a photo of a bicycle.”, and so on for each class'),
    Slide(
        'A sentence brings its labels', 1,
        [('tutorials/learn', 'le-007', 'outputs'), ('tutorials/learn', 'le-009', 'outputs')]),
    Slide(
        'Sixteen vectors learn', 1,
        [('tutorials/learn', 'le-010', 'equations'), ('tutorials/learn', 'le-011', 'code'),
         ('tutorials/learn', 'le-011', 'outputs')],
        'Twice: G is compared with wholes, L with parts. CLIP is frozen.'),
    Slide(
        'Whole and parts', 1,
        [('tutorials/learn', 'le-014', 'equations'), ('tutorials/learn', 'le-013', 'outputs')],
        'A token is to a sentence what a place is to a picture.'),
    Slide(
        'Named classes above all others', 1, [('tutorials/learn', 'le-016', 'equations')],
        'The ranking loss looks only at differences.'),
    Slide('Forty steps', 1, [('tutorials/learn', 'le-moving', 'picture')]),
    Slide(
        'Pictures take over', 1, [('tutorials/learn', 'le-023', 'outputs')],
        'The prompts have never seen a picture.'),
    Slide(
        'Where does “bus” look?', 1, [('tutorials/learn', 'le-024', 'outputs')],
        'The text encoder reads from left to right.'),
    Slide(
        'Move its parts', 2, [(TEACH, 'tc-2', 'list')],
        'In pairs, on the page of interactive figures: one moves, the other predicts.'),
    Slide(
        'The toy: scores and loss', 3,
        [('00_annotated', '4e1fe57a', 'code'), ('00_annotated', 'an-loss', 'code')],
        'Which shapes have p, P and weights?'),
    Slide('The toy: learning', 3, [('00_annotated', '9311e3eb', 'code')], 'Guess the curve.'),
    Slide('It learns', 3, [('00_annotated', 'd8d0d211', 'outputs')]),
    Slide(
        'Is that good?', 3,
        [('00_annotated', 'b8917561', 'outputs'), ('00_annotated', '335133cd', 'outputs')]),
    Slide('Exercise', 3, [('00_annotated', 'ex-00-0', 'text')]),
    Slide('A plain noun filter', 4, [('01_nounfilter', 'nounfilter-007', 'code')]),
    Slide('Where it goes wrong', 4, [('01_nounfilter', 'nounfilter-009', 'outputs')]),
    Slide('Exercise', 4, [('01_nounfilter', 'ex-03-0', 'text')]),
    Slide(
        'Eq. 7', 5,
        [('05_losses', '06-006', 'equations'), ('05_losses', '06-pic-1', 'outputs')],
        'Scores 3, 2.5, 0 and 2; the first and the last are named. Class 1 slides.'),
    Slide('Exercise', 5, [('05_losses', 'ex-07-0', 'text')]),
    Slide('Average precision', 6, [('07_metrics', '11-009', 'outputs')]),
    Slide('Exercise', 6, [('07_metrics', 'ex-09-0', 'text')]),
    Slide('What you hand in', 6, [(TEACH, 'tc-hand', 'list')]),
]

STYLE = '''
:root { color-scheme: light; }
img { color-scheme: light; }
.reveal { color: #1c2430;
  font: 32px/1.4 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
.reveal .slides { text-align: left; }
.reveal h1 { font-size: 1.5em; font-weight: 600; line-height: 1.2; margin: 0 0 .5em; }
.reveal p { margin: 0 0 .7em; }
.reveal .said { color: #566171; }
.reveal pre { background: #f3f5f8; padding: .7em; margin: 0 0 .7em; border-radius: 8px;
  font: 20px/1.45 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre-wrap; }
.reveal img { display: block; width: 100%; max-height: 370px; object-fit: contain; }
.reveal h1 + :is(img, picture), .reveal h1 + picture img { max-height: 560px; }
.reveal em { font-style: italic; }
.reveal strong { font-weight: 600; }
.reveal ol { padding-left: 1.4em; }
.reveal li { margin: 0 0 .4em; }
.reveal a { color: inherit; }
.reveal math { font-size: 1.2em; }
.reveal math[display="block"] { margin: 0 0 .7em; }
'''
PAGE = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Texts as images: a class of ninety minutes</title>
<link rel="stylesheet" href="reset.css">
<link rel="stylesheet" href="reveal.css">
<style>{style}</style>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<script src="reveal.js"></script>
<script src="notes.js"></script>
<script>
Reveal.initialize({{width: 1120, height: 720, center: false, hash: true, transition: 'none',
  slideNumber: true, plugins: [RevealNotes]}});
</script>
</body>
</html>
'''


# What the notebooks hold

def cell_of(page: str, name: str):
    "A cell by its page and id"
    cells = nbformat.read(nbs/f'{page}.ipynb', as_version=4).cells
    matches = [cell for cell in cells if cell.id == name]
    if not matches: sys.exit(f'{page}.ipynb has no cell {name} any more: mend docs/slides.py')
    return matches[0]


def with_address(page: str, text: str) -> str:
    "Text whose links to pages lead to the site beside the slides"
    above, _, _ = page.rpartition('/')
    folder = f'../html/{above}/' if above else '../html/'

    def site(match):
        name, anchor = match.groups('')
        return f']({folder}{name}.html{anchor})'
    return re.sub(r'\]\(([\w./-]+)\.ipynb(#[\w-]*)?\)', site, text)


def as_html(page: str, text: str) -> str:
    "Markdown as HTML, equations within it as MathML"
    made = MarkdownIt().render(with_address(page, text))
    return re.sub(r'\$([^$\n]+)\$', lambda match: convert(html.unescape(match[1])), made)


def without_heading(text: str) -> str: return re.sub(r'^#+ .*\n+', '', text, flags=re.MULTILINE)


def equations(text: str) -> str:
    "The equations of a text cell that stand alone"
    formulas = re.findall(r'\$\$(.+?)\$\$', text, flags=re.DOTALL)
    return '\n'.join(convert(formula, display='block') for formula in formulas)


def listed(text: str) -> str:
    "The numbered lines of a text cell"
    return '\n'.join(re.findall(r'^\d+\. .+', text, flags=re.MULTILINE))


def address(path: Path) -> str:
    "A file within the page"
    kind, _ = mimetypes.guess_type(path.name)
    return f'data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}'


def picture(page: str, text: str) -> str:
    "The drawing that a text cell shows"
    src, alt = re.search(r'<img src="([^"]+)"[^>]* alt="([^"]*)"', text).groups()
    folder = (nbs/page).parent
    shown = f'<img src="{address(folder/src)}" alt="{alt}">'
    still = re.search(r'<source media="([^"]*motion[^"]*)" srcset="([^"]+)"', text)
    if not still: return shown
    condition, file = still.groups()
    source = f'<source media="{condition}" srcset="{address(folder/file)}">'
    return f'<picture>{source}{shown}</picture>'


def output(out, description: str) -> str:
    "An output as the site shows it: a picture, told in words, HTML or text"
    data = out.get('data', {})
    alt = html.escape(description or ''.join(data.get('text/plain', '')))
    for kind in ('image/jpeg', 'image/png'):
        if kind in data:
            content = ''.join(data[kind]).strip()
            return f'<img src="data:{kind};base64,{content}" alt="{alt}">'
    if 'image/svg+xml' in data:
        content = base64.b64encode(''.join(data['image/svg+xml']).encode()).decode()
        return f'<img src="data:image/svg+xml;base64,{content}" alt="{alt}">'
    if 'text/html' in data: return ''.join(data['text/html'])
    text = ''.join(out.get('text', data.get('text/plain', '')))
    return f'<pre>{html.escape(text.strip())}</pre>'


def code(text: str) -> str:
    "A cell's code without its directives"
    plain = re.sub(r'^#\|.*\n', '', text, flags=re.MULTILINE)
    return highlight(plain, PythonLexer(), HtmlFormatter())


def part(page: str, name: str, what: str) -> str:
    "One part of a slide as HTML"
    cell = cell_of(page, name)
    if what == 'picture': return picture(page, cell.source)
    if what == 'equations': return equations(cell.source)
    if what == 'code': return code(cell.source)
    if what == 'outputs':
        alt = figure_alt(cell.source)
        return '\n'.join(output(out, alt) for out in cell.outputs)
    text = listed(cell.source) if what == 'list' else without_heading(cell.source)
    return as_html(page, text)


# The slides

def notes(step: int) -> str:
    "What the page for teachers says of a step"
    return as_html(TEACH, without_heading(cell_of(TEACH, f'tc-{step}').source))


def section(slide: Slide) -> str:
    "A slide with its speaker's notes"
    parts = [part(*one) for one in slide.parts]
    empty = [one for one, made in zip(slide.parts, parts) if not made.strip()]
    if empty: sys.exit(f'There is nothing to show of {empty[0]}: mend docs/slides.py')
    subtitle = f'<p class="said">{slide.subtitle}</p>' if slide.subtitle else ''
    content = '\n'.join(parts)
    aside = f'<aside class="notes">{notes(slide.step)}</aside>'
    return f'<section>\n<h1>{slide.title}</h1>\n{subtitle}\n{content}\n{aside}\n</section>'


def reveal() -> Path:
    "The folder of reveal.js in the package that brings it"
    spec = find_spec('sphinx_revealjs')
    if spec is None: sys.exit('The slides need reveal.js: pip install sphinx-revealjs')
    return Path(spec.submodule_search_locations[0])/'_static/revealjs'


def build(out: Path = root/'docs/_build/slides'):
    "Write the slides and all that they need"
    theirs = reveal()
    out.mkdir(parents=True, exist_ok=True)
    for name in ('dist/reset.css', 'dist/reveal.css', 'dist/reveal.js', 'LICENSE'):
        shutil.copy(theirs/name, out)
    shutil.copy(theirs/'plugin/notes/notes.js', out)
    slides = '\n'.join(map(section, SLIDES))
    (out/'index.html').write_text(PAGE.format(style=STYLE, slides=slides), encoding='utf-8')
    print(f'{len(SLIDES)} slides in {out}')


if __name__ == '__main__': build()
