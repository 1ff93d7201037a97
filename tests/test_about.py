"""The files about the package agree with it and with each other: citation, README, licences; its results are whole and in order."""
import json
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
FOLDERS = ['taidpt/data', 'docs/images', 'docs/_static', 'nbs/tutorials/images', 'tests/golden']


def text(name) -> str: return (ROOT/name).read_text(encoding='utf-8')


def test_citation():
    "It is what settings.ini says of the package, and what README.md says of the paper"
    cite = yaml.safe_load(text('CITATION.cff'))
    assert cite['cff-version'] == '1.2.0' and cite['message'] and cite['type'] == 'software'
    assert cite['version'] == taidpt.__version__ == cfg['version']
    assert cite['title'] == cfg['title'] and cite['authors'] == [{'name': cfg['author']}]
    assert cite['license'] == 'Apache-2.0' and cite['repository-code'] == cfg['git_url'] and cite['url'] == SITE
    paper = cite['preferred-citation']
    authors = ' and '.join(f'{a["family-names"]}, {a["given-names"]}' for a in paper['authors'])
    bibtex = dict(re.findall(r'^  (\w+) += \{(.+)\},?$', text('README.md'), re.MULTILINE))
    assert bibtex == dict(title=paper['title'], author=authors, booktitle=paper['collection-title'], year=str(paper['year']))
    assert f']({paper["url"]})' in text('README.md')


def test_links_of_the_readme():
    "Files that exist, the site, and the address to clone from"
    readme = text('README.md')
    links = re.findall(r'\]\(([^)#\s]+)|(?:src|href)="([^"#]+)"', readme)
    assert not [a or b for a, b in links if not re.match(r'https?:|mailto:', a or b) and not (ROOT/(a or b)).exists()]
    assert f'git clone {cfg["git_url"]}\ncd {cfg["repo"]}\npip install .' in readme and f']({SITE})' in readme


def test_the_readme_begins_with_the_two_commands():
    "They do everything, and CI runs the second"
    top = text('README.md').splitlines()[:20]
    commands = [line.partition('#')[0].strip() for line in top if line.startswith('make ')]
    assert commands == ['make demo', 'make test']
    assert re.search(r'^exec make test\b', text('.ci/run'), re.MULTILINE)


def entries() -> dict[str, tuple[str, str]]:
    "LICENSES.md: pattern of files -> what it is, licence"
    rows = re.findall(r'^\| (`.*?) \| (.+) \| (.+) \|$', text('LICENSES.md'), re.MULTILINE)
    return {pattern: (what, licence) for files, what, licence in rows for pattern in re.findall('`(.+?)`', files)}


def data_files() -> list[str]:
    return [p.relative_to(ROOT).as_posix() for folder in FOLDERS for p in sorted((ROOT/folder).rglob('*'))
            if p.is_file() and not {'__pycache__', '.ipynb_checkpoints'} & set(p.parts)]


def test_each_file_of_data_has_a_licence():
    known = data_files()
    assert not [f for f in known if not any(fnmatch(f, pattern) for pattern in entries())]
    assert not [pattern for pattern in entries() if not any(fnmatch(f, pattern) for f in known) and pattern != 'nbs/']
    for pattern, (what, licence) in entries().items():
        assert re.search('Apache 2.0|MIT|CC BY|SIL OFL|WordNet 3.0 licence', licence), f'{pattern}: {licence}'


def test_photos_are_credited():
    credits = json.loads(text('taidpt/data/coco_demo/attribution.json'))
    assert {c['image'] for c in credits} == {p.name for p in (ROOT/'taidpt/data/coco_demo/images').iterdir()}
    for c in credits: assert c['license_url'].endswith(('/by/2.0/', '/by-sa/2.0/'))


def test_every_set_has_every_method():
    "Zero-shot CLIP first, each with and without relative scores, three seeds where they matter"
    by_set = {}
    for r in bundled_results(): by_set.setdefault((r.photos, r.classes), []).append(r)
    assert by_set.keys() == {('voc2012_dev', 'voc2007'), ('coco_dev', 'voc2007'), ('coco_dev', 'coco'), ('coco_demo', 'voc2007'), ('coco_demo', 'coco')}
    wanted = {(m, r): 3 if 'TaI' in m or m == 'prompts on pairs' else 1 for m in FAMILY for r in (False, True)}
    for some in by_set.values():
        assert some[0].method == next(iter(FAMILY)) and not some[0].relative
        assert {(r.method, r.relative): r.seeds for r in some} == wanted, 'a member is new or gone: run the commands of nbs/paper/family.ipynb again'
        assert len({(r.clip, r.weights, r.captions, r.data) for r in some}) == 1
        assert some[0].over_zeroshot == (0, 0, 0)
        assert all(r.gain == pytest.approx(r.map - some[0].map, abs=.011) for r in some)
