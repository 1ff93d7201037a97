"""A dress rehearsal: Table 1 of the paper at its full size on material that stands in for the real one. Time, peak memory
and disk of each stage; the run is killed once in each stage and goes on.

VOC2007 is laid out as it is unpacked: 4,952 pictures (real photos under its names, again and again), 118,287 captions, of
which as many are learned from as the paper did, RN50's architecture with random weights from a seed, 20 epochs, one seed.
For NUS-WIDE, a tenth: 10,786 pictures, 81 classes, narratives made of captions. The mAP of such a run means nothing and
is not shown.

    python benchmarks/rehearsal.py voc2007                        made to end within 75 minutes on two cores
    python benchmarks/rehearsal.py nuswide                        a tenth of NUS-WIDE, and what the whole would take
    python benchmarks/rehearsal.py voc2007 --small                in a minute, with the embedded CLIP; nothing is recorded
"""
import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path

import torch
from safetensors.torch import save_file

from common import SHARED, record
from pictures import rn50
from taidpt.classes import NUSWIDE, VOC2007
from taidpt.encoders.pictures import list_pictures
from taidpt.text.corpora import bundled_captions, read_captions

STAGES = "labels", "pictures", "sentences", "learning", "scores"  # in the order in which a run goes through them
SIZES = dict(voc2007=(4_952, 118_287), nuswide=(10_786, 50_745))  # pictures, texts; NUS-WIDE's are a tenth
SMALL = 40, 1_500


# What the run finds

def real_captions() -> Iterator[str]:
    "Captions of COCO and of Flickr30k where they are at hand, or else those of the package, without end."
    names = "coco_karpathy_dev.txt", "coco_karpathy_testall.txt", "flickr30k.tsv"
    found = [read_captions(p) for p in (SHARED / "captions" / n for n in names) if p.exists()] or [bundled_captions()]
    while True:
        for captions in found: yield from captions


def real_photos() -> list[Path]:
    "VOC2012's photos where they are at hand, or else those of the package."
    folder = SHARED / "voc2012_dev" / "images"
    return list_pictures(folder if folder.is_dir() else files("taidpt") / "data" / "coco_demo" / "images")


def put_photos(places: list[Path]):
    "Real photos in these places, linked and not copied where the disk allows it."
    for place, photo in zip(places, cycle(real_photos())):
        place.parent.mkdir(parents=True, exist_ok=True)
        try: os.link(photo, place)
        except OSError: place.write_bytes(photo.read_bytes())


def lay_out_voc2007(root: Path, pictures: int, captions: int):
    "VOC2007's test set and COCO's captions, as they are unpacked. Each class is on a tenth of the pictures."
    home, names = root / "VOCdevkit" / "VOC2007", [f"{i:06}" for i in range(1, pictures + 1)]
    put_photos([home / "JPEGImages" / f"{n}.jpg" for n in names])
    sets, rng = home / "ImageSets" / "Main", random.Random(0)
    sets.mkdir(parents=True)
    (sets / "test.txt").write_text("\n".join(names) + "\n")
    for c in VOC2007.names:
        labels = [1 if rng.random() < .1 else -1 for _ in names]
        (sets / f"{c}_test.txt").write_text("".join(f"{n} {y:2}\n" for n, y in zip(names, labels)))
    notes = [dict(image_id=i, id=i, caption=c) for i, c in enumerate(islice(real_captions(), captions))]
    (root / "COCO" / "annotations").mkdir(parents=True)
    (root / "COCO" / "annotations" / "captions_train2017.json").write_text(json.dumps(dict(annotations=notes)))


def lay_out_nuswide(root: Path, pictures: int, narratives: int):
    "NUS-WIDE's test set and Open Images' narratives, each of which is three captions here."
    home, rng = root / "NUSWIDE", random.Random(0)
    names = [f"{i % 700:03}/{i:05}.jpg" for i in range(pictures)]
    put_photos([home / "Flickr" / n for n in names])
    for folder in ("ImageList", "TrainTestLabels"): (home / folder).mkdir()
    (home / "Concepts81.txt").write_text("\n".join(NUSWIDE.names) + "\n")
    (home / "ImageList" / "TestImagelist.txt").write_text("\n".join(n.replace("/", "\\") for n in names) + "\n")
    for c in NUSWIDE.names:
        (home / "TrainTestLabels" / f"Labels_{c}_Test.txt").write_text("".join(f"{int(rng.random() < .05)}\n" for _ in names))
    folder, captions = root / "OpenImages" / "captions", real_captions()
    folder.mkdir(parents=True)
    with open(folder / "open_images_train_v6_captions.jsonl", "w") as out:
        for i in range(narratives): out.write(json.dumps(dict(image_id=f"{i:x}", caption=" ".join(islice(captions, 3)))) + "\n")


def write_rn50(folder: Path) -> Path:
    "RN50 with random weights, in open_clip's layout."
    clip = rn50()
    config = dict(model_cfg=dict(embed_dim=1024, quick_gelu=True, vision_cfg=dict(image_size=224, layers=[3, 4, 6, 3], width=64, patch_size=None),
                                 text_cfg=dict(context_length=77, vocab_size=49408, width=512, heads=8, layers=12)),
                  preprocess_cfg=dict(mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.27577711]))
    folder.mkdir()
    save_file({n: p.contiguous() for n, p in clip.model.state_dict().items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


# The run, watched from outside

def family(pid: int) -> list[int]:
    "A process and all that it started."
    try: children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError: return []
    return [pid] + [p for c in children for p in family(int(c))]


def memory(pid: int) -> int:
    "Bytes that a process and those it started hold together; pages that they share count once (PSS)."
    def one(p):
        try: return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{p}/smaps_rollup").read_text(), re.M)[1]) * 1024
        except (OSError, TypeError): return 0
    return sum(map(one, family(pid)))


def on_disk(folder: Path) -> int:
    "Bytes that the files of a folder take."
    total = 0
    for p in folder.rglob("*"):
        try: total += p.stat().st_blocks * 512
        except OSError: pass  # gone since it was listed
    return total


def stage(out: Path) -> str:
    "What a run is at, told by the files that it keeps; those of pictures come before those of sentences."
    if list(out.glob("*.shards")): return "scores"
    features = {p.name.lstrip(".") for p in (out / "features").glob("*")}
    sentences = {n for n in features if not n.startswith("pictures-")}
    if not sentences: return "pictures" if features else "labels"
    return "learning" if any(n.endswith(".safetensors") for n in sentences) else "sentences"


def kill(process: subprocess.Popen):
    "End a run without a warning, and all that it started with it."
    for p in family(process.pid): os.kill(p, signal.SIGKILL)
    process.wait()


def watch(command: list[str], out: Path, kill_after: float | None, every: float = .5) -> dict[str, dict]:
    "Run a command to its end; for each stage its seconds, peak memory, disk at its end, and how often it was begun. `kill_after`: seconds into a stage."
    seen: dict[str, dict] = {}
    log = open(out.with_suffix(".log"), "a")
    while True:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        now, since, last = None, 0., time.perf_counter()
        while process.poll() is None:
            time.sleep(every)
            here, t = stage(out), time.perf_counter()
            if here != now: now, since = here, t
            s = seen.setdefault(here, dict(seconds=0., memory=0, disk=0, killed=False))
            s["seconds"] += t - last
            s["memory"], s["disk"], last = max(s["memory"], memory(process.pid)), on_disk(out), t
            if kill_after is not None and not s["killed"] and t - since >= kill_after:
                kill(process)
                s["killed"] = True
                print(f"killed amid {here} after {t - since:.0f} s", flush=True)
        if process.returncode == 0: return seen
        if process.returncode != -signal.SIGKILL: raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n" + Path(log.name).read_text()[-3000:])


def told(seen: dict[str, dict]) -> str:
    "The table of stages."
    lines = [f"{'stage':10} {'seconds':>8} {'peak memory':>12} {'disk at its end':>16}  killed"]
    for name in STAGES:
        if s := seen.get(name):
            lines.append(f"{name:10} {s['seconds']:8.0f} {s['memory'] / 1e9:9.2f} GB {s['disk'] / 1e9:13.2f} GB  {'once' if s['killed'] else 'no'}")
    total = sum(s["seconds"] for s in seen.values())
    return "\n".join([*lines, f"{'all':10} {total:8.0f} {max(s['memory'] for s in seen.values()) / 1e9:9.2f} GB"])


def main(arguments: list[str]):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", choices=list(SIZES))
    parser.add_argument("--small", action="store_true", help="few pictures and captions, with the embedded CLIP; nothing is recorded")
    parser.add_argument("--kill-after", type=float, default=30, metavar="SECONDS", help="into each stage (default: %(default)s; 0: never)")
    options = parser.parse_args(arguments)
    pictures, texts = SMALL if options.small else SIZES[options.data]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as d:
        data, out = Path(d) / "data", Path(d) / "out"
        data.mkdir()
        dict(voc2007=lay_out_voc2007, nuswide=lay_out_nuswide)[options.data](data, pictures, texts)
        clip = [] if options.small else ["--clip", f"local-dir:{write_rn50(Path(d) / 'RN50')}"]
        command = [Path(sys.executable).with_name("taidpt"), "reproduce", "table1", "--data", data, "--datasets", options.data, "--seeds", "1", "--out", out, *clip]
        seen = watch(list(map(str, command)), out, options.kill_after or None)
        print(told(seen))
        if options.small: return print("Nothing is recorded.")
        learned = re.findall(r"The features of ([\d,]+) items", out.with_suffix(".log").read_text())
    more = dict(sentences=int(learned[-1].replace(",", ""))) if learned else {}  # templates included
    record(f"rehearsal {options.data}", dict(pictures=pictures, texts=texts, **more, threads=torch.get_num_threads(), stages=seen))


if __name__ == "__main__": main(sys.argv[1:])
