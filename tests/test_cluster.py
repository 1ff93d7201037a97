"""Files on Ray, in two processes: the same labels and scores as without, and the same errors."""
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from taidpt.all import VOC2007, NounFilter, TaIDPT, bundled_captions, load_clip
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


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    "Three files of captions, one with a broken line; two of pictures, one broken; prompts"
    here = tmp_path_factory.mktemp('cluster')
    captions = list(bundled_captions())[:900]
    (here/'captions').mkdir()
    lines = [json.dumps(dict(caption=c)) for c in captions]
    pq.write_table(pa.table(dict(caption=captions[:300])), here/'captions/0.parquet')
    (here/'captions/1.jsonl').write_text('\n'.join(lines[300:600]))
    (here/'captions/2.jsonl').write_text('\n'.join([*lines[600:700], '{"caption": "a d', *lines[700:]]))
    (here/'pictures').mkdir()
    rows = [dict(bytes=p.read_bytes(), path=p.name) for p in PHOTOS]
    pq.write_table(pa.table(dict(image=rows[:2])), here/'pictures/0.parquet')
    rows[3]['bytes'] = rows[3]['bytes'][:1000]
    pq.write_table(pa.table(dict(image=rows[2:])), here/'pictures/1.parquet')
    animals = NounFilter(['cat', 'dog']).label(captions, progress=False)
    TaIDPT(load_clip(device='cpu'), animals.classes, n_ctx=2, epochs=1).fit(animals, progress=False).save(here/'my.safetensors')
    return here


def rows(folder): return {p.name: pq.read_table(p).to_pylist() for p in sorted(folder.iterdir())}


def test_the_same_labels(here):
    def label(out, **kwargs): return label_files(VOC2007, here/'captions', here/out, progress=False, **kwargs)
    with pytest.raises(ValueError, match='1 of 3 files.*2.jsonl'): label('labels-ray', ray=True)
    assert set(rows(here/'labels-ray')) == {'0.parquet.parquet', '1.jsonl.parquet'}

    # the next run does what is left, here what has been repaired, with Ray or without
    broken = here/'captions/2.jsonl'
    broken.write_text(broken.read_text().replace('{"caption": "a d\n', ''))
    task, = label('labels-ray')
    assert (task['name'], task['read']) == ('2.jsonl', 300) and label('labels-ray', ray=True) == []
    label('labels')
    assert rows(here/'labels') == rows(here/'labels-ray')


def test_the_same_scores(here):
    def score(out, **kwargs): return score_files(here/'my.safetensors', here/'pictures', here/out, progress=False, on_error='skip', **kwargs)
    whole, half = score('scores-ray', ray=True)
    assert (whole['kept'], half['read'], half['kept']) == (2, 2, 1) and 'Skipped' in half['told'][0]
    score('scores')
    ours, theirs = ([row for some in rows(here/out).values() for row in some] for out in ('scores', 'scores-ray'))
    assert [r['picture'] for r in ours] == [r['picture'] for r in theirs] == [p.name for p in PHOTOS]
    assert ours[3]['scores'] is theirs[3]['scores'] is None
    assert torch.allclose(*(torch.tensor([r['scores'] for r in some[:3]]) for some in (ours, theirs)), atol=1e-5)
