"""README.md and the site follow from the notebooks, and drawings from their script."""
import json
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from conftest import ROOT, docs_module
from fontTools.ttLib import TTFont
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

build = docs_module('build')


def read(path: Path) -> str: return path.read_text(encoding='utf-8')


def test_readme_is_up_to_date():
    text = build.readme()
    assert read(ROOT/'README.md') == text, 'nbs/index.ipynb has changed: run `make readme`'


def test_the_drawing_is_what_its_script_draws():
    script = docs_module('learning')
    for file, svg in script.drawings().items():
        assert read(build.images/file) == svg, 'docs/learning.py has changed: run it'
    assert script.ABOUT in read(build.nbs/'tutorials/learn.ipynb')


def test_the_moving_drawing_shows_a_run():
    "The first steps of another run give what is noted; its words tell the loss"
    learning = docs_module('learning')
    noted = json.loads(read(build.images/'learning.json'))
    again = learning.record(steps=3)
    for what in ('classes', 'losses', 'maps'):
        computed = np.array(again[what])
        wanted = np.array(noted[what][:len(computed)])
        assert np.abs(computed - wanted).max() < .02, what
    assert np.ptp(noted['classes'], axis=0).max() > .1          # they move
    first, last = noted['losses'][0], noted['losses'][-1]
    assert f'from {first:.1f} to {last:.1f}' in learning.ABOUT


# The site

def test_site_is_whole(site):
    """It has a page for each notebook and file about it, its tables are tables, its links lead
    somewhere, and it is no larger than it was"""
    pages = [site/notebook.relative_to(build.nbs) for notebook in build.notebooks()]
    pages += [site/name.lower() for name in build.root_files]
    for page in pages:
        page = page.with_suffix('.html')
        text = read(page)
        assert '<h1>' in text, page
        assert not re.search(r'<p>\s*\|', text), page
        for link in re.findall(r'href="([^":#]+\.html)(?:#[^"]*)?"', text):
            assert (page.parent/link).resolve().exists(), f'{page.name} links to {link}'
    conf = docs_module('conf')
    assert sum(file.stat().st_size for file in conf.site_files(site)) < 15e6


def test_equations_need_no_script(site):
    "Nor a font from elsewhere"
    font = TTFont(build.root/'docs/_static/math.woff').getBestCmap()
    signs = docs_module('mathfont').signs(site)
    missing = {sign for sign in signs if ord(sign) not in font}
    assert not missing, 'run docs/mathfont.py'
    assert '<msqrt>' in read(site/'encoders/image_tower.html')
    assert not re.search(r'<script[^>]*src="https?:', read(site/'04_scores.html'))


def equations(text: str):
    "LaTeX and display of each equation in Markdown"
    reader = MarkdownIt().enable('table').use(dollarmath_plugin)
    for token in reader.parse(text):
        if token.type.startswith('math_block'): yield token.content, 'block'
        for inner in token.children or ():
            if inner.type.startswith('math_inline'): yield inner.content, 'inline'


def test_equations_are_well_formed():
    "A browser draws a broken one in a way of its own"
    mathml = docs_module('conf').mathml
    read_off = 0
    for path in build.notebooks():
        for latex, display in equations(prose(path)):
            try: ElementTree.fromstring(mathml(latex, display))
            except ElementTree.ParseError as error: pytest.fail(f'{path.name}: {latex}: {error}')
            read_off += 1
    assert read_off > 500


def test_no_dollar_is_left_outside_code(site):
    "It would be an equation that was not read as one"
    left = []
    for page in site.rglob('*.html'):
        text = re.sub(r'<(script|style|pre|code)\b.*?</\1>', '', read(page), flags=re.DOTALL)
        text = re.sub(r'<[^>]+>', '', text)
        left += [f'{page.name}: {around}' for around in re.findall(r'.{0,40}\$.{0,40}', text)]
    assert not left, '\n'.join(left)


def test_a_page_has_one_next(site):
    "The page that its last lines call the next is the one to which its foot leads"
    wrong = []
    pages = 0
    for page in site.rglob('*.html'):
        text = read(page)
        last_line = re.search(r'<strong>Next:</strong>.*?href="([^"#]+)', text, flags=re.DOTALL)
        if not last_line: continue
        foot = re.search(r'class="next-page" href="([^"]+)"', text)
        pages += 1
        if last_line[1] != foot[1]:
            wrong.append(f'{page.name}: {last_line[1]}, and {foot[1]}')
    assert pages > 20
    assert not wrong, '\n'.join(wrong)


def test_pages_of_the_site(site):
    "Names have anchors, tests are there, directives are not; figures have words, pages have links"
    scores = read(site/'04_scores.html')
    for part in ('id="local_scores"', 'test_close'): assert part in scores
    assert 'default_exp' not in scores
    learn = read(site/'tutorials/learn.html')
    colab = 'colab.research.google.com/github/taidpt/taidpt/blob/main/nbs/tutorials/learn.ipynb'
    for part in ('alt="Cosine of each word of', colab): assert part in learn


@pytest.mark.parametrize('page, name, target', [
    ('classes', 'train', None),                          # a class of COCO, and a command
    ('01_nounfilter', 'label', None),                       # a method of the page, and a command
    ('12_visualize', 'compare', None),                      # the page's own, and another module's
    ('apps/command', 'tag', None),                          # a command that the page explains
    ('tags', 'tag', 'baselines/concepts.html#tag'),
    ('reference/visualize', 'compare', '../12_visualize.html#compare'),
    ('paper/ablations', 'TaIDPT', '../09_taidpt.html#taidpt')])
def test_names_lead_to_what_they_mean(site, page, name, target):
    "Not to what has the same name elsewhere"
    links = re.findall(rf'<a href="([^"]*)"><code>{name}</code></a>', read(site/f'{page}.html'))
    assert set(links) == ({target} if target else set())


def test_reference_of_the_site(site):
    "Parameters with their defaults, a link to the notebook, and what a class inherits from"
    scores = read(site/'reference/scores.html')
    for part in ('tau_s', '0.02', '../04_scores.html'): assert part in scores
    assert 'href="predict.html#class-model"' in read(site/'reference/learner.html')
    listed = read(site/'reference/index.html')
    for title in ('Training the embedded CLIP', 'Changelog'): assert f'>{title}</' in listed


def has_picture(cell) -> bool:
    kinds = [kind for out in cell.get('outputs', []) for kind in out.get('data', {})]
    return any(kind.startswith('image/') for kind in kinds)


def test_figures_are_told_in_words():
    for path in build.notebooks():
        for cell in filter(has_picture, build.visible(path).cells):
            words = cell.metadata.get('mystnb')
            assert words, f'a figure in {path.name} has no `#| fig-alt:`\n{cell.source}'


# Links, and the class

def prose(path: Path) -> str:
    "The text of a notebook"
    cells = nbformat.read(path, 4).cells
    return '\n\n'.join(cell.source for cell in cells if cell.cell_type == 'markdown')


def slug(heading: str) -> str:
    "What a link to a heading ends with"
    return re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')


@cache
def headings(path: Path) -> set[str]:
    "What links to the headings and definitions of a notebook end with"
    anchors = {slug(text) for text in re.findall(r'^#+ (.+)', prose(path), flags=re.MULTILINE)}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == 'code': anchors |= set(build.definitions(cell.source))
    return anchors


def test_links_lead_to_headings():
    wrong = []
    links = 0
    for path in build.notebooks():
        for page, anchor in re.findall(r'\]\(([\w./]*\.ipynb)?#([^)\s]+)\)', prose(path)):
            target = (path.parent/page).resolve() if page else path
            links += 1
            if anchor not in headings(target): wrong.append(f'{path.name}: {page}#{anchor}')
    assert links > 100
    assert not wrong, '\n'.join(wrong)


def test_slides(tmp_path):
    "They need nothing from elsewhere, and each has something to show and something to say"
    pytest.importorskip('sphinx_revealjs')
    slides = docs_module('slides')
    slides.build(tmp_path)
    text = read(tmp_path/'index.html')
    shown = re.findall(r'<section>(.*?)</section>', text, flags=re.DOTALL)
    assert len(shown) == len(slides.SLIDES) > 20
    for one in shown: assert 'class="notes"><p><strong>Show</strong>' in one
    for file in re.findall(r'(?:script src|rel="stylesheet" href)="([^"]+)"', text):
        assert (tmp_path/file).is_file()
    assert not re.search(r'src(set)?="(?!data:|\w+\.js)', text)
    assert not re.search(r'url\(["\']?https?:|@import', read(tmp_path/'reveal.css') + text)
