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

from taidpt.clip import reference_photos

TAIDPT = Path(sys.executable).with_name("taidpt")
PROMPTS = files("taidpt")/"data/prompts/voc2007.safetensors"


def main(rounds: int = 7):
    tag, photo = (TAIDPT, "tag", "-q"), reference_photos()[9]
    with tempfile.TemporaryDirectory() as folder:
        tagger = f"{folder}/voc2007.onnx"
        env = os.environ | dict(XDG_CACHE_HOME=folder)
        run = partial(subprocess.run, env=env, stdout=subprocess.DEVNULL, check=True)
        run([TAIDPT, "export", "-q", "voc2007", "--out", tagger])
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "classes": [*tag, "voc2007", photo],
            "prompts": [*tag, PROMPTS, photo],
            "tagger": [*tag, tagger, photo],
        }
        ways = {name: partial(run, command) for name, command in commands.items()}
        for way in ways.values(): way()                  # files are in memory afterwards
        taken = interleave(ways, rounds)
    found = {name: spread(times) for name, times in taken.items()}
    for name, s in found.items():
        print(f"{name}: {s['median']:.2f} s ({s['low']:.2f} to {s['high']:.2f})")
    record("latency", dict(commands=found, rounds=rounds))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
