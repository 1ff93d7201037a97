"""The noun filter beside the published way, on the same captions, in one process.

The published way tokenizes each sentence, lemmatizes every word, and looks for every synonym of
every class in turn. It knows nothing of hyphens, possessives, blocked phrases or the longest
match: less work than the filter's, and a few other labels. Part-of-speech tagging is left out,
which favours it, and NLTK's sentence splitter too, since a caption is one.

    python benchmarks/nounfilter.py [sentences] [rounds]
"""
import sys
from importlib.resources import files

import nltk
from common import compare, interleave, record, show
from nltk.stem import WordNetLemmatizer
from nltk.tokenize import word_tokenize

from taidpt.all import COCO, NounFilter, bundled_captions


def names(words: str, name: str) -> bool:
    "Do the words of a sentence name a class?"
    return any(f" {synonym} " in words for synonym in COCO.synonyms[name])


def published_way(texts: list[str]) -> list[list[int]]:
    "Columns of the classes that each sentence names, by the published rules."
    lemmatize = WordNetLemmatizer().lemmatize
    columns = []
    for text in texts:
        lemmas = map(lemmatize, word_tokenize(text.lower(), preserve_line=True))
        words = f" {' '.join(lemmas)} "
        columns.append([i for i, name in enumerate(COCO.names) if names(words, name)])
    return columns


def main(sentences: int = 8000, rounds: int = 3):
    nltk.data.path.append(str(files("taidpt")/"data"/"nltk_data"))       # the user's come first
    nltk.corpus.wordnet.ensure_loaded()
    texts = list(bundled_captions())[:sentences]
    labels = {}

    def ours(): labels["ours"] = [columns for _, columns in NounFilter(COCO).stream(texts)]
    def published(): labels["published"] = published_way(texts)

    case = compare(interleave({"ours": ours, "published": published}, rounds))
    case["sentences"] = len(texts)
    same = [sorted(a) == sorted(b) for a, b in zip(labels["ours"], labels["published"])]
    case["same labels"] = sum(same) / len(same)
    show("noun filter, plain", case)
    print(f"   {case['same labels']:.2%} of {len(texts):,} sentences get the same labels")
    record("noun filter", dict(plain=case))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
