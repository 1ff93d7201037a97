"""The noun filter beside the published way, on the same captions, in one process.

The published way tokenizes each sentence, lemmatizes every word and looks for every synonym of every class in turn. It is
written here from that description; part-of-speech tagging is left out, which favours it. The two do not give the same
labels: it knows nothing of hyphens, possessives, blocked phrases or the longest match. The share of equal rows is printed.

    python benchmarks/nounfilter.py [sentences] [repeats]
"""
import statistics
import sys
import time

from nltk.stem import WordNetLemmatizer
from nltk.tokenize import NLTKWordTokenizer

from taidpt.classes import COCO
from taidpt.corpus import bundled_captions
from taidpt.nounfilter import NounFilter, use_wordnet


def published_way(texts: list[str]) -> list[list[int]]:
    "Columns of the classes that each sentence names."
    tokenize, lemmatize, found = NLTKWordTokenizer().tokenize, WordNetLemmatizer().lemmatize, []
    for text in texts:
        words = f" {' '.join(map(lemmatize, tokenize(text.lower())))} "
        found.append([i for i, name in enumerate(COCO.names) if any(f" {p} " in words for p in COCO.synonyms[name])])
    return found


def main(sentences: int = 2000, repeats: int = 5):
    use_wordnet()
    texts = list(bundled_captions())[:sentences]
    ratios = []
    for repeat in range(repeats + 1):  # the first is a warm-up
        columns = NounFilter(COCO).columns  # a new filter: nothing remembered from the repeat before
        start = time.perf_counter()
        ours = [columns(t) for t in texts]
        middle = time.perf_counter()
        theirs = published_way(texts)
        end = time.perf_counter()
        if not repeat: continue
        ratios.append((end - middle) / (middle - start))
        print(f"ours {1e6 * (middle - start) / len(texts):6.1f} µs a sentence, published way {1e6 * (end - middle) / len(texts):6.1f} µs, ratio {ratios[-1]:.1f}")
    same = sum(sorted(a) == sorted(b) for a, b in zip(ours, theirs)) / len(texts)
    print(f"median ratio {statistics.median(ratios):.1f} (from {min(ratios):.1f} to {max(ratios):.1f}); {same:.1%} of the sentences get the same labels")


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
