"""What is for a GPU: benchmarks/gpu.py in small, and cells flagged `cuda` in each precision.

`make test` runs those cells on a GPU or the second device in float32; `make test-gpu` runs all."""
import importlib
import os
import re

import pytest
import torch
from conftest import ROOT, forked, run_page

FLAGGED = [path.relative_to(ROOT/'nbs').as_posix() for path in sorted((ROOT/'nbs').rglob('*.ipynb'))
           if '#| cuda' in path.read_text(encoding='utf-8')]
only_test_gpu = pytest.mark.skipif('TAIDPT_GPU' not in os.environ, reason='make test-gpu runs it')
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no CUDA device')


def test_small(monkeypatch, capsys):
    "Both data sets, each with its templates or some of them; nothing is recorded"
    monkeypatch.syspath_prepend(ROOT/'benchmarks')
    gpu = importlib.import_module('gpu')
    before = (ROOT/'benchmarks/results.json').read_bytes()
    gpu.main(small=True)
    printed = capsys.readouterr().out
    # 200 captions, and 89 of 1,780 templates or 356 of 7,120
    for name, sentences in (('voc2007', 289), ('coco', 556)):
        line = rf'{name}: .* encode {sentences} sentences, .* 2 epochs .*8 images scored'
        assert re.search(line, printed)
    assert (ROOT/'benchmarks/results.json').read_bytes() == before


@only_test_gpu
@pytest.mark.parametrize('precision, tf32', [
    ('float32', False), pytest.param('float32', True, marks=needs_cuda), ('bfloat16', False),
    ('float16', False)])
@pytest.mark.parametrize('name', FLAGGED)
def test_flagged_cells(name, precision, tf32, tmp_path):
    "On a card, or on the second device, which has no TF32"
    path = ROOT/'nbs'/name
    assert forked(run_page, path, precision, tf32, log=tmp_path/'log.txt') == 0


def on_second_device() -> int:
    os.environ['TAIDPT_DEVICE'] = '1'
    return pytest.main(['-q', str(ROOT/'tests/test_device.py')])


@pytest.mark.skipif('TAIDPT_DEVICE' in os.environ, reason='they run beside this test')
def test_a_second_device(tmp_path):
    "All of tests/test_device.py, in a process of its own, which the device slows"
    assert forked(on_second_device, log=tmp_path/'log.txt') == 0
