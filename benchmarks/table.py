"""One table of all that was measured against something else: how many times as fast, the median of the rounds and their spread.

    python benchmarks/table.py
"""
import json
from collections.abc import Iterator

from common import RESULTS

SPREAD = {"median", "low", "high"}


def ratios(found: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict]]:
    "Each ratio among the results, with its name: where it stands."
    for key, value in found.items():
        if not isinstance(value, dict): continue
        if key != "ratio": yield from ratios(value, path if key == "cases" else (*path, key))
        elif SPREAD <= value.keys(): yield ", ".join(path), value
        else: yield from ((", ".join((*path, name)), r) for name, r in value.items())


def main():
    for name, r in ratios(json.loads(RESULTS.read_text())): print(f"{name:58} {r['median']:7.2f}  ({r['low']:.2f} to {r['high']:.2f})")


if __name__ == "__main__": main()
