"""Files on Ray, in two processes: the same labels and scores as without, and the same errors."""
import importlib
import json
import os
import pickle
from contextlib import suppress
from unittest import mock

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from factories import Touch, clip

from taidpt.all import (
    VOC2007,
    LabeledTexts,
    NounFilter,
    ZeroShotCLIP,
    bundled_captions,
    read_captions,
)
from taidpt.apps.cluster import label_files, score_files
from taidpt.files import digest

ray = pytest.importorskip('ray', reason='Ray is not installed: pip install "ray[data]"')
PHOTOS = sorted((ROOT/'taidpt/data/coco_demo/images').iterdir())[:4]


@pytest.fixture(scope='module', autouse=True)
def two_workers():
    "A Ray of two processes on this machine, which trusts files as Ray 2.49 to 2.54 do"
    with mock.patch.dict(os.environ, RAY_DATA_AUTOLOAD_CLOUDPICKLE_TENSOR_METADATA='1'):
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR')
        importlib.import_module('ray.data')                 # registers its types of columns
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
    labelled = NounFilter(VOC2007).label(captions, progress=False)
    table = pd.read_parquet(tmp_path/'labels')
    by_text = dict(zip(table['text'], map(list, table['labels'])))
    def names(row): return [name for name, named in zip(VOC2007.names, row) if named]
    assert len(table) == len(labelled)
    assert by_text == dict(zip(labelled.texts, map(names, labelled.labels)))

    (source/'1.jsonl').write_text('\n'.join([*lines, '{"caption": "a d']))
    with pytest.raises(Exception, match=r'1\.jsonl: line 601'):
        label_files(VOC2007, source, tmp_path/'broken')


def test_the_words_of_classes_are_prepared_once(tmp_path):
    "For all files"
    files = [{'path': 'a.txt', 'bytes': text} for text in (b'a cat', b'a dog', b'a tree')]
    with (mock.patch('ray.data.read_binary_files') as read,
          mock.patch('taidpt.apps.cluster.NounFilter', wraps=NounFilter) as build):
        label_files(['cat', 'dog'], tmp_path, tmp_path/'labels')
        label = read.return_value.flat_map.call_args.args[0]
        rows = [label(file) for file in files]
    assert rows[1:] == [[{'text': 'a dog', 'labels': ['dog']}], []] and build.call_count == 1


def write_hostile(path, kind, ran):
    "A parquet file of one column, of which Ray unpickles the values or what its type says"
    pickled = pickle.dumps(Touch(ran))
    column = pa.array([pickled], pa.large_binary())
    if kind == 'arrow_tensor': column = pa.array([[1]], pa.list_(pa.int64()))
    metadata = {'ARROW:extension:name': f'ray.data.{kind}', 'ARROW:extension:metadata': pickled}
    names = 'caption', 'text', 'labels', 'image_path'
    fields = [pa.field(name, column.type, metadata=metadata) for name in names]
    pq.write_table(pa.table([column]*len(names), pa.schema(fields)), path)


@pytest.mark.parametrize('kind', ['arrow_pickled_object', 'arrow_tensor'])
def test_no_reader_unpickles_a_column(kind, tmp_path):
    "Here, in Ray's workers, and among the scores of an earlier run"
    ran = tmp_path/'ran'
    source = tmp_path/'captions'
    source.mkdir()
    hostile = source/'a.parquet'
    write_hostile(hostile, kind, ran)
    with suppress(TypeError): pd.read_parquet(hostile)
    assert ran.exists()                     # what our readers must not do
    ran.unlink()
    for read in (lambda path: list(read_captions(path)), LabeledTexts.load):
        with pytest.raises(ValueError, match=r'a\.parquet'): read(hostile)
    with pytest.raises(Exception, match=r'a\.parquet'):
        label_files(VOC2007, source, tmp_path/'labels')
    model = tmp_path/'my.safetensors'
    ZeroShotCLIP(clip(), VOC2007).save(model)
    scores = tmp_path/'out'/digest([model.read_bytes()])
    scores.mkdir(parents=True)
    hostile.rename(scores/'0.parquet')
    with pytest.raises(ValueError, match=r'0\.parquet'):
        score_files(model, source, tmp_path/'out')
    assert not ran.exists()


def test_labels_that_are_there_stay(tmp_path):
    "In the folder of an earlier run nothing is written"
    for name in ('captions', 'labels'):
        (tmp_path/name).mkdir()
        (tmp_path/name/'0.txt').write_text('a dog')
    with pytest.raises(FileExistsError, match='labels is there'):
        label_files(VOC2007, tmp_path/'captions', tmp_path/'labels')
    assert [path.name for path in (tmp_path/'labels').iterdir()] == ['0.txt']


def test_the_same_scores(tmp_path):
    "Scores that are there stay, new images get theirs, a broken one has none"
    model = ZeroShotCLIP(clip(), VOC2007)
    path = tmp_path/'my.safetensors'
    model.save(path)
    source = tmp_path/'images'
    source.mkdir()
    for photo in PHOTOS: (source/photo.name).write_bytes(photo.read_bytes())
    (source/PHOTOS[3].name).write_bytes(b'no image')
    there = tmp_path/'out'/digest([path.read_bytes()])
    there.mkdir(parents=True)
    before = dict.fromkeys(VOC2007.names, [7.]) | {'image_path': [str(source/PHOTOS[0].name)]}
    pd.DataFrame(before).to_parquet(there/'0.parquet')
    where = score_files(path, source, tmp_path/'out', 'skip')
    table = pd.read_parquet(where).sort_values('image_path')
    scores = torch.tensor(table[VOC2007.names].to_numpy())
    assert torch.allclose(scores[1:3].float(), model.predict(PHOTOS[1:3]), atol=1e-5)
    assert (scores[0] == 7).all() and scores[3].isnan().all()
