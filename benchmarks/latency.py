"""One photo by the command: seconds from typing to the answer, by what tags it.

    python benchmarks/latency.py [rounds]
"""
import os
import subprocess
import sys
import tempfile
from functools import partial
from importlib.resources import files
from pathlib import Path

from common import interleave, record, spread
from taidpt.tags import reference_photos

TAIDPT = Path(sys.executable).with_name("taidpt")


def main(rounds: int = 7):
    tag = TAIDPT, "tag", "-q", reference_photos()[9]
    with tempfile.TemporaryDirectory() as d:
        run = partial(subprocess.run, env=os.environ | dict(XDG_CACHE_HOME=d), stdout=subprocess.DEVNULL, check=True)
        run([TAIDPT, "export", "-q", "--classes", "voc2007", "--out", f"{d}/voc2007.onnx"])
        ways = {"import torch": [sys.executable, "-c", "import torch"], "classes": [*tag, "--classes", "voc2007"],
                "prompts": [*tag, "--prompts", files("taidpt")/"data/prompts/voc2007.safetensors"],
                "tagger": [*tag, "--tagger", f"{d}/voc2007.onnx"]}
        ways = {name: partial(run, way) for name, way in ways.items()}
        for way in ways.values(): way()                                 # what is kept for the next time is there
        taken = {name: spread(t) for name, t in interleave(ways, rounds).items()}
    for name, s in taken.items(): print(f"{name}: {s['median']:.2f} s ({s['low']:.2f} to {s['high']:.2f})")
    record("latency", dict(commands=taken, rounds=rounds))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
