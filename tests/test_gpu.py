"""What times a GPU does its work on a CPU, in small, and knows which notebooks have cells for one."""
import importlib
import json
import re

import pytest
import torch
from conftest import ROOT


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'benchmarks')
    return importlib.import_module('gpu')


def test_small(gpu, capsys):
    "Both data sets, each with its templates or some of them; nothing is recorded"
    results = (ROOT/'benchmarks/results.json').read_bytes()
    assert gpu.main(['--small']) == 0
    said = capsys.readouterr().out
    assert re.search(r'voc2007: .* encode 289 sentences .* 2 epochs .*8 pictures scored', said)      # 200 captions, 89 of 1,780 templates
    assert re.search(r'coco: .* encode 556 sentences .* 2 epochs .*8 pictures scored', said)         # and 356 of 7,120
    assert (ROOT/'benchmarks/results.json').read_bytes() == results


def test_whole_runs_have_the_published_sizes(gpu):
    for name, steps in (('voc2007', 132), ('coco', 210)):
        run = gpu.RUNS[name]
        assert (run.captions + 89*len(run.classes)) // gpu.BATCH == steps
        assert run.published == dict(voc2007=639, coco=1450)[name]


def test_without_a_gpu_it_says_so(gpu, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert gpu.main([]) == 2
    told = capsys.readouterr()
    assert not told.out and len(told.err.splitlines()) == 1 and 'no CUDA GPU' in told.err


def test_cells_for_a_gpu_are_found(gpu):
    cells = [(p, c) for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts
             for c in json.loads(p.read_text('utf-8'))['cells']]
    with_cells = {p.relative_to(ROOT/'nbs').as_posix() for p, c in cells if ''.join(c['source']).startswith('#| cuda')}
    assert len(with_cells) >= 5 and gpu.flagged() == sorted(with_cells)
    assert (ROOT/'nbs'/gpu.flagged()[0]).exists()


def test_a_notebook_that_fails_is_told(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu.subprocess, 'run', lambda *a, **k: gpu.subprocess.CompletedProcess(a, 1, 'assert 1 == 2', ''))
    assert 'assert 1 == 2' in gpu.run_notebook('04_clip.ipynb')
