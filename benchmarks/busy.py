"""Captions encoded on a machine that others use, too: how much it helps that threads sleep as they
wait for each other (OMP_WAIT_POLICY=PASSIVE), alone and beside a busy process for each core.

    python benchmarks/busy.py [captions] [rounds]
"""
import os
import subprocess
import sys
from contextlib import contextmanager

from common import ratios, record, spread

ENCODE = """
import sys, time
from itertools import islice
from taidpt.clip import encode_sentences, load_clip
from taidpt.text.captions import bundled_captions
captions, clip = list(islice(bundled_captions(), int(sys.argv[1]))), load_clip(device="cpu")
encode_sentences(clip, captions[:100], progress=False)
start = time.perf_counter()
encode_sentences(clip, [f"{text} ." for text in captions], progress=False)
print(time.perf_counter() - start)
"""
POLICIES = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
WAYS = {"usual": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}}


@contextmanager
def busy(processes: int):
    "So many processes that compute all the time."
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try: yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def encode(captions: int, policy: dict[str, str]) -> float:
    "Seconds that a process of its own takes."
    command = [sys.executable, "-c", ENCODE, str(captions)]
    env = {name: value for name, value in os.environ.items() if name not in POLICIES}
    told = subprocess.run(command, env=env | policy, stdout=subprocess.PIPE, check=True)
    return float(told.stdout)


def main(captions: int = 2000, rounds: int = 7):
    found = {}
    for place, processes in {"alone": 0, "busy": os.cpu_count()}.items():
        taken = {name: [] for name in WAYS}
        with busy(processes):
            for _ in range(rounds):
                for name, policy in WAYS.items(): taken[name].append(encode(captions, policy))
        seconds = {name: spread(times) for name, times in taken.items()}
        found[place] = dict(seconds=seconds, ratio=ratios(taken, "usual")["passive"])
        for name, s in seconds.items(): print(f"{place}, {name}: {s['median']:.1f} s", flush=True)
    record("busy", dict(cases=found, captions=captions, rounds=rounds))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
