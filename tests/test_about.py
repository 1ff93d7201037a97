"""The files about the package agree with it and with each other: citation, changelog, README, forms of the repository."""
import configparser
import re

import yaml
from conftest import ROOT

import taidpt

ini = configparser.ConfigParser(delimiters=['='])
ini.read(ROOT/'settings.ini')
cfg = ini['DEFAULT']
SITE = cfg['doc_host'] + cfg['doc_baseurl']


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
    for group in re.findall('^### (.+)$', log, re.MULTILINE): assert re.match('Added|Changed|Deprecated|Removed|Fixed|Security', group)


def test_addresses():
    readme = text('README.md')
    assert f'git clone {cfg["git_url"]}\ncd {cfg["repo"]}\nmake demo ' in readme and f']({SITE})' in readme


def test_forms():
    "What GitHub needs to offer a form, and nothing asked for that is not there"
    forms = sorted((ROOT/'.github/ISSUE_TEMPLATE').glob('*.md'))
    assert {f.stem for f in forms} == {'bug', 'idea', 'question'}
    for form in forms:
        head = yaml.safe_load(form.read_text(encoding='utf-8').split('---\n')[1])
        assert head['name'] and head['about'] and head['labels'], form.name
    about = [*forms, ROOT/'.github/pull_request_template.md']
    for name in re.findall(r'`([\w./]+\.md)`', ' '.join(f.read_text(encoding='utf-8') for f in about)): assert (ROOT/name).exists()
