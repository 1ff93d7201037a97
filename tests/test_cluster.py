"""Files on Ray, in two processes: the same labels and scores as without, and the same errors."""
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from made import clip

from taidpt.all import VOC2007, NounFilter, TaIDPT, bundled_captions
from taidpt.apps.cluster import label_files, score_files

ray = pytest.importorskip('ray', reason='Ray is not installed: pip install "ray[data]"')
pytestmark = pytest.mark.xdist_group('ray')
PHOTOS = sorted((ROOT/'taidpt/data/coco_demo/images').iterdir())[:4]
BROKEN = '{"caption": "a d'


@pytest.fixture(scope='module', autouse=True)
def two_workers():
    "A Ray of two processes on this machine, which is then used"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR')
    yield
    ray.shutdown()


def write_captions(folder, captions: list[str]):
    "Three files of captions, the last with a broken line"
    folder.mkdir()
    lines = [json.dumps(dict(caption=caption)) for caption in captions]
    pq.write_table(pa.table(dict(caption=captions[:300])), folder/'0.parquet')
    (folder/'1.jsonl').write_text('\n'.join(lines[300:600]))
    (folder/'2.jsonl').write_text('\n'.join([*lines[600:700], BROKEN, *lines[700:]]))


def write_pictures(folder):
    "Two files of two pictures, the last picture broken"
    folder.mkdir()
    rows = [dict(bytes=path.read_bytes(), path=path.name) for path in PHOTOS]
    rows[3]['bytes'] = rows[3]['bytes'][:1000]
    pq.write_table(pa.table(dict(image=rows[:2])), folder/'0.parquet')
    pq.write_table(pa.table(dict(image=rows[2:])), folder/'1.parquet')


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    "A folder with captions, pictures and prompts"
    here = tmp_path_factory.mktemp('cluster')
    captions = list(bundled_captions())[:900]
    write_captions(here/'captions', captions)
    write_pictures(here/'pictures')
    animals = NounFilter(['cat', 'dog']).label(captions, progress=False)
    model = TaIDPT(clip(), animals.classes, n_ctx=2, epochs=1, templates=False)
    model.fit(animals, progress=False).save(here/'my.safetensors')
    return here


def rows_by_file(folder) -> dict[str, list[dict]]:
    return {path.name: pq.read_table(path).to_pylist() for path in sorted(folder.iterdir())}


def test_the_same_labels(here):
    def label(out, **how):
        return label_files(VOC2007, here/'captions', here/out, progress=False, **how)

    with pytest.raises(ValueError, match='1 of 3 files.*2.jsonl'): label('labels-ray', ray='auto')
    assert set(rows_by_file(here/'labels-ray')) == {'0.parquet.parquet', '1.jsonl.parquet'}

    # the next run does what is left, here what has been repaired
    broken = here/'captions/2.jsonl'
    broken.write_text(broken.read_text().replace(f'{BROKEN}\n', ''))
    [task] = label('labels-ray', ray='auto')
    assert (task['name'], task['read']) == ('2.jsonl', 300)
    label('labels')
    assert rows_by_file(here/'labels') == rows_by_file(here/'labels-ray')


def test_the_same_scores(here):
    def score(out, **how):
        prompts = here/'my.safetensors'
        pictures = here/'pictures'
        return score_files(prompts, pictures, here/out, progress=False, on_error='skip', **how)

    whole, half = score('scores-ray', ray='auto')
    assert whole['kept'] == 2
    assert (half['read'], half['kept']) == (2, 1)

    score('scores')
    found = []
    for folder in ('scores', 'scores-ray'):
        rows = sum(rows_by_file(here/folder).values(), [])
        assert [row['picture'] for row in rows] == [path.name for path in PHOTOS]
        assert rows[3]['scores'] is None
        found.append(torch.tensor([row['scores'] for row in rows[:3]]))
    assert torch.allclose(*found, atol=1e-5)
