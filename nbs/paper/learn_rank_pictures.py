"""Learn what `rank_pictures.ipynb` compares, and write its scores to
`evidence/scores/rank_pictures.npz`:

    python learn_rank_pictures.py

Settings of two losses are searched on a third of VOC2012's photos. Prompts, heads and vectors then
learn with them and are measured on the other photos, as published and centred."""
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from taidpt.baselines.concepts import TextConcepts, TextLinear
from taidpt.classes import VOC2007
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.datasets.labelled import LabeledImages
from taidpt.encode import encode_texts
from taidpt.encoders.store import FeatureStore
from taidpt.learner import TaIDPT
from taidpt.losses import pairs_loss, scaled_loss
from taidpt.metrics import Measured
from taidpt.nounfilter import NounFilter
from taidpt.paper.study import draw
from taidpt.predict import Model
from taidpt.prompts import PromptLearner
from taidpt.scores import branch_scores
from taidpt.text.captions import bundled_captions
from taidpt.texts import LabeledTexts, template_sentences
from taidpt.training import PUBLISHED, Fitted, Recipe, fit_prompts, resolve
from taidpt.wrappers import Attended, Centred
from taidpt.zeroshot import ZeroShotCLIP

from development import VERSIONS
from evidence import Results, image_features, photos, save_results

SEEDS = 2, 3, 4                                 # seed 1 chooses
CLASSES = VOC2007.spelled_naturally()


# Photos

def photos_to_choose() -> tuple[LabeledImages, LabeledImages]:
    "A third of VOC2012's photos, at random, to choose settings on, and the others"
    every = photos('voc2012_dev', CLASSES, 10)
    chosen = draw(len(every), len(every)//3)
    return every[chosen], every[~chosen]


def photo_sets() -> dict[str, LabeledImages]:
    "Photos to measure on"
    _, others = photos_to_choose()
    return {'VOC2012': others, 'VOC2012 test': photos('voc2012_test', CLASSES, 10),
            'COCO': photos('coco_dev', CLASSES, 5)}


# Sentences

class Sentences(NamedTuple):
    "Captions, and after them the templates"
    captions: LabeledTexts
    every: LabeledTexts
    encoded: FeatureStore
    naming: torch.Tensor                        # which name a class, bool


def read_sentences(clip: FrozenCLIP, captions: Iterable[str]) -> Sentences:
    labelled = NounFilter(CLASSES).label(captions, progress=False, keep_unnamed=True)
    every = labelled + template_sentences(CLASSES)
    encoded = encode_texts(clip, every.texts, progress=False)
    return Sentences(labelled, every, encoded, every.labels.any(1))


# Prompts by a loss with a recipe

RATES = ('sgd', 1e-4), ('sgd', 1e-3), ('sgd', 1e-2), ('adam', 2e-4), ('adam', 2e-3)
BEGIN = replace(PUBLISHED, epochs=5)
PARTS = {                                       # the first candidate of each is that of BEGIN
    'rate': {f'{name}, {lr:g}': dict(optimizer=name, lr=lr, warmup_lr=lr/10) for name, lr in RATES},
    'epochs': {f'{n}': dict(epochs=n) for n in (5, 1, 2)},
    'scale': {f'{scale:g}': dict(scale=scale) for scale in (4., .25, 1., 16.)},
    'batches': {f'{n}': dict(batch_size=n) for n in (512, 2048)},
    'contexts': {'shared': dict(class_specific=False, tau_text=PUBLISHED.tau_text),
                 'own': dict(class_specific=True, tau_text=None)},
    'sentences': {'naming': dict(keep_unnamed=False), 'all': dict(keep_unnamed=True)}}
LOSSES = 'ranking', 'pairs'


def with_prompts(clip: FrozenCLIP, prompts: PromptLearner, recipe: Recipe) -> TaIDPT:
    model = TaIDPT(clip, CLASSES)
    model.fitted_ = Fitted(prompts, recipe=recipe)
    return model


def untrained(clip: FrozenCLIP, seed: int) -> TaIDPT:
    prompts = PromptLearner(clip, CLASSES.names, 16, seed=seed)
    return with_prompts(clip, prompts, resolve(clip, 'ranking'))


def learned(clip: FrozenCLIP, sentences: Sentences, loss: str, recipe: Recipe,
            seed: int) -> TaIDPT:
    "TaI-DPT's prompts, learned by a loss with a recipe"
    wanted = sentences.naming | recipe.keep_unnamed
    rows = wanted.nonzero()[:, 0]
    recipe = replace(recipe, seed=seed)
    prompts = PromptLearner(clip, CLASSES.names, 16, recipe.class_specific, seed)
    scores = partial(branch_scores, tau=recipe.tau_text)
    fit_prompts(prompts, sentences.encoded.take(rows), sentences.every.labels[rows],
                scaled_loss(loss, recipe.scale), recipe, scores, progress=False)
    return with_prompts(clip, prompts, recipe)


Tried = dict[str, dict[str, float]]             # mAP of the candidates of each part


def search(score: Callable[[Recipe], float], begin: Recipe, parts: dict) -> tuple[Recipe, Tried]:
    "Choose one part of a recipe after the other"
    chosen, tried = begin, {}
    for part, candidates in parts.items():
        tried[part] = {name: score(replace(chosen, **change))
                       for name, change in candidates.items()}
        best = max(tried[part], key=tried[part].get)
        chosen = replace(chosen, **candidates[best])
    return chosen, tried


def chosen_recipes(clip: FrozenCLIP, sentences: Sentences, begin: Recipe,
                   parts: dict) -> tuple[dict[str, Recipe], dict[str, Tried]]:
    "The recipe of each loss by its mAP on the photos to choose"
    to_choose, _ = photos_to_choose()
    features = image_features(to_choose.images)
    chosen, tried = {}, {}
    for loss in LOSSES:
        @cache
        def score(recipe):
            model = learned(clip, sentences, loss, recipe, 1)
            return model.score(features, to_choose.labels, progress=False)
        chosen[loss], tried[loss] = search(score, begin, parts)
        print('settings of', loss, flush=True)
    return chosen, tried


def taught_prompts(clip: FrozenCLIP, sentences: Sentences, chosen: dict[str, Recipe],
                   published: Recipe, seeds) -> dict[str, list[Model]]:
    "Prompts by each loss with its own settings, with those of the other and with the package's"
    recipes = {
        'Eq. 7': ('ranking', chosen['ranking']),
        'pairs': ('pairs', chosen['pairs']),
        'pairs, settings of Eq. 7': ('pairs', chosen['ranking']),
        'Eq. 7, settings of pairs': ('ranking', chosen['pairs']),
        'Eq. 7, recommended †': ('ranking', resolve(clip, 'ranking')),
        'PAIRS †': ('pairs', resolve(clip, 'pairs')),
        "Eq. 7, the paper's recipe": ('ranking', published)}
    taught = {}
    for row, (loss, recipe) in recipes.items():
        taught[row] = [learned(clip, sentences, loss, recipe, seed) for seed in seeds]
        print(row, flush=True)
    return taught


# Heads, which need no optimizer

def fitted_head(clip: FrozenCLIP, sentences: Sentences, cls: type, wanted: torch.Tensor,
                **settings) -> Model:
    "A head that learns from some of the sentences; templates are the last of them"
    rows = wanted.nonzero()[:, 0]
    captions = sentences.captions[rows[rows < len(sentences.captions)]]
    model = cls(clip, CLASSES, templates=True, **settings)
    return model.fit(captions, features=sentences.encoded.take(rows), progress=False)


def fitted_heads(clip: FrozenCLIP, sentences: Sentences) -> dict[str, Model]:
    kinds = {'means of sentences': (TextConcepts, {}), 'least squares': (TextLinear, {}),
             'closed form of pairs': (TextLinear, dict(loss='pairs'))}
    by_sentences = {'naming': sentences.naming, 'all': torch.ones_like(sentences.naming)}
    return {f'{row}, {name}': fitted_head(clip, sentences, cls, wanted, **settings)
            for row, (cls, settings) in kinds.items() for name, wanted in by_sentences.items()}


# Vectors by losses of the top of the list

def by_class(loss: Callable) -> Callable:
    "A loss of one class's positives and negatives, over the classes of a batch that have both"
    def mean_loss(scores, labels):
        both = labels.any(0) & ~labels.all(0)
        costs = []
        for c in both.nonzero()[:, 0]:
            costs.append(loss(scores[labels[:, c], c], scores[~labels[:, c], c]))
        return torch.stack(costs).mean()
    return mean_loss


def hard_pairs(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    weights = negative.detach().softmax(0)
    return (F.softplus(negative - positive[:, None]) * weights).sum(1).mean()


def smooth_ap(positive: torch.Tensor, negative: torch.Tensor, tau: float = .1) -> torch.Tensor:
    above = torch.sigmoid((torch.cat([positive, negative]) - positive[:, None])/tau)
    among_positives = above[:, :len(positive)].sum(1) + .5      # itself counts 1/2 in the sum
    return 1 - (among_positives / (above.sum(1) + .5)).mean()


def learned_vectors(sentences: Sentences, head: Model, loss: Callable, epochs: int = 10) -> Model:
    "A model whose class vectors begin at the means of sentences and learn by a loss"
    h = sentences.encoded.global_.float()
    y = sentences.every.labels
    means = (y.T.float() @ h)/y.sum(0)[:, None] - h.mean(0)
    W = F.normalize(means, dim=1).requires_grad_()
    adam = torch.optim.Adam([W], 1e-2)
    rng = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for rows in torch.randperm(len(h), generator=rng).split(2048):
            noisy = h[rows] + .1*torch.randn(h[rows].shape, generator=rng)
            cosines = F.normalize(noisy, dim=1) @ F.normalize(W, dim=1).T
            adam.zero_grad()
            loss(8*cosines, y[rows]).backward()
            adam.step()
    V = F.normalize(W.detach(), dim=1)
    return head.with_embeddings(V, V)


# All rows

def all_models(clip: FrozenCLIP, sentences: Sentences, chosen: dict[str, Recipe],
               published: Recipe = PUBLISHED, seeds=SEEDS, epochs: int = 10
               ) -> dict[str, list[Model]]:
    "The models of each row, one for each seed"
    zero = ZeroShotCLIP(clip, CLASSES)
    taught = taught_prompts(clip, sentences, chosen, published, seeds)
    heads = fitted_heads(clip, sentences)
    closed_form = 'closed form of pairs, all'
    rows = {'untrained prompts': [untrained(clip, seed) for seed in (1, 2, 3)],
            'zero-shot CLIP with DPT': [zero]}
    rows |= taught
    rows |= {row: [head] for row, head in heads.items()}

    memory = sentences.encoded.take(range(len(sentences.captions)))         # captions alone
    for row in ('zero-shot CLIP with DPT', closed_form, 'Eq. 7', 'pairs'):
        rows[f'{row}, attended'] = [Attended(model, memory) for model in rows[row]]

    tops = {'all pairs': pairs_loss, 'hard pairs': by_class(hard_pairs),
            'SmoothAP': by_class(smooth_ap)}
    for name, loss in tops.items():
        vectors = learned_vectors(sentences, heads[closed_form], loss, epochs)
        rows[f'vectors, {name}'] = [vectors]
    return rows


def measured(rows: dict[str, list[Model]]) -> Results:
    "By set of photos and row, as published and centred"
    results = {}
    for name, labelled in photo_sets().items():
        features = image_features(labelled.images)
        results[name] = {}
        for row, models in rows.items():
            for version in VERSIONS:
                changed = map(Centred, models) if version else models
                scores = [model.predict(features, progress=False) for model in changed]
                results[name][row + version] = Measured(
                    labelled.labels, scores, labelled.classes.names)
    return results


def learn(clip: FrozenCLIP, captions: Iterable[str], begin=BEGIN, parts=PARTS,
          **settings) -> tuple[Results, dict]:
    "Results, and facts; `settings` are those of `all_models`"
    sentences = read_sentences(clip, captions)
    chosen, tried = chosen_recipes(clip, sentences, begin, parts)
    results = measured(all_models(clip, sentences, chosen, **settings))
    without = int((~sentences.naming).sum())
    return results, {'tried': tried, 'captions': len(sentences.captions), 'of no class': without}


def main():
    warnings.filterwarnings('ignore', 'mAP over|No image shows')
    results, facts = learn(load_clip(), bundled_captions())
    save_results('rank_pictures', results, **facts)


if __name__ == '__main__': main()
