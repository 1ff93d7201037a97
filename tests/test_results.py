"""README's Results are those of results.csv, and can be computed anew from the evidence in the
repository."""
import re

import nbformat
import pytest
from conftest import ROOT, paper_module

from taidpt.paper.family import bundled_results

results = paper_module('results')
METHODS = {                                         # row of the README -> method
    'zero-shot CLIP': 'zero-shot CLIP', 'zero-shot CLIP with DPT': 'zero-shot CLIP with DPT',
    'untrained prompts': 'Untrained',
    "TaI-DPT, the paper's schedule": "TaI-DPT, the paper's recipe",
    'TaI-DPT, recommended †': 'TaI-DPT'} | {f'{method} †': method for method in (
        'concepts with attention', 'prompts on pairs', 'linear on pairs with attention')}
COLUMNS = (                                         # photos and variant of each column
    ('voc2012_test', 'as published'), ('voc2012_test', 'centred'),
    ('voc2012_dev', 'as published'), ('voc2012_dev', 'centred'))


def test_the_table_of_the_readme():
    "These rows, no other, with the numbers of results.csv: mAP, and its interval on test photos"
    stored = bundled_results().set_index(['photos', 'classes', 'method', 'variant'])
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    lines = re.findall(r'^\| (.+?) \| .+? \| (\d.+ \| \d.+) \|$', text, re.MULTILINE)
    assert [name for name, _ in lines] == [*METHODS]
    for name, cells in lines:
        for cell, (photos, variant) in zip(cells.split(' | '), COLUMNS, strict=True):
            row = stored.loc[photos, 'voc2007', METHODS[name], variant]
            shown = [float(x) for x in re.findall(r'\d+\.\d', cell)]
            assert shown == pytest.approx([row.mAP, row.low, row.high][:len(shown)], abs=.0561)


@pytest.fixture
def study(tmp_path):
    return results.StoredStudy(results.load_clip(device='cpu'), tmp_path)


def test_rows_that_take_seconds(study, monkeypatch):
    "Those that no caption changes: to encode all of them takes half a minute"
    few = list(results.bundled_captions())[:300]
    monkeypatch.setattr(results, 'bundled_captions', lambda: few)
    names = ['zero-shot CLIP', 'zero-shot CLIP with DPT', 'Untrained']
    assert results.readme_rows(study, names)


def test_a_row_that_differs_is_an_error(study, monkeypatch, capsys):
    rows = results.stored_rows()
    wrong = {'zero-shot CLIP': rows['zero-shot CLIP']._replace(by_seed='12.34')}
    monkeypatch.setattr(results, 'stored_rows', lambda: wrong)
    assert not results.readme_rows(study, ['zero-shot CLIP'])
    assert 'DIFFER' in capsys.readouterr().out


def test_a_cell_of_the_readme_that_differs_is_an_error(study, monkeypatch, tmp_path, capsys):
    text = results.README_FILE.read_text(encoding='utf-8')
    other = tmp_path/'README.md'
    other.write_text(text.replace('| 44.1 |', '| 44.3 |'), encoding='utf-8')
    assert other.read_text(encoding='utf-8') != text
    monkeypatch.setattr(results, 'README_FILE', other)
    assert not results.readme_rows(study, ['zero-shot CLIP'])
    assert 'DIFFER' in capsys.readouterr().out


def test_words_of_the_verdicts():
    "Each is one of five, and where there is a mean, the table says what the test could have seen"
    words = {'holds', 'does not hold', 'underpowered', 'tuned only', 'not run'}
    page = nbformat.read(results.HERE/'report.ipynb', as_version=4)
    _, *rows = results.verdict_rows(page)
    seen_words = set()
    for _, _, *columns in rows:
        for verdict, could_have_seen in zip(columns[::2], columns[1::2], strict=True):
            seen_words.add(verdict.partition(', ')[0])
            assert bool(could_have_seen) == (', mean ' in verdict)
            assert (', p ' in verdict) == (', mean ' in verdict and 'tuned only' not in verdict)
    assert seen_words == words
