"""The ranking loss beside the table of all pairs, forward and backward, on the same scores, in one process.

    python benchmarks/ranking_loss.py [repeats]
"""
import statistics
import sys
import time

import torch

from taidpt.losses import ranking_loss


def all_pairs(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    "Eq. 7 by its formula: N × C × C numbers."
    hinge = (1 - scores[:, :, None] + scores[:, None, :]).clamp(min=0)
    return (hinge * (labels[:, :, None] & ~labels[:, None, :])).sum((1, 2)).mean()


def seconds(loss, scores, labels) -> float:
    scores = scores.clone().requires_grad_()
    start = time.perf_counter()
    loss(scores, labels).backward()
    return time.perf_counter() - start


def main(repeats: int = 5):
    torch.manual_seed(0)
    for classes in (20, 80, 200, 1000, 10_000):
        scores, labels = torch.randn(512, classes), torch.arange(classes).expand(512, -1) < 5
        table = 512 * classes**2 * 4 < 2e8  # bytes; a larger table is not tried
        seconds(ranking_loss, scores, labels)
        pairs = [(seconds(ranking_loss, scores, labels), seconds(all_pairs, scores, labels) if table else float("nan")) for _ in range(repeats)]
        ours, theirs = (statistics.median(p) for p in zip(*pairs))
        print(f"{classes:6} classes: ours {1e3 * ours:7.1f} ms" + (f", all pairs {1e3 * theirs:7.1f} ms, ratio {theirs / ours:.1f}" if table else ""))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
