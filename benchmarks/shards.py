"""Labelling shards of captions: seconds a million sentences, in this process and on a local Ray.

    python benchmarks/shards.py [sentences] [shards]
"""
import os
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common import record, seconds
from taidpt.apps.shards import label_shards
from taidpt.classes import COCO
from taidpt.support.captions import bundled_captions


def write_captions(folder: Path, sentences: int, shards: int):
    "The bundled captions again and again, in parquet files."
    folder.mkdir()
    texts, each = list(bundled_captions()), sentences // shards
    for i in range(shards):
        rows = [texts[(i * each + j) % len(texts)] for j in range(each)]
        pq.write_table(pa.table(dict(caption=rows)), folder / f"{i:03}.parquet")


def on_ray(source: Path, out: Path, cores: int) -> dict[str, float]:
    "Seconds on a local Ray; nothing where there is none."
    try: import ray
    except ImportError:
        print('Ray is not installed: pip install "taidpt[ray]"')
        return {}

    def label(what: Path, name: str): label_shards(COCO, what, out / name, ray=True, progress=False)

    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    first = source / "000.parquet"
    label(first, "warm")
    taken = {"on Ray, one shard": seconds(lambda: label(first, "one")),  # nearly all of it to start and load libraries
             "on Ray": seconds(lambda: label(source, "ray"))}
    ray.shutdown()
    return taken


def size(folder: Path) -> int: return sum(p.stat().st_size for p in folder.iterdir())


def main(sentences: int = 800_000, shards: int = 16):
    cores = os.cpu_count()
    with tempfile.TemporaryDirectory() as d:
        source, alone = Path(d) / "captions", Path(d) / "alone"
        write_captions(source, sentences, shards)
        taken = dict(alone=seconds(lambda: label_shards(COCO, source, alone, progress=False)))
        taken |= on_ray(source, Path(d), cores)
        sizes = dict(captions=size(source), labelled=size(alone))
    for name, s in taken.items(): print(f"{name}: {s:.1f} s")
    print(f"{1e6 * taken['alone'] / sentences:.1f} s a million sentences in one process")
    record("shards", dict(sentences=sentences, shards=shards, processes=cores, seconds=taken, bytes=sizes))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
