"""Learn the prompts of `what_matters.ipynb`, and write them to `evidence/prompts`:

    python learn_settings.py [paper | recommended]

Each of them changes one thing of a recipe, the paper's or what the embedded CLIP recommends: the
sentences, the loss, or another setting. All have three seeds. Those of a loss have the learning
rate that is best on held-out sentences."""
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from taidpt.classes import VOC2007, ClassSet
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.encode import encode_texts
from taidpt.encoders.store import FeatureStore
from taidpt.learner import TaIDPT
from taidpt.losses import LOSSES
from taidpt.metrics import mean_average_precision
from taidpt.nounfilter import NounFilter
from taidpt.scores import branch_scores, fuse
from taidpt.text.captions import bundled_captions
from taidpt.texts import LabeledTexts, template_sentences

from controls import label_sentences, permuted
from development import PAPER
from sentence_prompts import drawn, in_random_order, learn_prompts, save_settings

SEEDS = 0, 1, 2
RECIPES = {'paper': PAPER, 'recommended': {}}
RATES = [10.**k for k in range(-5, 2)]
N_CAPTIONS, N_HELD = 3000, 1500


# Sentences

class Sentences(NamedTuple):
    texts: LabeledTexts
    features: FeatureStore


def captions(named: LabeledTexts) -> tuple[LabeledTexts, LabeledTexts]:
    "Captions at random: 3,000 to learn from, and 1,500 held out"
    order = in_random_order(len(named))
    return named[order[:N_CAPTIONS]], named[order[N_CAPTIONS:N_CAPTIONS + N_HELD]]


def exactly_named(named: LabeledTexts) -> tuple[LabeledTexts, LabeledTexts, LabeledTexts]:
    """All captions labelled by exact names; and 3,000 that contain one, labelled by synonyms and by
    exact names"""
    classes = named.classes
    names_only = NounFilter(ClassSet(classes.name, classes.names))
    exact = names_only.label(named.texts, progress=False, keep_unnamed=True)
    with_name = exact.labels.any(1).nonzero()[:, 0]
    return exact, *(drawn(texts[with_name], N_CAPTIONS) for texts in (named, exact))


# What changes

class WholeSentence(TaIDPT):
    "TaI-DPT whose local branch, too, learns from EOS"
    def training_scores(self, prompts, recipe): return partial(branch_scores, tau=None)


SETTINGS = {
    '4 vectors': dict(n_ctx=4), '8 vectors': dict(n_ctx=8), '32 vectors': dict(n_ctx=32),
    '64 vectors': dict(n_ctx=64), 'a context for each class': dict(class_specific=True),
    'tau_s 0.1 on sentences': dict(tau_text=.1), 'tau_s 1 on sentences': dict(tau_text=1.),
    'EOS in place of words': dict(method=WholeSentence), 'noise 0.25': dict(noise=.25)}
SCALES = 1., 2., 4., 8., 16.


def with_offset(loss: Callable, labels: torch.Tensor) -> Callable:
    "A loss on scores whose mean over a batch is the log-odds of a label"
    log_odds = labels.float().mean().logit()
    def shifted(scores, labels): return loss(scores - scores.detach().mean() + log_odds, labels)
    return shifted


def losses(labels: torch.Tensor) -> dict[str, Callable | str]:
    by_name = {'ranking': 'ranking', 'pairs': LOSSES['pairs']}     # as a function: the loss alone
    for name in ('bce', 'asymmetric', 'focal'):
        by_name |= {name: name, f'{name}, offset': with_offset(LOSSES[name], labels)}
    return by_name


@torch.no_grad()
def sentence_scores(model: TaIDPT, features: FeatureStore) -> torch.Tensor:
    "Scores of sentences, as in training: N × C"
    u, U, mask = features.batch(range(len(features)), model.clip.device)
    score = model.training_scores(model.prompts_, model.recipe_)
    return fuse(*score(u, U, *model.embeddings(), mask=mask))


def sentence_map(model: TaIDPT, held: Sentences) -> float:
    return mean_average_precision(held.texts.labels, sentence_scores(model, held.features))


def learned_losses(clip: FrozenCLIP, train: Sentences, held: Sentences, recipe: dict,
                   seeds: tuple[int, ...] = SEEDS) -> Iterator[tuple[str, dict, list[TaIDPT]]]:
    "Each loss at the rate that is best on held-out sentences"
    for name, loss in losses(train.texts.labels).items():
        tried = {}
        for rate in RATES:
            settings = recipe | dict(loss=loss, lr=rate)
            tried[rate] = learn_prompts(clip, *train, seeds[0], **settings)
        best = max(RATES, key=lambda rate: sentence_map(tried[rate], held))
        settings = dict(loss=loss, lr=best)
        others = [learn_prompts(clip, *train, seed, **recipe | settings) for seed in seeds[1:]]
        yield f'loss {name}', settings, [tried[best], *others]


def learned_settings(clip: FrozenCLIP, classes: ClassSet, recipe: dict,
                     seeds: tuple[int, ...] = SEEDS) -> Iterator[tuple[str, dict, list[TaIDPT]]]:
    "What changes, with which settings, and the prompts of each seed"
    named = NounFilter(classes).label(bundled_captions(), progress=False)
    train, held_texts = captions(named)
    templates = template_sentences(classes)

    def encoded(texts): return Sentences(texts, encode_texts(clip, texts.texts, progress=False))

    def learned(sentences, settings):
        settings = recipe | settings
        return [learn_prompts(clip, *sentences, seed, **settings) for seed in seeds]

    both, held = encoded(train + templates), encoded(held_texts)
    of_templates = both.features.take(list(range(len(train), len(both.texts))))
    _, by_synonyms, by_names = exactly_named(named)
    sources = {
        'TaI-DPT': both, 'captions alone': encoded(train),
        'captions permuted': Sentences(permuted(train) + templates, both.features),
        'label sentences': encoded(label_sentences(train) + templates),
        'templates alone': Sentences(templates, of_templates),
        'synonyms': encoded(by_synonyms + templates), 'exact names': encoded(by_names + templates)}
    for name, sentences in sources.items(): yield name, {}, learned(sentences, {})
    of_seed = [encoded(drawn(named, N_CAPTIONS, seed) + templates) for seed in seeds]
    yield 'a draw for each seed', {}, [
        learn_prompts(clip, *sentences, seed, **recipe) for seed, sentences in zip(seeds, of_seed)]

    for name, settings in SETTINGS.items(): yield name, settings, learned(both, settings)
    for scale in SCALES:
        settings = dict(scale=scale)
        yield f'scale {scale:g}', settings, learned(both, settings)

    yield from learned_losses(clip, both, held, recipe, seeds)


def main(*names: str):
    clip, classes = load_clip(device='cpu'), VOC2007.spelled_naturally()
    for name in names or RECIPES:
        save_settings(name, learned_settings(clip, classes, RECIPES[name]))


if __name__ == '__main__': main(*sys.argv[1:])
