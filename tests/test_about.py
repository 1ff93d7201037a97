"""The files about the package agree with it and with each other: citation, changelog, README, licences, model card."""
import configparser
import json
import re
from fnmatch import fnmatch

import yaml
from conftest import ROOT
from huggingface_hub import ModelCard

import taidpt

ini = configparser.ConfigParser(delimiters=['='])
ini.read(ROOT/'settings.ini')
cfg = ini['DEFAULT']
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


def test_changelog():
    "The newest section is this version's, and each section has a link"
    log = text('CHANGELOG.md')
    sections = re.findall(r'^## \[(.+?)\] - (Unreleased|\d{4}-\d\d-\d\d)$', log, re.MULTILINE)
    assert len(sections) == len(re.findall('^## ', log, re.MULTILINE)) and sections[0][0] == taidpt.__version__
    for version, _ in sections: assert re.search(rf'^\[{re.escape(version)}\]: {cfg["git_url"]}', log, re.MULTILINE)


def test_links_of_the_readme():
    "Files that exist, the site, and the address to clone from"
    readme = text('README.md')
    links = re.findall(r'\]\(([^)#\s]+)|(?:src|href)="([^"#]+)"', readme)
    assert not [a or b for a, b in links if not re.match(r'https?:|mailto:', a or b) and not (ROOT/(a or b)).exists()]
    assert f'git clone {cfg["git_url"]}\ncd {cfg["repo"]}\nmake demo ' in readme and f']({SITE})' in readme


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
        assert re.search('Apache 2.0|MIT|CC BY|WordNet 3.0 licence', licence), f'{pattern}: {licence}'


def test_data_stand_in_these_folders():
    "A picture elsewhere would need an entry, too"
    endings = {'.jpg', '.jpeg', '.png', '.gif', '.svg', '.npz', '.safetensors', '.zip', '.gz', '.ttf', '.woff', '.woff2', '.js', '.css'}
    places = [ROOT/name for name in ('taidpt', 'nbs', 'docs', 'tests', 'benchmarks')]
    found = {p.relative_to(ROOT).as_posix() for place in places for p in place.rglob('*') if p.suffix in endings and p.is_file()}
    made = {f for f in found if re.search(r'(^|/)(_build|artifacts|\.ipynb_checkpoints)/', f)}
    assert found - made <= set(data_files())


def test_photos_are_credited():
    credits = json.loads(text('taidpt/data/coco_demo/attribution.json'))
    assert {c['image'] for c in credits} == {p.name for p in (ROOT/'taidpt/data/coco_demo/images').iterdir()}
    by = sum(c['license_url'].endswith('/by/2.0/') for c in credits)
    alike = sum(c['license_url'].endswith('/by-sa/2.0/') for c in credits)
    assert by + alike == len(credits)
    assert entries()['taidpt/data/coco_demo/images/*'][1].startswith(f'{by} under CC BY 2.0, {alike} under CC BY-SA 2.0')


def test_card_of_the_embedded_clip():
    "The library of the Hugging Face Hub reads it, and its numbers are those of its text"
    card = ModelCard.load(ROOT/'taidpt/data/mini_clip/README.md')
    about, lines = card.data, card.text.splitlines()
    assert (about.library_name, about.pipeline_tag) == ('open_clip', 'zero-shot-image-classification')
    assert about.license == 'other' and about.license_name and about.license_link.endswith('/LICENSES.md')
    head, row = (next(line for line in lines if line.startswith(f'| {name} |')) for name in ('mAP', 'zero-shot CLIP'))
    shown = dict(zip([c.strip() for c in head.split('|')[2:-1]], [float(c) for c in row.split('|')[2:-1]]))
    assert shown == {r.dataset_name.removeprefix('COCO val2017, '): r.metric_value for r in about.eval_results}
    assert len(shown) == 4
