"""What the pages give as the paper's words stands in the paper, and the lists of its supplement
(golden/supplement) are those of the package.

The rule for writers: in a sentence that names the paper or one of its sections, quotation marks
hold the paper's own words; examples are in italics. Words that are left out are three dots or
`[…]`.
"""
import os
import re
from pathlib import Path

import nbformat
import pytest

from taidpt.text.published_labels import published_names
from taidpt.texts import TEMPLATES

ROOT = Path(__file__).parents[1]
SUPPLEMENT = ROOT/'tests'/'golden'/'supplement'
SHARED = Path(os.environ.get('TAIDPT_SHARED') or ROOT.parent/'shared')
PAPER = SHARED/'reference'/'paper.txt'
NAMED = re.compile(r'\b[Tt]h(?:e|is) paper\b|Guo et al|\bSec\. ?\d')
QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”')
CODE = re.compile(r'```.*?```|`[^`]*`|<[^>]*>', flags=re.DOTALL)
GAP = re.compile(r'…|\.\.\.|\[…\]')


def words(text: str) -> str:
    """Letters and digits in lower case, a space between words, without the marks of TeX, Markdown
    and references"""
    text = re.sub(r'\[\d+(?:, ?\d+)*\]|\\[A-Za-z]+', ' ', text)
    return f' {" ".join(re.findall(r"[a-z0-9]+", text.lower()))} '


def as_read(text: str) -> list[str]:
    "The words of a printed text; a word that a line cuts is read without its hyphen, or with it"
    return [words(re.sub(r'-\s*\n\s*', hyphen, text)) for hyphen in ('', '-')]


def quotations(text: str) -> list[str]:
    "What stands in quotation marks in the sentences, and the rows of tables, that name the paper"
    quotes = []
    for line in CODE.sub(' ', text).splitlines():
        quoted = [a or b for a, b in QUOTED.findall(line)]
        masked = QUOTED.sub('«»', line)  # so that no sentence ends in a quotation
        ends = r'$' if line.startswith('|') else r'(?<=[.!?:»])\s+(?=[A-Z])'
        for sentence in re.split(ends, masked):
            in_sentence = [quoted.pop(0) for _ in range(sentence.count('«»'))]
            if NAMED.search(sentence): quotes += in_sentence
    return quotes


def missing(quotation: str, paper: list[str]) -> list[str]:
    "The parts of a quotation that are not in the paper"
    parts = [words(part) for part in GAP.split(quotation)]
    return [part for part in parts if not any(part in text for text in paper)]


def texts(path: Path) -> list[str]:
    "Prose of a page, and the tables that its code made"
    if path.suffix == '.md': return [path.read_text('utf-8')]
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == 'markdown': parts.append(cell.source)
        made = [output.get('data', {}) for output in cell.get('outputs', [])]
        parts += [data['text/markdown'] for data in made if 'text/markdown' in data]
    return parts


@pytest.mark.skipif(not PAPER.exists(), reason="the paper's text is not beside the checkout")
def test_the_papers_words_are_in_the_paper():
    paper = as_read(PAPER.read_text('utf-8'))
    pages = [ROOT/'README.md', *sorted((ROOT/'nbs').glob('**/*.ipynb'))]
    cited = [(path.stem, one) for path in pages for text in texts(path) for one in quotations(text)]
    assert len(cited) >= 10
    assert not [(page, one) for page, one in cited if missing(one, paper)]


def listed_words(path: Path) -> list[list[str]]:
    "The words of each class in a list of the supplement: {'bus', 'motor bus'}, …"
    classes = path.read_text('utf-8').split('}')
    return [re.findall(r"'([^']+)'", words) for words in classes if words.strip()]


@pytest.mark.parametrize(
    'name, file', [('voc2007', 'voc'), ('coco', 'coco'), ('nuswide', 'nuswide')])
def test_published_names_are_those_of_the_supplement(name, file):
    listed = listed_words(SUPPLEMENT/f'synonyms_{file}.txt')
    assert listed == list(published_names()[name].values())


def test_templates_are_those_of_the_supplement():
    lines = (SUPPLEMENT/'templates.txt').read_text('utf-8').splitlines()
    listed = [line.strip('"').replace('[CLASS]', '{}') for line in lines]
    assert len(TEMPLATES) == 80
    assert set(TEMPLATES) == set(listed)
