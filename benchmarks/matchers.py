"""What bounds the noun filter, and whether a compiled matcher would be faster, on the same sentences.

The filter cuts a sentence into tokens and looks for the longest phrase at each; both parts are timed apart. Two other
ways stand beside it. One does all that it can on whole columns, with Arrow's compute functions and NumPy. The other looks
for all phrases in one pass with pyahocorasick's automaton. Both leave to the filter what they cannot do: unusual spelling,
blocked phrases that hide a part of themselves, and denials. All labels must be equal. Everything runs in one thread, and
seconds are the processor's, so that what else a machine does counts little.

    pip install pyahocorasick
    python benchmarks/matchers.py [sentences] [rounds]
"""
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import cycle, islice, product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common import compare, interleave, record, show, spread
from taidpt.classes import COCO
from taidpt.nounfilter import NounFilter
from taidpt.support.captions import bundled_captions
from taidpt.support.phrases import Memory, PhraseDictionary
from taidpt.support.words import lower_words

SIMPLE = r"^[a-z0-9, ]*(?:(?:\.|[^\S ])\s*)?$"  # needs no more than commas and a full stop set apart
TWO_WORDS = "cannot|gimme|gonna|gotta|lemme|wanna"
DENIES = "no", "without"


def columns_in(found: list) -> list[int]: return sorted({column for *_, entry in found for column in entry.columns})


class OnColumns:
    "Sentences in Arrow's columns; only words that begin a phrase are looked at one by one."

    def __init__(self, words: NounFilter):
        self.words, self.phrases = words, words.phrases
        self.facts = Memory(self.about)
        self.pairs = Memory(self.goes_on)

    def about(self, word: str) -> tuple:
        "Whether a word begins a phrase, belongs to one or denies one, and the columns that it names by itself."
        forms = self.phrases.forms[word]
        begins = any(f in self.phrases.trie for f in forms)
        return begins, bool(forms), word in DENIES, columns_in(self.phrases.find([word]))

    def goes_on(self, pair: tuple[str, str]) -> bool:
        "Whether a phrase begins with two words."
        first, second = (self.phrases.forms[w] for w in pair)
        return any(s in self.phrases.trie.get(f, {}) for f in first for s in second)

    def tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
        "Each token's row and number, the words that have these numbers, and which rows need the filter."
        low = pc.utf8_lower(pa.array(texts))
        odd = pc.or_(pc.invert(pc.match_substring_regex(low, SIMPLE)), pc.match_substring_regex(low, TWO_WORDS))
        for mark in ",.": low = pc.replace_substring(low, mark, f" {mark} ")
        words = pc.utf8_split_whitespace(low)
        lengths, flat = np.diff(words.offsets.to_numpy()), words.flatten().dictionary_encode()
        return (np.repeat(np.arange(len(texts)), lengths), flat.indices.to_numpy(), flat.dictionary.to_pylist(),
                odd.to_numpy(zero_copy_only=False).copy())

    def longer(self, rows: np.ndarray, numbers: np.ndarray, words: list[str], begins, belongs) -> np.ndarray:
        "Rows in which a phrase of several words may stand."
        at = np.flatnonzero(begins[numbers[:-1]] & belongs[numbers[1:]] & (rows[1:] == rows[:-1]))
        codes, back = np.unique(numbers[at].astype(np.int64) * len(words) + numbers[at + 1], return_inverse=True)
        there = [self.pairs[words[c // len(words)], words[c % len(words)]] for c in codes.tolist()]
        return rows[at[np.array(there, bool)[back]]]

    def __call__(self, texts: list[str]) -> list[list[int]]:
        rows, numbers, words, left = self.tokens(texts)
        begins, belongs, denies, named = zip(*(self.facts[w] for w in words))
        begins, belongs, denies = map(np.array, (begins, belongs, denies))
        left[rows[denies[numbers]]] = True
        left[self.longer(rows, numbers, words, begins, belongs)] = True
        at = np.flatnonzero(begins[numbers] & ~left[rows])
        found = [[] for _ in texts]
        for row, number in zip(rows[at].tolist(), numbers[at].tolist()): found[row] += named[number]
        found = [sorted(set(f)) if len(f) > 1 else f for f in found]
        for row in np.flatnonzero(left).tolist(): found[row] = self.words.columns(texts[row])
        return found


def spellings(phrases: PhraseDictionary, texts: list[str]) -> Iterator[tuple[str, ...]]:
    "All phrases, in each form that their words have somewhere in the sentences."
    forms = defaultdict(list)
    for word in {w for t in texts for w in lower_words(t)}:
        for form in phrases.forms[word]: forms[form].append(word)

    def below(node: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for word, deeper in node.items():
            if word is None: yield path
            else: yield from below(deeper, (*path, word))

    for path in below(phrases.trie): yield from product(*(forms[w] for w in path))


class Automaton:
    "All phrases in one pass; what they are must be known before, here from the sentences themselves."

    def __init__(self, words: NounFilter, texts: list[str]):
        import ahocorasick
        self.words, self.tree = words, ahocorasick.Automaton()
        for phrase in spellings(words.phrases, texts):
            found, text = words.phrases.find(list(phrase)), f" {' '.join(phrase)} "
            whole = [match[:2] for match in found] == [(0, len(phrase))]  # else a part of it stays in sight
            self.tree.add_word(text, (len(text), columns_in(found) if whole else None))
        for word in DENIES: self.tree.add_word(f" {word} ", (len(word) + 2, None))
        self.tree.make_automaton()

    def named(self, line: str) -> list[int] | None:
        "Columns of a sentence, from the left, the longest phrase first; None: the filter has to look."
        places, end, columns = {}, 0, set()
        for last, (length, named) in self.tree.iter(line):
            if named is None: return None
            places[last - length] = last, named  # a longer one comes later
        for start in sorted(places):
            if start < end - 1: continue  # two phrases share the space between them
            end, named = places[start]
            columns.update(named)
        return sorted(columns)

    def __call__(self, texts: list[str]) -> list[list[int]]:
        found = []
        for text in texts:
            columns = self.named(f" {' '.join(lower_words(text))} ")
            found.append(self.words.columns(text) if columns is None else columns)
        return found


def parts(words: NounFilter, texts: list[str]) -> dict[str, Callable]:
    "The filter's own work, cut in two."
    tokens = [lower_words(t) for t in texts]
    return {"tokens": lambda: [lower_words(t) for t in texts],
            "phrases": lambda: [columns_in(words.phrases.find(w)) for w in tokens]}


def main(sentences: int = 50_000, rounds: int = 7):
    if find_spec("ahocorasick") is None: sys.exit("pyahocorasick is not installed: pip install pyahocorasick")
    texts, words = list(islice(cycle(bundled_captions()), sentences)), NounFilter(COCO)
    labels, matchers = {}, {"Arrow": OnColumns(words), "pyahocorasick": Automaton(words, texts)}

    def ours(): labels["ours"] = [found for _, found in words.stream(texts)]
    def other(name): labels[name] = matchers[name](texts)

    ways = {"ours": ours} | {name: lambda name=name: other(name) for name in matchers}
    for way in ways.values(): way()  # all remember words from now on
    for name in matchers: assert labels[name] == labels["ours"], f"{name} gives other labels"
    ways |= parts(words, texts)
    gc.disable()  # as timeit does: it would go through all labels that are kept here
    taken = interleave(ways, rounds, dict.fromkeys(ways, 3), time.process_time)
    figures = dict(sentences=sentences, parts={n: spread(taken[n]) for n in ("tokens", "phrases")})
    for name in matchers:
        figures[name] = compare({name: taken[name], "ours": taken["ours"]}, name, "ours")
        show(name, figures[name])
    print(", ".join(f"{name} {s['median']:.3f} s" for name, s in figures["parts"].items()))
    record("matchers", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
