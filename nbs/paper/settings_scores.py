"""What the prompts of `learn_settings.py` reach on four sets of photos, and on sentences that they
did not learn from: for the pages `what_matters.ipynb` and `report.ipynb`."""
import copy
from functools import cache

import numpy as np
import torch
from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.encode import encode_texts
from taidpt.files import load_tensors
from taidpt.learner import TaIDPT
from taidpt.metrics import Measured
from taidpt.nounfilter import NounFilter
from taidpt.predict import Model
from taidpt.scores import dense_scores
from taidpt.text.captions import bundled_captions
from taidpt.texts import TEMPLATES
from taidpt.wrappers import Centred
from taidpt.zeroshot import ZeroShotCLIP

from controls import Untrained
from development import ANIMALS, joined
from evidence import FOLDER, Cases, Contrast, gain, image_features, photos
from learn_settings import SEEDS, captions, sentence_scores
from sentence_prompts import load_prompts, load_settings

DPT = 'zero-shot CLIP with DPT'
MARKS = {'': 'paper', ' †': 'recommended'}              # at the end of a method's name -> recipe
VERSIONS = 'as published', 'centred'
TEMPERATURES = .005, .01, .025, .05, .1, .25, 1.        # of local scores on photos

clip = load_clip()
classes = VOC2007.spelled_naturally()


# Photos and sentences

@cache
def photo_sets() -> dict:
    "Labelled photos by the name of their set; a class that few of them show has no label"
    coco = joined(photos('coco_dev', classes), photos('coco_demo', classes))
    coco.labels &= coco.labels.sum(0) >= 5
    return {
        'VOC2012': photos('voc2012_dev', classes, 10),
        'VOC2012 test': photos('voc2012_test', classes, 10),
        'COCO': coco,
        'Flickr8k': photos('flickr8k_test', classes, 10)}


@cache
def features_of(place: str): return image_features(photo_sets()[place].images)


@cache
def tests() -> dict[str, tuple[str, torch.Tensor]]:
    "Set of photos and labels of each test; the test photos also with a part of the classes"
    all_tests = {place: (place, labelled.labels) for place, labelled in photo_sets().items()}
    animals = torch.tensor([name in ANIMALS for name in classes.names])
    place, labels = all_tests['VOC2012 test']
    return all_tests | {'animals': (place, labels & animals),
                        'other classes': (place, labels & ~animals)}


@cache
def named_captions():
    "The bundled captions that name a class"
    return NounFilter(classes).label(bundled_captions(), progress=False)


@cache
def held_out():
    "Sentences that no prompts learned from, and their features"
    _, held = captions(named_captions())
    return held, encode_texts(clip, held.texts, progress=False)


# Models

def at_temperature(models: list[TaIDPT], tau: float) -> list[TaIDPT]:
    "The same prompts with another temperature on images"
    changed = [copy.copy(model) for model in models]
    for model in changed: model.tau_image = tau
    return changed


@cache
def learned() -> tuple[dict[str, list[Model]], dict[str, float]]:
    "Models of each method, one for each seed; and the learning rates that belong to a loss"
    train, _ = captions(named_captions())
    models = {
        'zero-shot CLIP': [ZeroShotCLIP(clip, classes, local=False)],
        DPT: [ZeroShotCLIP(clip, classes)],
        'DPT, 80 templates': [ZeroShotCLIP(clip, classes, TEMPLATES)],
        'untrained': [Untrained(clip, classes, seed=seed).fit(train) for seed in SEEDS]}
    rates = {}
    for mark, recipe in MARKS.items():
        by_change, by_loss = load_settings(recipe, clip, classes, SEEDS)
        models |= {change + mark: by_seed for change, by_seed in by_change.items()}
        rates |= {change + mark: rate for change, rate in by_loss.items()}
        for name, file in (
                ('Flickr30k', 'flickr30k'), ('Conceptual Captions', 'conceptual_captions')):
            models[name + mark], _ = load_prompts(f'{file}_{recipe}', clip, classes, SEEDS)
        for tau in TEMPERATURES:
            models[f'tau_s {tau:g} on photos{mark}'] = at_temperature(
                models[f'TaI-DPT{mark}'], tau)
    return models, rates


def versions(name: str, version: str) -> list[Model]:
    "The models of each seed, as published or centred"
    models = learned()[0][name]
    return [Centred(model) for model in models] if version == 'centred' else models


# What they reach

@cache
def scores(name: str, version: str, place: str) -> list[torch.Tensor]:
    "Scores of a set of photos by each seed"
    features = features_of(place)
    return [model.predict(features, progress=False) for model in versions(name, version)]


@cache
def measured(name: str, version: str, test: str) -> Measured:
    place, labels = tests()[test]
    return Measured(labels, scores(name, version, place))


def mean_map(name: str, version: str, test: str) -> float:
    return np.mean(measured(name, version, test).map_by_run)


def gains(name: str, over: str, version: str = 'as published',
          test: str = 'VOC2012 test') -> Contrast:
    return gain(measured(name, version, test), measured(over, version, test))


@cache
def on_sentences(name: str) -> Measured:
    "On the sentences that are held out, as published"
    held, features = held_out()
    return Measured(held.labels, [sentence_scores(m, features) for m in versions(name, '')])


def gap(name: str, test: str) -> Contrast:
    "mAP on sentences minus mAP on photos"
    return Contrast.of((1, on_sentences(name)), (-1, measured(name, 'as published', test)))


# Where the local branch looks

def tokens_before(text: str) -> int:
    return int((clip.tokenizer([text])[0] != 0).sum()) - 1          # with SOT


@cache
def naming_tokens() -> list[tuple[int, int, list[int]]]:
    "Number of a held-out sentence, of a class, and of the tokens that name it"
    reader, (held, _) = NounFilter(classes), held_out()
    cases = []
    for i, text in enumerate(held.texts):
        matches = reader.explain(text).matches
        for c in held.labels[i].nonzero()[:, 0].tolist():
            spans = [range(tokens_before(text[:m.start]), tokens_before(text[:m.end]))
                     for m in matches if classes.names[c] in m.classes]
            cases.append((i, c, [k for span in spans for k in span]))
    return cases


@torch.no_grad()
def most_similar(L: torch.Tensor) -> np.ndarray:
    """For each case: whether the best token names the class, is EOS, is the start; and whether a
    naming token is above EOS"""
    held, features = held_out()
    _, U, mask = features.batch(range(len(held)), clip.device)
    cosines, last = dense_scores(U, L).cpu(), mask.sum(1).cpu() - 1
    rows = []
    for i, c, tokens in naming_tokens():
        p = cosines[i, :last[i] + 1, c]
        best = int(p.argmax())
        rows.append([best in tokens, best == last[i], best == 0, bool(p[tokens].max() > p[-1])])
    return np.array(rows, float)


@cache
def shares_of_tokens(name: str, version: str) -> np.ndarray:
    "The same as a mean over seeds, 4 × cases"
    by_seed = [most_similar(model.embeddings()[1]) for model in versions(name, version)]
    return np.mean(by_seed, 0).T


@cache
def from_pixels() -> tuple[dict[str, torch.Tensor], dict]:
    "What `build_pixels.py` has scored"
    return load_tensors(FOLDER/'scores'/'from_pixels.safetensors')


def hits_on_pairs() -> dict[str, np.ndarray]:
    "By method and version: for pairs of photos, side by side, how often the right half is found"
    tensors, facts = from_pixels()
    return dict(zip(facts['methods'], tensors['hits'].numpy()))


def over_coin(hits: np.ndarray) -> Contrast:
    "A share in percent, less the 50 % of a coin, with its interval over cases"
    return Contrast.of((1, Cases(hits, .5)))


def ahead_on_pairs(name: str, over: str) -> Contrast:
    "By how many points one method finds the right half more often than another"
    hits = hits_on_pairs()
    return Contrast.of((1, Cases(hits[name])), (-1, Cases(hits[over])))


# What a photo's own captions are worth

@cache
def halves_of_flickr8k() -> tuple[list, torch.Tensor]:
    "Every other photo of the test split, twice; and the classes on five photos or more of both"
    test = photos('flickr8k', classes, labels='voc2007_three', split='test')
    halves = [test[k::2] for k in (0, 1)]
    return halves, (halves[0].labels.sum(0) >= 5) & (halves[1].labels.sum(0) >= 5)


@cache
def learned_from_halves() -> tuple[list[list[TaIDPT]], int]:
    "Prompts from the captions of each half, one for each seed, and from how many captions"
    prompts, counts = zip(*(load_prompts(f'flickr8k_{k}', clip, classes, SEEDS) for k in (0, 1)))
    return [*prompts], counts[0]


def on_half(k: int, models: list[Model]) -> Measured:
    "mAP on the photos of a half"
    halves, enough = halves_of_flickr8k()
    features = image_features(halves[k].images)
    by_seed = [model.predict(features, progress=False) for model in models]
    return Measured(halves[k].labels & enough, by_seed)


def leak(version: str) -> Contrast:
    "What a photo's own captions gain over others', the mean of both halves"
    (first, second), _ = learned_from_halves()
    if version == 'centred': first, second = map(Centred, first), map(Centred, second)
    first, second = [*first], [*second]
    return Contrast.of((.5, on_half(0, first)), (-.5, on_half(0, second)),
                       (.5, on_half(1, second)), (-.5, on_half(1, first)))
