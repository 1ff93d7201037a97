"""What times a GPU does its work on a CPU, in small, and knows which notebooks have cells for one."""
import importlib
import json
import re

import pytest
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
    assert re.search(r'voc2007: .* encode 289 sentences, .* 2 epochs .*8 pictures scored', said)      # 200 captions, 89 of 1,780 templates
    assert re.search(r'coco: .* encode 556 sentences, .* 2 epochs .*8 pictures scored', said)         # and 356 of 7,120
    assert (ROOT/'benchmarks/results.json').read_bytes() == results


def test_cells_for_a_gpu_are_found(gpu):
    cells = [(p, c) for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts
             for c in json.loads(p.read_text('utf-8'))['cells']]
    with_cells = {p.relative_to(ROOT/'nbs').as_posix() for p, c in cells if ''.join(c['source']).startswith('#| cuda')}
    assert len(with_cells) >= 5 and gpu.flagged() == sorted(with_cells)
