"""README.md and the site follow from the notebooks."""
import importlib
import importlib.util
import re
import sys

import pytest
from conftest import ROOT, run

spec = importlib.util.spec_from_file_location('build', ROOT/'docs/build.py')
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


def test_readme_is_up_to_date():
    assert (ROOT/'README.md').read_text(encoding='utf-8') == build.readme(), 'nbs/index.ipynb has changed: run `make readme`'


def test_readme_links():
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    links = re.findall(r'\]\(([^)#\s]+)|(?:src|href)="([^"#]+)"', text)
    missing = [a or b for a, b in links if not re.match(r'https?:|mailto:', a or b) and not (ROOT/(a or b)).exists()]
    assert not missing


def test_site(tmp_path):
    "It builds without a warning, with a page for each notebook, and its equations need no script from elsewhere"
    pytest.importorskip('myst_nb')
    assert run(sys.executable, 'docs/build.py', 'site').returncode == 0
    done = run(sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-c', 'docs', 'docs/_build/src', tmp_path)
    assert done.returncode == 0
    pages = {p: (tmp_path/p.relative_to(build.nbs)).with_suffix('.html').read_text(encoding='utf-8') for p in build.notebooks()}
    assert pages
    for path, page in pages.items(): assert '<h1>' in page and not re.search(r'<p>\s*\|', page), path       # and tables are tables
    scores = pages[build.nbs/'05_scores.ipynb']
    assert '<math' in scores and 'id="local_scores"' in scores and 'test_eq' in scores and 'default_exp' not in scores
    assert 'nbdev_export' not in scores and not re.search(r'<script[^>]*src="https?:', scores)
    for path, page in pages.items():
        for link in re.findall(r'href="([^":#]+\.html)(?:#[^"]*)?"', page):
            assert ((tmp_path/path.relative_to(build.nbs)).parent/link).resolve().exists(), f'{path.name} links to {link}'
    learn = pages[build.nbs/'tutorials/learn.ipynb']
    assert 'alt="Cosine of each word of' in learn and '/edit/main/nbs/tutorials/learn.ipynb' in learn          # figures in words; "edit this page"
    front = pages[build.nbs/'index.ipynb']
    places = [front.index(f'href="tutorials/{name}.html"') for name in build.first]
    assert places == sorted(places)
    reference = (tmp_path/'reference/scores.html').read_text(encoding='utf-8')
    assert '<code' in reference and 'tau_s' in reference and '0.02' in reference and '../05_scores.html' in reference


def test_every_public_name_is_in_the_reference():
    modules = build.modules()
    assert {'TaIDPT', 'TaIDPT.fit', 'PromptTuner.predict'} <= set(modules['taidpt.learner']) and 'TaIDPT.from_pretrained' in modules['taidpt.sharing']
    for name, public in modules.items():
        defined = {k for k, v in vars(importlib.import_module(name)).items() if getattr(v, '__module__', '') == name and callable(v) and k[0] != '_'}
        assert defined <= set(public), name
