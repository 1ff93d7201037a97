"""Files on Ray, in two processes: the same labels and scores as without, and the same errors."""
import json

import pandas as pd
import pytest
import torch
from conftest import ROOT
from made import clip

from taidpt.all import VOC2007, NounFilter, ZeroShotCLIP, bundled_captions
from taidpt.apps.cluster import label_files, score_files

ray = pytest.importorskip('ray', reason='Ray is not installed: pip install "ray[data]"')
pytestmark = pytest.mark.xdist_group('ray')
PHOTOS = sorted((ROOT/'taidpt/data/coco_demo/images').iterdir())[:4]


@pytest.fixture(scope='module', autouse=True)
def two_workers():
    "A Ray of two processes on this machine, which is then used"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR')
    yield
    ray.shutdown()


def test_the_same_labels(tmp_path):
    "A broken file raises its name and line"
    captions = list(bundled_captions())[:900]
    source = tmp_path/'captions'
    source.mkdir()
    (source/'0.txt').write_text('\n'.join(captions[:300]))
    lines = [json.dumps(dict(caption=caption)) for caption in captions[300:]]
    (source/'1.jsonl').write_text('\n'.join(lines))
    label_files(VOC2007, source, tmp_path/'labels')
    found = NounFilter(VOC2007).label(captions, progress=False)
    table = pd.read_parquet(tmp_path/'labels')
    here = dict(zip(table['text'], map(list, table['labels'])))
    names = [[name for name, named in zip(VOC2007.names, row) if named] for row in found.labels]
    assert len(table) == len(found)
    assert here == dict(zip(found.texts, names))

    (source/'1.jsonl').write_text('\n'.join([*lines, '{"caption": "a d']))
    with pytest.raises(Exception, match=r'1\.jsonl: line 601'):
        label_files(VOC2007, source, tmp_path/'broken')


def test_the_same_scores(tmp_path):
    "A later run scores what is new; a broken picture has no scores"
    model = ZeroShotCLIP(clip(), VOC2007)
    model.save(tmp_path/'my.safetensors')
    source = tmp_path/'pictures'
    source.mkdir()
    for photo in PHOTOS[:2]: (source/photo.name).write_bytes(photo.read_bytes())

    def score():
        where = score_files(tmp_path/'my.safetensors', source, tmp_path/'out', 'skip')
        table = pd.read_parquet(where).sort_values('picture_path')
        return torch.tensor(table[VOC2007.names].to_numpy())

    assert torch.allclose(score(), model.predict(PHOTOS[:2]), atol=1e-5)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path/'out').rglob('*.parquet')}
    (source/PHOTOS[2].name).write_bytes(PHOTOS[2].read_bytes())
    (source/PHOTOS[3].name).write_bytes(PHOTOS[3].read_bytes()[:1000])
    scores = score()
    assert torch.allclose(scores[:3], model.predict(PHOTOS[:3]), atol=1e-5)
    assert scores[3].isnan().all()
    assert before.items() < {
        path: path.stat().st_mtime_ns for path in (tmp_path/'out').rglob('*.parquet')}.items()
