"""The noun filter beside the published way, on the same captions, in one process.

The published way tokenizes each sentence, lemmatizes every word, and looks for every synonym of every class in turn. It knows
nothing of hyphens, possessives, blocked phrases or the longest match: less work than the filter's, and a few other labels.
Part-of-speech tagging is left out, which favours it, and NLTK's sentence splitter too, since a caption is one.

    python benchmarks/nounfilter.py [sentences] [rounds]
"""
import sys
from importlib.resources import files

import nltk
from nltk.stem import WordNetLemmatizer
from nltk.tokenize import word_tokenize

from common import compare, interleave, record, show
from taidpt.all import COCO, NounFilter, bundled_captions


def published_way(texts: list[str]) -> list[list[int]]:
    "Columns of the classes that each sentence names, by the published rules."
    lemmatize, found = WordNetLemmatizer().lemmatize, []
    for text in texts:
        words = f" {' '.join(map(lemmatize, word_tokenize(text.lower(), preserve_line=True)))} "
        found.append([i for i, name in enumerate(COCO.names) if any(f" {p} " in words for p in COCO.synonyms[name])])
    return found


def main(sentences: int = 8000, rounds: int = 3):
    nltk.data.path.append(str(files("taidpt")/"data"/"nltk_data"))                  # at the end: the user's come first
    nltk.corpus.wordnet.ensure_loaded()
    texts, labels = list(bundled_captions())[:sentences], {}

    def ours(): labels["ours"] = [found for _, found in NounFilter(COCO).stream(texts)]  # a new filter: nothing remembered
    def plain(): labels["plain"] = published_way(texts)

    case = compare(interleave({"ours": ours, "published": plain}, rounds, dict(ours=3)))
    case["sentences"] = len(texts)
    case["same labels"] = sum(sorted(a) == sorted(b) for a, b in zip(labels["ours"], labels["plain"])) / len(texts)
    show("noun filter, plain", case)
    print(f"   {case['same labels']:.2%} of {len(texts):,} sentences get the same labels; "
          f"{1e6 * case['seconds']['ours']['median'] / len(texts):.1f} µs a sentence")
    record("noun filter", dict(plain=case))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
