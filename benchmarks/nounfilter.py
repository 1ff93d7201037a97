"""The noun filter beside the published way, on the same captions, in one process.

The published way tokenizes each sentence, lemmatizes every word, and looks for every synonym of every class in turn. It is
written here twice. Once with this package's rules (what a word is, phrases that are blocked, the longest phrase first), so that
the labels must be identical. And once plain, which knows nothing of hyphens, possessives, blocked phrases or the longest match:
less work, and a few other labels. Part-of-speech tagging is left out of both, which favours them, and NLTK's sentence splitter
too, since a caption is one.

    python benchmarks/nounfilter.py [sentences] [rounds]
"""
import os
import sys

from nltk.stem import WordNetLemmatizer
from nltk.tokenize import word_tokenize

from common import compare, interleave, record, seconds, show, spread
from taidpt.classes import COCO
from taidpt.nounfilter import NounFilter
from taidpt.support.captions import bundled_captions
from taidpt.support.phrases import PhraseDictionary, denied, phrase_entries
from taidpt.support.words import nltk_spans, use_wordnet


def published_way(texts: list[str]) -> list[list[int]]:
    "Columns of the classes that each sentence names, by the published rules."
    lemmatize, found = WordNetLemmatizer().lemmatize, []
    for text in texts:
        words = f" {' '.join(map(lemmatize, word_tokenize(text.lower(), preserve_line=True)))} "
        found.append([i for i, name in enumerate(COCO.names) if any(f" {p} " in words for p in COCO.synonyms[name])])
    return found


def phrases_in(words: list[tuple[str, ...]], dictionary: list) -> dict[int, tuple]:
    "At each place of a sentence, the longest phrase: its length and its entry."
    places = {}
    lines = {" " + "".join(f"{w[form] if w else '-'} " for w in words) for form in (0, -1)}
    for line in lines:  # usually one; glasses may be glasses, or more than one glass
        for phrase, n, entry in dictionary:
            at = line.find(phrase)
            while at >= 0:
                start = line.count(" ", 0, at)
                if n > places.get(start, (0,))[0]: places[start] = n, entry
                at = line.find(phrase, at + 1)
    return places


def columns_of(words: list[tuple[str, ...]], tokens: list[str], dictionary: list) -> list[int]:
    "Columns of a sentence: from the left, the longest phrase wins; without what a blocked one hides, all is looked at anew."
    columns, end, places, found = set(), 0, phrases_in(words, dictionary), []
    for start in sorted(places):
        n, entry = places[start]
        if start < end: continue
        if entry.hidden:
            for k in entry.hidden: words[start + k] = ()
            return columns_of(words, tokens, dictionary)
        end, first = start + n, denied(tokens, start, found)
        if first is None: columns |= set(entry.columns)
        found.append((start, end, entry) if first is None else (first, end, entry._replace(columns=[])))
    return sorted(columns)


def published_way_same_rules(texts: list[str]) -> list[list[int]]:
    "The same, with this package's dictionary and rules: the longest phrase from the left wins."
    entries = phrase_entries(COCO)
    own = PhraseDictionary(entries)
    dictionary = [(f" {' '.join(words)} ", len(words), entry) for words, entry in entries.items()]
    found = []
    for text in texts:
        tokens = [text[a:b].lower() for a, b in nltk_spans(text)]
        found.append(columns_of(list(map(own.look_up, tokens)), tokens, dictionary))  # lemmatized anew each time
    return found


def main(sentences: int = 8000, rounds: int = 3):
    use_wordnet()
    texts, labels, figures = list(bundled_captions())[:sentences], {}, {}

    def ours(): labels["ours"] = [found for _, found in NounFilter(COCO).stream(texts)]  # a new filter: nothing remembered
    def plain(): labels["plain"] = published_way(texts)
    def same_rules(): labels["same rules"] = published_way_same_rules(texts)

    taken = interleave({"ours": ours, "same rules": same_rules, "plain": plain}, rounds, dict(ours=3))
    for name in ("same rules", "plain"):
        figures[name] = case = compare({"ours": taken["ours"], "published": taken[name]})
        case["sentences"] = len(texts)
        case["same labels"] = sum(sorted(a) == sorted(b) for a, b in zip(labels["ours"], labels[name])) / len(texts)
        show(f"noun filter, {name}", case)
        print(f"   {case['same labels']:.2%} of {len(texts):,} sentences get the same labels; "
              f"{1e6 * case['seconds']['ours']['median'] / len(texts):.1f} µs a sentence")

    many = texts * (200_000 // len(texts))  # long enough for processes to be worth their start
    cores = min(os.cpu_count(), 8)
    alone, together = ([seconds(lambda: sum(1 for _ in NounFilter(COCO).stream(many, w))) for _ in range(2)] for w in (0, cores))
    figures["processes"] = dict(sentences=len(many), processes=cores, alone=min(alone), together=min(together),
                                ratio=spread([a / t for a, t in zip(alone, together)]),
                                seconds_a_million=1e6 * min(alone) / len(many))
    print(f"{len(many):,} sentences: {min(alone):.1f} s in one process, {min(together):.1f} s in {cores}")
    record("noun filter", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
