"""Model cards in the form of the Hugging Face Hub: its own library reads them, and their numbers are those of the text."""
import json

import numpy as np
import re
from conftest import ROOT
from huggingface_hub import ModelCard, metadata_load

CARD = ROOT/'taidpt/data/mini_clip/README.md'
SETS = {('coco', 'coco_dev'): 'COCO 80, 126 photos', ('voc2007', 'coco_dev'): 'VOC 20, 126 photos',
        ('coco', 'coco_demo'): 'COCO 80, 36 photos', ('voc2007', 'coco_demo'): 'VOC 20, 36 photos'}


def zero_shot(text):
    "The row of zero-shot CLIP in the table of the text"
    head = next(line for line in text.splitlines() if line.startswith('| mAP |'))
    row = next(line for line in text.splitlines() if line.startswith('| zero-shot CLIP |'))
    return dict(zip([c.strip() for c in head.split('|')[2:-1]], [float(c) for c in row.split('|')[2:-1]]))


def test_card_of_the_embedded_clip():
    card = ModelCard.load(CARD)
    about = card.data
    assert (about.library_name, about.pipeline_tag, about.language) == ('open_clip', 'zero-shot-image-classification', 'en')
    assert about.license == 'other' and about.license_name and about.license_link.endswith('/LICENSES.md')
    assert {'clip', 'multi-label'} <= set(about.tags) and about.metrics == ['mAP']
    assert all(re.fullmatch(r'[\w.-]+/[\w.-]+', name) for name in about.datasets)
    told = {r.dataset_name.removeprefix('COCO val2017, '): r.metric_value for r in about.eval_results}
    assert told == zero_shot(card.text) and len(told) == 4
    assert all((r.metric_type, r.task_type) == ('mAP', about.pipeline_tag) for r in about.eval_results)


def test_it_is_what_the_notebook_writes():
    "The metadata, from the cells of the page that makes the card"
    cells = {c['id']: ''.join(c['source']) for c in json.loads((ROOT/'nbs/paper/train_mini_clip.ipynb').read_text(encoding='utf-8'))['cells']}
    measured = zero_shot(CARD.read_text(encoding='utf-8'))
    names = dict(np=np, re=re, shown_as=SETS, results={k: {'zero-shot CLIP': [measured[name]]} for k, name in SETS.items()})
    for cell in ('tr-037a', 'tr-037b'): exec(cells[cell], names)
    assert names['metadata'].to_dict() == metadata_load(CARD)
    assert "{metadata.to_yaml()}" in cells['tr-038']
