"""README.md and the site follow from the notebooks, and drawings from their script."""
import html
import importlib
import re
from xml.etree import ElementTree

import nbformat
import pytest
from conftest import ROOT, docs_module
from fontTools.ttLib import TTFont

build = docs_module('build')


def test_readme_is_up_to_date():
    text = build.readme()
    assert (ROOT/'README.md').read_text(encoding='utf-8') == text, 'nbs/index.ipynb has changed: run `make readme`'
    assert len(text.split()) < 700


def test_the_idea_is_what_its_script_draws():
    idea = docs_module('idea')
    for name, svg in idea.drawings().items():
        assert (build.images/name).read_text(encoding='utf-8') == svg, 'docs/idea.py has changed: run it'
    assert idea.ABOUT in (build.nbs/'tutorials/learn.ipynb').read_text(encoding='utf-8')


@pytest.mark.parametrize('name', ['idea', 'found'])
def test_drawing_is_told_in_words(name):
    [alt] = re.findall(rf'<img src="docs/images/{name}.svg"[^>]* alt="([^"]+)">', (ROOT/'README.md').read_text(encoding='utf-8'))
    for file in build.images.glob(f'{name}*.svg'): assert html.unescape(alt) == ElementTree.parse(file).getroot().find('{*}desc').text


def test_site(site):
    "It builds without a warning, with a page for each notebook, and its equations need no script from elsewhere"
    pages = {p: (site/p.relative_to(build.nbs)).with_suffix('.html').read_text(encoding='utf-8') for p in build.notebooks()}
    assert pages
    for path, page in pages.items(): assert '<h1>' in page and not re.search(r'<p>\s*\|', page), path       # and tables are tables
    font = TTFont(build.root/'docs/_static/math.woff').getBestCmap()
    assert not {c for c in docs_module('mathfont').signs(site) if ord(c) not in font}, 'run docs/mathfont.py'
    scores = pages[build.nbs/'06_scores.ipynb']
    assert '<math' in scores and 'id="local_scores"' in scores and 'test_eq' in scores and 'default_exp' not in scores
    assert not re.search(r'<script[^>]*src="https?:', scores)
    for path, page in pages.items():
        for link in re.findall(r'href="([^":#]+\.html)(?:#[^"]*)?"', page):
            assert ((site/path.relative_to(build.nbs)).parent/link).resolve().exists(), f'{path.name} links to {link}'
    learn = pages[build.nbs/'tutorials/learn.ipynb']
    assert 'alt="Cosine of each word of' in learn and '/edit/main/nbs/tutorials/learn.ipynb' in learn          # figures in words; "edit this page"
    assert 'href="https://colab.research.google.com/github/taidpt/taidpt/blob/main/nbs/tutorials/learn.ipynb"' in learn
    assert sum(f.stat().st_size for f in site.rglob('*') if f.is_file()) < 15e6
    for name in build.about: assert '<h1>' in (site/name.lower()).with_suffix('.html').read_text(encoding='utf-8')
    reference = (site/'reference/scores.html').read_text(encoding='utf-8')
    assert '<code' in reference and 'tau_s' in reference and '0.02' in reference and '../06_scores.html' in reference
    learner = (site/'reference/learner.html').read_text(encoding='utf-8')
    for name in ('fit', 'predict', 'predict_dense', 'save', 'load', 'score', 'set_params'): assert f'TaIDPT.{name}<' in learner


def test_figures_are_told_in_words():
    for path in build.notebooks():
        for cell in build.visible(path).cells:
            if any(mime.startswith('image/') for out in cell.get('outputs', []) for mime in out.get('data', {})):
                assert cell.metadata.get('mystnb'), f'a figure in {path.name} has no `#| fig-alt:`\n{cell.source}'


def text_of(path): return '\n\n'.join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == 'markdown')


def test_terms_are_in_the_glossary():
    "Its terms are in order, each with a page that exists; links from other pages lead to a term; tutorials and spine have some"
    glossary = build.nbs/'glossary.ipynb'
    entries = re.findall(r'^### (.+)\n\n((?:.+\n?)+)', text_of(glossary), flags=re.MULTILINE)
    terms = [term for term, _ in entries]
    assert len(terms) > 50 and terms == sorted(set(terms), key=str.lower)
    known = {re.sub(r'[^\w -]', '', term.lower()).replace(' ', '-') for term in terms}
    for term, told in entries:
        assert (page := re.search(r'\]\(([\w/]+\.ipynb)\)$', told.strip())) and (build.nbs/page[1]).is_file(), term
        assert set(re.findall(r'\]\(#([^)]+)\)', told)) <= known, term
    for path in build.notebooks():
        links = re.findall(r'\]\(([^)#\s]*glossary\.ipynb)#([^)\s]+)\)', text_of(path))
        for page, term in links: assert (path.parent/page).resolve() == glossary and term in known, f'{path.name}: {page}#{term}'
        assert links or not (path.parent.name == 'tutorials' or re.match(r'[01]\d_', path.name)), path.name


def test_every_public_name_is_in_the_reference():
    modules = build.modules()
    assert {'TaIDPT', 'TaIDPT.fit'} <= set(modules['taidpt.learner'])
    for name, public in modules.items():
        defined = {k for k, v in vars(importlib.import_module(name)).items() if getattr(v, '__module__', '') == name and callable(v) and k[0] != '_'}
        assert defined <= set(public), name
