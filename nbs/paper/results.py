"""Compute README's Results and the report's verdicts anew, from the folder `evidence`.

    python results.py               seed 1 of each row; the verdicts, from stored scores: minutes
    python results.py --full        all seeds, on every set of photos
    python results.py --write       the same, and write taidpt/data/paper/results.csv

It ends in an error where a number differs by more than rounding."""
import argparse
import copy
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import nbformat
import pandas as pd
from nbclient import NotebookClient
from taidpt.classes import COCO, VOC2007
from taidpt.clip import load_clip
from taidpt.datasets.labelled import LabeledImages, bundled_photos
from taidpt.evaluate import Cell, markdown_table, measured
from taidpt.files import DATA, atomic_write
from taidpt.nounfilter import NounFilter
from taidpt.paper.family import FAMILY, bundled_results, family_cells, family_results
from taidpt.paper.study import Study
from taidpt.text.captions import bundled_captions

from controls import Untrained
from development import joined
from evidence import StoredStudy, photos

HERE = Path(__file__).parent
README_FILE = HERE.parent.parent/'README.md'
STORED = DATA/'paper'/'results.csv'
TABLE = 'rp-table'                          # the cell of the report that has all verdicts

METHODS = FAMILY | {'Untrained': Untrained}
README = ['zero-shot CLIP', 'zero-shot CLIP with DPT', 'Untrained', "TaI-DPT, the paper's recipe",
          'TaI-DPT', 'concepts with attention', 'prompts on pairs',
          'linear on pairs with attention']

# Sets of photos that one run scores: how they are read, and how many photos show a class at least
SETS = [
    (VOC2007, {'voc2012_dev': 10, 'voc2012_test': 10, 'flickr8k_test': 10, 'coco_dev': 1}),
    (COCO, {'coco_dev': 1}),
    (VOC2007, {'coco_demo': 1}), (COCO, {'coco_demo': 1})]      # the photos of the package

# The rows of VOC2012's photos that are given over other methods than zero-shot CLIP
BASELINES = {
    'concepts with attention': ['concepts with attention', 'TaI-DPT',
                                'linear on pairs with attention'],
    'TaI-DPT': ['TaI-DPT', 'zero-shot CLIP with DPT', 'Untrained']}


def margin(method: str) -> float:
    "Points of mAP by which a number may differ: more if it learns by descent"
    return .3 if 'TaI' in method or 'prompts' in method else .1


def learned_from(classes):
    "The bundled captions with their labels, also those that name no class"
    return NounFilter(classes).label(bundled_captions(), progress=False, keep_unnamed=True)


def stored_rows() -> dict[str, NamedTuple]:
    "Rows of the file of results on VOC2012's photos, by method"
    wanted = 'photos == "voc2012_dev" and variant == "as published"'
    return {row.method: row for row in bundled_results().query(wanted).itertuples()}


def readme_map() -> dict[str, str]:
    "The first column of numbers in README's table, by method"
    text = README_FILE.read_text(encoding='utf-8')
    cells = re.findall(r'^\| .+? \| .+? \| (\d+\.\d) \| ', text, re.MULTILINE)
    return dict(zip(README, cells, strict=True))


def readme_rows(study, names=tuple(README)) -> bool:
    "Rows of README's table, and seed 1 of each, beside their stored values; whether all agree"
    classes = VOC2007.spelled_naturally()
    labelled = photos('voc2012_dev', classes, 10)
    members = {name: METHODS[name] for name in names}
    cells = family_cells(study, labelled, learned_from(classes), members, seeds=[1])
    rows, in_readme = stored_rows(), readme_map()
    lines, all_agree = [], True
    for name in names:
        row, [cell] = rows[name], cells[name]
        now = measured(labelled, [cell.both]).map().value
        stored = float(row.by_seed.split()[0])
        agrees = abs(now - stored) <= margin(name) and in_readme[name] == f'{row.mAP:.1f}'
        all_agree &= agrees
        lines.append([name, f'{now:.2f}', f'{stored:.2f}', f'{row.mAP:.1f}',
                      in_readme[name], 'agree' if agrees else 'DIFFER'])
    print("mAP on VOC2012's photos\n")
    print(markdown_table(['', 'seed 1 now', 'stored', 'all seeds', 'README', ''], lines, 1))
    return all_agree


def read(name: str, classes, least: int) -> LabeledImages:
    "A set of photos, with labels of the classes that enough of them show"
    if name == 'coco_demo': return bundled_photos(classes)
    return photos(name, classes, least)


def of_rows(cells: dict[str, list[Cell]], rows: slice) -> dict[str, list[Cell]]:
    "The scores of some of the photos"
    def part(cell): return Cell([scores[rows] for scores in cell.branches], cell.seconds)
    return {name: list(map(part, of_seeds)) for name, of_seeds in cells.items()}


def all_rows(study, out: Path):
    "The file of results: the family on each set of photos, all seeds"
    for published, sets in SETS:
        classes = published.spelled_naturally()
        read_sets = {name: read(name, classes, least) for name, least in sets.items()}
        if 'coco_demo' in sets: study = Study(study.clip, study.folder)     # it encodes photos
        every = learned_from(classes)
        cells = family_cells(study, joined(*read_sets.values()), every, METHODS)
        start = 0
        for name, labelled in read_sets.items():
            of_set = of_rows(cells, slice(start, start + len(labelled)))
            start += len(labelled)
            by_baseline = {'zero-shot CLIP': [*METHODS]}
            if name.startswith('voc2012'): by_baseline |= BASELINES
            for baseline, methods in by_baseline.items():
                compared = {}
                for method in methods:
                    for row in (method, f'{method}, relative', f'{method}, centred'):
                        if row in of_set: compared[row] = of_set[row]
                family_results(out, compared, study.clip, labelled, every, baseline, name,
                               'COCO val2017')


def same_rows(new: Path) -> bool:
    "Whether a new file of results is as the stored one, but for rounding"
    key = ['photos', 'classes', 'method', 'variant', 'baseline']
    now, stored = (pd.read_csv(path).set_index(key) for path in (new, STORED))
    both = now.join(stored, lsuffix=' now', rsuffix=' stored', how='outer')
    apart = (both['mAP now'] - both['mAP stored']).abs()
    allowed = apart.index.get_level_values('method').map(margin)
    differ = both[~(apart <= allowed)]                      # also a row that one file lacks
    print(f'{len(both)} rows of results; the largest difference is {apart.max():.2f} points')
    if differ.empty: return True
    print('These differ:', differ[['mAP now', 'mAP stored']], sep='\n')
    return False


def shown_text(cell) -> str:
    "What a cell shows as text: tables, sentences and lines"
    texts = [out.get('data', {}).get('text/markdown') or out.get('text') or ''
             for out in cell.get('outputs', [])]
    return '\n'.join(map(''.join, texts))


def verdict_rows(page) -> list[list[str]]:
    "The report's table: its head, and each claim with its verdict and mean difference by column"
    [table] = [shown_text(cell) for cell in page.cells if cell.id == TABLE]
    lines = [line.strip('| ').split(' | ') for line in table.splitlines() if line.startswith('| ')]
    head, _, *lines = lines
    rows = [head]
    for claim, *columns in lines:
        bold = [', '.join(re.findall(r'\*\*(.+?)\*\*', column)) for column in columns]
        rows.append([claim[1:claim.index(']')], *bold])
    return rows


def report_verdicts() -> bool:
    "The report, computed from stored scores, beside what its page says; whether all is as there"
    stored = nbformat.read(HERE/'report.ipynb', as_version=4)
    fresh = copy.deepcopy(stored)
    NotebookClient(fresh, timeout=None, resources={'metadata': {'path': HERE}}).execute()
    on_page = verdict_rows(stored)
    head, *rows = verdict_rows(fresh)
    lines = [[*row, 'as there' if row in on_page else 'OTHERWISE'] for row in rows]
    print('\nVerdicts of the report, from stored scores\n')
    print(markdown_table([*head, 'page'], lines, len(head) + 1))
    differ = [now for before, now in zip(stored.cells, fresh.cells)
              if before.cell_type == 'code' and shown_text(before) != shown_text(now)]
    for cell in differ:
        print(f'\nThe page says otherwise (cell {cell.id}); now it is:\n{shown_text(cell)}')
    print('\nThe verdicts are ' + ('not ' if differ else '') + 'those of the page.')
    return not differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--full', action='store_true', help='all seeds, on every set of photos')
    parser.add_argument('--write', action='store_true', help='the same, and write results.csv')
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = StoredStudy(load_clip(device='cpu'), folder)
        new = Path(folder)/'results.csv'
        if asked.full or asked.write: all_rows(study, new)
        if asked.write:
            with atomic_write(STORED) as part: shutil.copy(new, part)
            return
        checks = [same_rows(new) if asked.full else readme_rows(study), report_verdicts()]
    if not all(checks): sys.exit('Some numbers differ from those that are stored.')


if __name__ == '__main__': main()
