"""benchmarks/gpu.py in small."""
import importlib
import re

from conftest import ROOT


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
