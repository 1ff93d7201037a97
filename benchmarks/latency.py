"""One photo by the command: seconds from typing to the answer, by what tags it, and where they go. Then the second photo in the
same process, beside the bare picture tower.

    python benchmarks/latency.py [rounds]
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from PIL import Image

from common import interleave, record, spread
from taidpt.apps.onnx import Tagger
from taidpt.clip import load_clip
from taidpt.learner import TaIDPT
from taidpt.tags import reference_photos

PROMPTS = files("taidpt")/"data"/"prompts"/"voc2007.safetensors"
TAIDPT = Path(sys.executable).with_name("taidpt")
PARTS = "torch", "torchvision", "open_clip", "timm", "onnxruntime", "numpy"       # packages whose import is told apart


def run(*args, **env) -> str:
    "A command in a process of its own; what it prints to standard error."
    done = subprocess.run([str(a) for a in args], env=os.environ | env, capture_output=True, text=True)
    if done.returncode: raise SystemExit(done.stderr)
    return done.stderr


def import_seconds(*command) -> dict[str, float]:
    "Seconds that each of PARTS takes to be imported by a command, without what it imports of the others, and all of it together."
    own, at = dict.fromkeys((*PARTS, "others"), 0.), {}
    lines = re.findall(r"^import time: +(\d+) \| +\d+ \|( +)(\S+)$", run(sys.executable, "-X", "importtime", *command), re.M)
    for micro, indent, name in reversed(lines):                       # a module comes after what it imports
        depth, top = len(indent), name.split(".")[0]
        part = top if top in PARTS else next((at[d] for d in sorted(at, reverse=True) if d < depth), "others")
        at = {d: p for d, p in at.items() if d < depth} | {depth: part}
        own[part] += int(micro) / 1e6
    return own


def commands(folder: Path, photo: Path) -> dict[str, Callable]:
    "The ways to tag one photo, each a command."
    kept = dict(XDG_CACHE_HOME=str(folder/"kept"))
    tag, classes, prompts = (TAIDPT, "tag", "-q", photo), ("--classes", "voc2007"), ("--prompts", PROMPTS)
    run(TAIDPT, "export", "-q", *classes, "--out", folder/"voc2007.onnx", **kept)
    return {"import torch": lambda: run(sys.executable, "-c", "import torch"),
            "classes": lambda: run(*tag, *classes, **kept),
            "prompts": lambda: run(*tag, *prompts, **kept),
            "tagger": lambda: run(*tag, "--tagger", folder/"voc2007.onnx", **kept)}


def second_photo(tagger: Path, rounds: int) -> dict[str, dict]:
    "Seconds for one more photo, decoded and tagged, and of the bare tower on pixels that are there."
    clip, photos = load_clip(device="cpu"), reference_photos()
    model, file = TaIDPT.load(PROMPTS, clip), Tagger(tagger)
    pixels = [clip.preprocess(Image.open(p).convert("RGB"))[None] for p in photos]
    def each(f, items): return lambda: [f(x) for x in items]
    ways = {"torch": each(lambda p: model.tags(p, progress=False), photos), "torch, bare": each(clip.encode_maps, pixels),
            "tagger": each(file.tags, photos)}
    for way in ways.values(): way()
    return {name: spread([t / len(photos) for t in taken]) for name, taken in interleave(ways, rounds).items()}


def main(rounds: int = 7):
    photo = reference_photos()[9]
    with tempfile.TemporaryDirectory() as d:
        ways = commands(Path(d), photo)
        for way in ways.values(): way()
        taken = {name: spread(t) for name, t in interleave(ways, rounds).items()}
        os.environ["XDG_CACHE_HOME"] = f"{d}/kept"
        imports = {name: import_seconds(TAIDPT, "tag", "-q", photo, *how) for name, how in
                   dict(classes=("--classes", "voc2007"), tagger=("--tagger", f"{d}/voc2007.onnx")).items()}
        second = second_photo(Path(d)/"voc2007.onnx", rounds)
    for name, found in dict(commands=taken, imports=imports, second=second).items(): print(f"{name}: {json.dumps(found)}")
    record("latency", dict(commands=taken, imports=imports, second=second, rounds=rounds))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
