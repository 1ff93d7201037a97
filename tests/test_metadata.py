"""The files about the package agree with it and with each other: citation, README, licences; its
results are whole and in order."""
import re
from fnmatch import fnmatch

import pytest
import yaml
from conftest import ROOT
from test_lowest import settings

import taidpt
from taidpt.paper.family import FAMILY, bundled_results

cfg = settings()
SITE = cfg['doc_host'] + cfg['doc_baseurl']
FOLDERS = [
    'taidpt/data', 'docs/images', 'docs/_static', 'nbs/tutorials/images', 'tests/golden',
    'nbs/paper/evidence',
]


def text(name: str) -> str: return (ROOT/name).read_text(encoding='utf-8')


def test_citation():
    "It is what settings.ini says of the package, and what README.md says of the paper"
    cite = yaml.safe_load(text('CITATION.cff'))
    assert cite['version'] == taidpt.__version__ == cfg['version']
    assert cite['title'] == cfg['title']
    assert cite['authors'] == [{'name': cfg['author']}]
    assert cite['repository-code'] == cfg['git_url']
    assert cite['url'] == SITE

    paper = cite['preferred-citation']
    authors = [f'{author["family-names"]}, {author["given-names"]}' for author in paper['authors']]
    bibtex = dict(re.findall(r'^  (\w+) *= *\{(.+)\},?$', text('README.md'), re.MULTILINE))
    assert bibtex['title'] == paper['title']
    assert bibtex['author'] == ' and '.join(authors)
    assert f']({paper["url"]})' in text('README.md')


def test_each_promise_names_its_test():
    for module, name in re.findall('`(test_\\w+)::(test_\\w+)`', text('SECURITY.md')):
        assert f'def {name}(' in text(f'tests/{module}.py'), name


def test_links_of_the_readme():
    "Files that exist, the site, and the address to clone from"
    readme = text('README.md')
    links = re.findall(r'\]\(([^)#\s]+)', readme) + re.findall(r'(?:src|href)="([^"#]+)"', readme)
    files = [link for link in links if not re.match(r'https?:|mailto:', link)]
    assert not [link for link in files if not (ROOT/link).exists()]
    assert f'git clone {cfg["git_url"]}\ncd {cfg["repo"]}\nmake demo' in readme
    assert f'`pip install git+{cfg["git_url"]}`' in readme
    colab = cfg['git_url'].replace('//github.com', '//colab.research.google.com/github')
    [page] = re.findall(rf'\]\({colab}/blob/{cfg["branch"]}/([^)]+)\)', readme)
    assert '[ -e /content ] && pip install' in text(page)
    assert f']({SITE})' in readme


def data_files() -> list[str]:
    "All files that are no code"
    files = []
    for folder in FOLDERS:
        for path in sorted((ROOT/folder).rglob('*')):
            made = {'__pycache__', '.ipynb_checkpoints'} & set(path.parts)
            if path.is_file() and not made: files.append(path.relative_to(ROOT).as_posix())
    return files


def test_each_file_of_data_has_a_licence():
    files = data_files()
    rows = re.findall(r'^\| (`.*?) \| .+ \| (.+) \|$', text('LICENSES.md'), re.MULTILINE)
    patterns = [pattern for row, _ in rows for pattern in re.findall('`(.+?)`', row)]
    for file in files: assert any(fnmatch(file, pattern) for pattern in patterns), file
    for _, licence in rows:
        assert re.search('Apache 2.0|MIT|CC BY|SIL OFL|WordNet 3.0 licence', licence), licence


SETS = {('voc2012_dev', 'voc2007'), ('voc2012_test', 'voc2007'), ('flickr8k_test', 'voc2007'),
        ('coco_dev', 'voc2007'), ('coco_dev', 'coco'),
        ('coco_demo', 'voc2007'), ('coco_demo', 'coco')}


def seeds_of(method: str) -> int:
    "How many seeds a method is run with: three, where they matter"
    return 3 if 'TaI' in method or method == 'prompts on pairs' else 1


def test_every_set_has_every_method():
    "Zero-shot CLIP first; each as published and centred, those of the family with relative scores"
    by_set = {}
    for result in bundled_results().itertuples():
        by_set.setdefault((result.photos, result.classes), []).append(result)
    assert by_set.keys() == SETS
    for results in by_set.values():
        wanted = {}
        for method in FAMILY:
            for variant in ('as published', 'relative', 'centred'):
                wanted[method, variant] = seeds_of(method)
        wanted |= {('Untrained', 'as published'): 3, ('Untrained', 'centred'): 3}
        first = results[0]
        assert first.method == next(iter(FAMILY))
        assert first.variant == 'as published'
        assert (first.gain, first.gain_low, first.gain_high) == (0, 0, 0)
        seeds = {(result.method, result.variant): result.seeds for result in results}
        remedy = 'run the commands of nbs/paper/family.ipynb again'
        assert seeds == wanted, f'a member is new or gone: {remedy}'
        conditions = {(r.clip, r.weights, r.preparation, r.captions, r.data) for r in results}
        assert len(conditions) == 1
        base = {result.variant: result.mAP for result in results if result.method == first.method}
        base['relative'] = first.mAP
        for result in results:
            assert result.gain == pytest.approx(result.mAP - base[result.variant], abs=.011)
