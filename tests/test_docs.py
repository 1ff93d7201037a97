"""README.md and the site follow from the notebooks, and drawings from their script."""
import html
import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from conftest import ROOT, docs_module
from fontTools.ttLib import TTFont

build = docs_module('build')


def read(path: Path) -> str: return path.read_text(encoding='utf-8')


def test_readme_is_up_to_date():
    text = build.readme()
    assert read(ROOT/'README.md') == text, 'nbs/index.ipynb has changed: run `make readme`'
    assert len(text.split()) < 700


def test_the_idea_is_what_its_script_draws():
    idea = docs_module('idea')
    for name, svg in idea.drawings().items():
        assert read(build.images/name) == svg, 'docs/idea.py has changed: run it'
    assert idea.ABOUT in read(build.nbs/'tutorials/learn.ipynb')


@pytest.mark.parametrize('name', ['idea', 'found'])
def test_drawing_is_told_in_words(name):
    picture = rf'<img src="docs/images/{name}.svg"[^>]* alt="([^"]+)">'
    [alt] = re.findall(picture, read(ROOT/'README.md'))
    for file in build.images.glob(f'{name}*.svg'):
        told = ElementTree.parse(file).getroot().find('{*}desc').text
        assert html.unescape(alt) == told


# The site

def page_in(site: Path, notebook: Path) -> Path:
    "The page that is made from a notebook"
    return (site/notebook.relative_to(build.nbs)).with_suffix('.html')


def test_site_has_all_pages(site):
    "It builds without a warning, with a page for each notebook and file about it"
    pages = [page_in(site, notebook) for notebook in build.notebooks()]
    pages += [(site/name.lower()).with_suffix('.html') for name in build.about]
    assert len(pages) > len(build.about)
    for page in pages: assert '<h1>' in read(page), page


def test_site_is_whole(site):
    "Its tables are tables, its links lead somewhere, and it is no larger than it was"
    for notebook in build.notebooks():
        page = page_in(site, notebook)
        text = read(page)
        assert not re.search(r'<p>\s*\|', text), page
        for link in re.findall(r'href="([^":#]+\.html)(?:#[^"]*)?"', text):
            assert (page.parent/link).resolve().exists(), f'{page.name} links to {link}'
    sizes = [file.stat().st_size for file in site.rglob('*') if file.is_file()]
    assert sum(sizes) < 15e6


def test_equations_need_no_script(site):
    "Nor a font from elsewhere"
    font = TTFont(build.root/'docs/_static/math.woff').getBestCmap()
    signs = docs_module('mathfont').signs(site)
    missing = {sign for sign in signs if ord(sign) not in font}
    assert not missing, 'run docs/mathfont.py'
    scores = read(site/'06_scores.html')
    assert '<math' in scores
    assert not re.search(r'<script[^>]*src="https?:', scores)


def test_pages_of_the_site(site):
    "Names have anchors, tests are there, directives are not; figures have words, pages have links"
    scores = read(site/'06_scores.html')
    assert 'id="local_scores"' in scores
    assert 'test_eq' in scores
    assert 'default_exp' not in scores
    learn = read(site/'tutorials/learn.html')
    notebook = 'main/nbs/tutorials/learn.ipynb'
    assert 'alt="Cosine of each word of' in learn
    assert f'/edit/{notebook}' in learn
    assert f'href="https://colab.research.google.com/github/taidpt/taidpt/blob/{notebook}' in learn


SPINE = sorted(build.nbs.glob('[01]?_*.ipynb'))


@pytest.mark.parametrize('notebook', SPINE, ids=lambda path: path.stem)
def test_the_method_runs_on_colab(site, notebook):
    "A hidden cell installs the package there, so the site links to it"
    where = f'colab.research.google.com/github/taidpt/taidpt/blob/main/nbs/{notebook.name}'
    remedy = f'{notebook.name} has no hidden cell `![ -e /content ] && pip install …`'
    assert where in read(page_in(site, notebook)), remedy


def test_the_front_page_leads_on(site):
    "To what differs, what it costs in time, and other methods"
    page = read(site/'index.html')
    for name in ('differences', 'speed', 'family'): assert f'href="paper/{name}.html"' in page


def test_reference_of_the_site(site):
    "Parameters with their defaults, a link to the notebook, and what a class inherits"
    scores = read(site/'reference/scores.html')
    for part in ('<code', 'tau_s', '0.02', '../06_scores.html'): assert part in scores
    learner = read(site/'reference/learner.html')
    for name in ('fit', 'predict', 'predict_dense', 'save', 'load', 'score', 'set_params'):
        assert f'TaIDPT.{name}<' in learner


def has_picture(cell) -> bool:
    kinds = [kind for out in cell.get('outputs', []) for kind in out.get('data', {})]
    return any(kind.startswith('image/') for kind in kinds)


def test_figures_are_told_in_words():
    for path in build.notebooks():
        for cell in filter(has_picture, build.visible(path).cells):
            told = cell.metadata.get('mystnb')
            assert told, f'a figure in {path.name} has no `#| fig-alt:`\n{cell.source}'


# The glossary and the reference

GLOSSARY = build.nbs/'glossary.ipynb'


def prose(path: Path) -> str:
    "The text of a notebook"
    cells = nbformat.read(path, 4).cells
    return '\n\n'.join(cell.source for cell in cells if cell.cell_type == 'markdown')


def terms() -> dict[str, str]:
    "The terms of the glossary, and what it says of each"
    entries = re.findall(r'^### (.+)\n\n((?:.+\n?)+)', prose(GLOSSARY), flags=re.MULTILINE)
    assert len(entries) == len(dict(entries)), 'a term is there twice'
    return dict(entries)


def anchors() -> set[str]:
    "What links to its terms end with"
    return {re.sub(r'[^\w -]', '', term.lower()).replace(' ', '-') for term in terms()}


def test_glossary_is_in_order():
    "Its terms are sorted, each with a page that exists, and refer to each other"
    names = list(terms())
    assert len(names) > 50
    assert names == sorted(names, key=str.lower)
    for term, told in terms().items():
        page = re.search(r'\]\(([\w/]+\.ipynb)\)$', told.strip())
        assert page, term
        assert (build.nbs/page[1]).is_file(), term
        assert set(re.findall(r'\]\(#([^)]+)\)', told)) <= anchors(), term


def test_terms_are_in_the_glossary():
    "Links from other pages lead to a term; tutorials and spine have some"
    known = anchors()
    for path in build.notebooks():
        links = re.findall(r'\]\(([^)#\s]*glossary\.ipynb)#([^)\s]+)\)', prose(path))
        for page, term in links:
            told = f'{path.name}: {page}#{term}'
            assert (path.parent/page).resolve() == GLOSSARY, told
            assert term in known, told
        teaches = path.parent.name == 'tutorials' or re.match(r'[01]\d_', path.name)
        assert links or not teaches, path.name


def defined_in(name: str) -> set[str]:
    "Public functions and classes that a module defines"
    found = vars(importlib.import_module(name))
    own = {key for key, value in found.items() if getattr(value, '__module__', '') == name}
    return {key for key in own if callable(found[key]) and not key.startswith('_')}


def test_every_public_name_is_in_the_reference():
    modules = build.modules()
    assert {'TaIDPT', 'TaIDPT.fit'} <= set(modules['taidpt.learner'])
    for name, public in modules.items(): assert defined_in(name) <= set(public), name
