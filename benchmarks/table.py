"""One table of all that was measured against something else: how many times as fast, the median of
the rounds and their spread.

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
        if key != "ratio":
            yield from ratios(value, path if key == "cases" else (*path, key))
        elif SPREAD <= value.keys():
            yield ", ".join(path), value
        else:
            for name, ratio in value.items(): yield ", ".join((*path, name)), ratio


def main():
    for name, ratio in ratios(json.loads(RESULTS.read_text())):
        print(f"{name:58} {ratio['median']:7.2f}  ({ratio['low']:.2f} to {ratio['high']:.2f})")


if __name__ == "__main__": main()
