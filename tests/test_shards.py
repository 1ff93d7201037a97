"""Shards on Ray, in two processes: the same files as without, and the same errors."""
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from taidpt.apps.cli import main
from taidpt.support.captions import bundled_captions

ray = pytest.importorskip('ray', reason='Ray is not installed: pip install "taidpt[ray]"')
pytestmark = pytest.mark.xdist_group('ray')
PHOTOS = sorted((ROOT/'taidpt/data/coco_demo/images').iterdir())[:4]


@pytest.fixture(scope='module', autouse=True)
def two_workers():
    "A Ray of two processes on this machine, which the command then uses"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR')
    yield
    ray.shutdown()


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    "Three shards of captions, one with a broken record; two of pictures, one broken; prompts"
    here = tmp_path_factory.mktemp('shards')
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
    (here/'few.txt').write_text('\n'.join(c for c in captions if ' dog' in c or ' cat' in c))
    assert main(['train', '--classes', 'cat,dog', '--captions', f'{here}/few.txt', '--epochs', '1', '--n-ctx', '2', '--out', f'{here}/my.safetensors']) == 0
    return here


def contents(folder): return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize('what, rest, row', [('label', ('captions', '--classes', 'voc2007'), '2.jsonl, row 101'),
                                             ('predict', ('my.safetensors', 'pictures'), '1.parquet, row 2')], ids=['label', 'predict'])
def test_the_same_on_ray(here, taidpt, what, rest, row):
    command = [what, *(here/r if (here/r).exists() else r for r in rest)]
    alone, on_ray = here/f'{what}-alone', here/f'{what}-ray'

    # a broken record is told with its shard and row; the other shards are done
    status, said = taidpt(*command, '--out', on_ray, '--ray', '--workers', 2)
    whole = set(contents(on_ray))
    assert status == 1 and row in said and '--on-error skip' in said and whole and not any(n in row for n in whole)

    # the next run does what is left
    kept = {p: p.stat().st_mtime_ns for p in on_ray.iterdir()}
    status, said = taidpt(*command, '--out', on_ray, '--ray', '--workers', 2, '--on-error', 'skip')
    assert status == 0 and '1 shard done' in said and row in said
    assert {p: p.stat().st_mtime_ns for p in kept} == kept

    # and without Ray the files are the same, to the last digit with as many threads as Ray gives a process
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try: status, said = taidpt(*command, '--out', alone, '--on-error', 'skip')
    finally: torch.set_num_threads(threads)
    assert status == 0 and contents(alone) == contents(on_ray)
