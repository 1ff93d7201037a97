"""What times a GPU does its work on a CPU, in small."""
import importlib
import re

from conftest import ROOT


def test_small(monkeypatch, capsys):
    "Both data sets, each with its templates or some of them; nothing is recorded"
    monkeypatch.syspath_prepend(ROOT/'benchmarks')
    gpu = importlib.import_module('gpu')
    results = (ROOT/'benchmarks/results.json').read_bytes()
    assert gpu.main(['--small']) == 0
    said = capsys.readouterr().out
    assert re.search(r'voc2007: .* encode 289 sentences, .* 2 epochs .*8 pictures scored', said)      # 200 captions, 89 of 1,780 templates
    assert re.search(r'coco: .* encode 556 sentences, .* 2 epochs .*8 pictures scored', said)         # and 356 of 7,120
    assert (ROOT/'benchmarks/results.json').read_bytes() == results
