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
from taidpt.classes import COCO
from taidpt.support.captions import bundled_captions
from taidpt.apps.shards import label_shards


def main(sentences: int = 800_000, shards: int = 16):
    texts, cores = list(bundled_captions()), os.cpu_count()
    figures = dict(sentences=sentences, shards=shards, processes=cores, seconds={})
    with tempfile.TemporaryDirectory() as d:
        source, each = Path(d) / "captions", sentences // shards
        source.mkdir()
        for i in range(shards):
            pq.write_table(pa.table(dict(caption=[texts[(i * each + j) % len(texts)] for j in range(each)])), source / f"{i:03}.parquet")
        figures["seconds"]["alone"] = seconds(lambda: label_shards(COCO, source, Path(d) / "alone", progress=False))
        try: import ray
        except ImportError: print('Ray is not installed: pip install "taidpt[ray]"')
        else:
            ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            one = lambda out: label_shards(COCO, source / "000.parquet", Path(d) / out, ray=True, progress=False)
            one("warm")
            figures["seconds"]["on Ray, one shard"] = seconds(lambda: one("one"))  # nearly all of it for starting processes and loading libraries
            figures["seconds"]["on Ray"] = seconds(lambda: label_shards(COCO, source, Path(d) / "ray", ray=True, progress=False))
            ray.shutdown()
        size = lambda folder: sum(p.stat().st_size for p in (Path(d) / folder).iterdir())
        figures["bytes"] = dict(captions=size("captions"), labelled=size("alone"))
    for name, s in figures["seconds"].items(): print(f"{name}: {s:.1f} s")
    print(f"{1e6 * figures['seconds']['alone'] / sentences:.1f} s a million sentences in one process")
    record("shards", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
