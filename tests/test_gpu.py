"""What is for a GPU: benchmarks/gpu.py in small, and tests on a second device."""
import importlib
import os
import re

import pytest
from conftest import ROOT, forked


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


def on_second_device() -> int:
    os.environ['TAIDPT_DEVICE'] = '1'
    return pytest.main(['-q', str(ROOT/'tests/test_device.py')])


@pytest.mark.skipif('TAIDPT_DEVICE' in os.environ, reason='they run beside this test')
def test_a_second_device(tmp_path):
    "All of tests/test_device.py, in a process of its own, which the device slows"
    assert forked(on_second_device, log=tmp_path/'log.txt') == 0
