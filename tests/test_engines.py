"""Pictures go through ONNX Runtime and OpenVINO wherever they are scored: in Python, in shards and on the command line."""
import json
from importlib.util import find_spec

import pyarrow.parquet as pq
import pytest
import torch

from taidpt.apps.cli import main
from taidpt.apps.shards import score_shards
from taidpt.clip import load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.learner import TaIDPT
from taidpt.support.engines import ENGINES
from taidpt.support.scorefiles import score_in_shards

NAMES = ['bicycle', 'bear', 'bus']


@pytest.fixture(scope='module')
def model():
    model = TaIDPT(load_clip(device='cpu'), NAMES, seed=0)
    model.start()
    return model


@pytest.fixture
def photos(): return [str(p) for p in bundled_photos(NAMES).pictures[:5]]


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path_factory, monkeypatch):
    "An engine that is installed; its graphs are kept in a folder of this run"
    for package in (ENGINES[request.param], 'onnx'):
        if find_spec(package) is None: pytest.skip(f'{package} is not installed: pip install "taidpt[{request.param}]"')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.getbasetemp()/'graphs'))
    return request.param


def test_scores_are_those_of_torch(model, photos, engine, tmp_path):
    want = model.predict(photos, progress=False)
    assert torch.allclose(model.predict(photos, engine=engine, progress=False), want, atol=1e-4)
    maps = model.predict_dense(photos[:1], engine=engine, progress=False)
    assert torch.allclose(maps, model.predict_dense(photos[:1], progress=False), atol=1e-4)
    tiled = model.predict(photos[:2], tiles=2, engine=engine, progress=False)
    assert torch.allclose(tiled, model.predict(photos[:2], tiles=2, progress=False), atol=1e-4)

    for how in ({}, dict(engine=engine), {}):           # finished shards of another engine are not taken for these
        before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        (p, P), = score_in_shards({'ours': model}, photos, tmp_path, progress=False, **how).values()
        assert torch.allclose((p + P)/2, want, atol=1e-4) and {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} != before


def test_commands(model, photos, engine, tmp_path, capsys):
    model.save(prompts := str(tmp_path/'p.safetensors'))
    capsys.readouterr()
    assert main(['predict', prompts, *photos, '--engine', engine, '--json', '--quiet']) == 0
    tags = json.loads(capsys.readouterr().out)
    want = model.predict(photos, progress=False).amax(1)
    assert all(abs(tag['tags'][0]['score'] - best) < 1e-3 for tag, best in zip(tags, want.tolist(), strict=True))

    table = tmp_path/'labels.tsv'
    table.write_text('image\tlabels\n' + '\n'.join(f'{p}\tbus' for p in photos))
    assert main(['evaluate', prompts, '--labels', str(table), '--engine', engine, '--json', '--quiet']) == 0

    folder = str(tmp_path/'shards.jsonl')
    (tmp_path/'shards.jsonl').write_text('\n'.join(json.dumps(dict(path=p)) for p in photos))
    score_shards(prompts, folder, tmp_path/'out', outside=True, engine='auto', progress=False)
    found = pq.read_table(next((tmp_path/'out').iterdir())).to_pylist()
    assert torch.allclose(torch.tensor([row['scores'] for row in found]), model.predict(photos, progress=False), atol=1e-4)
    with pytest.raises(ValueError, match='another run'):
        score_shards(prompts, folder, tmp_path/'out', outside=True, progress=False)


def test_an_engine_that_is_not_there(model, photos, tmp_path, capsys, monkeypatch):
    "The line that installs it, before a picture is read"
    monkeypatch.setattr('taidpt.support.engines.find_spec', lambda name: None)
    model.save(prompts := str(tmp_path/'p.safetensors'))
    assert main(['predict', prompts, 'no.jpg', photos[0], '--engine', 'onnx']) == 1
    assert main(['predict', prompts, photos[0], '--engine', 'onnx']) == 1
    assert 'onnxruntime is not installed: pip install "taidpt[onnx]"' in capsys.readouterr().err
    assert torch.equal(model.predict(photos[:1], engine='auto', progress=False), model.predict(photos[:1], progress=False))


def test_thresholds_are_found_by_the_engine(model, photos, engine, monkeypatch):
    want = model.tags(photos, progress=False)
    for kept in 'reference_', 'remembered_': monkeypatch.delitem(vars(model.clip if kept == 'reference_' else model), kept, False)
    monkeypatch.setattr('taidpt.support.engines.check_graph', lambda *_: None)
    with monkeypatch.context() as m:
        m.setattr('taidpt.clip.features_at', None)       # PyTorch encodes no picture
        found = model.tags(photos, engine=engine, progress=False)
    assert [[(t.label, t.present) for t in tags] for tags in found] == [[(t.label, t.present) for t in tags] for tags in want]
