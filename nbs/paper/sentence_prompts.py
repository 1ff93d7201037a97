"""Prompts learned from sentences, as pages of this folder and the scripts beside them need them."""
from collections.abc import Iterator

import torch
from taidpt.classes import ClassSet
from taidpt.clip import FrozenCLIP
from taidpt.encoders.store import FeatureStore
from taidpt.files import load_tensors, save_tensors
from taidpt.learner import TaIDPT
from taidpt.nounfilter import NounFilter
from taidpt.text.captions import bundled_captions
from taidpt.texts import LabeledTexts

from evidence import FOLDER, SLICE


def in_random_order(n: int, seed: int = 0) -> list[int]:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


def drawn(texts: LabeledTexts, n: int, seed: int = 0) -> LabeledTexts:
    "Some of the sentences, at random"
    return texts[in_random_order(len(texts), seed)[:n]]


def sample_of_captions(classes: ClassSet) -> tuple[LabeledTexts, LabeledTexts]:
    "Bundled captions that name a class, at random: 3,000 to learn from, and 1,500 held out"
    n_train, n_held = (300, 200) if SLICE else (3000, 1500)
    captions = list(bundled_captions())
    sample = [captions[i] for i in in_random_order(len(captions))[:2*(n_train + n_held)]]
    labelled = NounFilter(classes).label(sample, progress=False)
    return labelled[:n_train], labelled[n_train:n_train + n_held]


def learn_prompts(clip: FrozenCLIP, texts: LabeledTexts, features: FeatureStore, seed: int = 0,
                  method: type[TaIDPT] = TaIDPT, **settings) -> TaIDPT:
    "Prompts learned from these sentences and no others"
    model = method(clip, texts.classes, templates=False, seed=seed, **settings)
    return model.fit(texts, features=features, progress=False)


# Prompts from sentences that may not be passed on, in the folder `evidence/prompts`

def save_prompts(name: str, models: list[TaIDPT], sentences: int):
    "Prompts of several seeds, and from how many captions they learned"
    tensors = {}
    for model in models:
        for part, tensor in model.state_dict().items(): tensors[f'{model.seed}.{part}'] = tensor
    save_tensors(FOLDER/'prompts'/f'{name}.safetensors', tensors, {'sentences': sentences})


def load_prompts(name: str, clip: FrozenCLIP, classes: ClassSet,
                 seeds: tuple[int, ...]) -> tuple[list[TaIDPT], int]:
    "The same"
    tensors, metadata = load_tensors(FOLDER/'prompts'/f'{name}.safetensors')
    models = []
    for seed in seeds:
        model = TaIDPT(clip, classes, seed=seed)
        parts = 'ctx_global', 'ctx_local'
        model.load_state_dict({part: tensors[f'{seed}.{part}'] for part in parts})
        model.fitted_.recipe = model.recipe_for(None)           # the temperature on images
        models.append(model)
    return models, metadata['sentences']


# Prompts that change one thing of a recipe: in half precision, by what changes, seed and branch

def save_settings(name: str, learned: Iterator[tuple[str, dict, list[TaIDPT]]]):
    "Prompts of a recipe; of what they learned with, the rate of those that have one of their own"
    tensors, rates = {}, {}
    for change, settings, models in learned:
        for model in models:
            for part, tensor in model.state_dict().items():
                tensors[f'{change}/{model.seed}/{part}'] = tensor.half()
        if 'lr' in settings: rates[change] = settings['lr']
        print(change, settings.get('lr', ''), flush=True)
    save_tensors(FOLDER/'prompts'/f'settings_{name}.safetensors', tensors, {'rates': rates})


def load_settings(name: str, clip: FrozenCLIP, classes: ClassSet, seeds: tuple[int, ...]
                  ) -> tuple[dict[str, list[TaIDPT]], dict[str, float]]:
    "Prompts of a recipe by what changes, and rates"
    tensors, metadata = load_tensors(FOLDER/'prompts'/f'settings_{name}.safetensors')
    changes = dict.fromkeys(key.partition('/')[0] for key in tensors)
    models = {}
    for change in changes:
        models[change] = []
        for seed in seeds:
            contexts = {part: tensors[f'{change}/{seed}/{part}'].float()
                        for part in ('ctx_global', 'ctx_local')}
            shape = contexts['ctx_global'].shape                    # ([C,] M, W)
            model = TaIDPT(clip, classes, shape[-2], class_specific=len(shape) == 3, seed=seed)
            model.load_state_dict(contexts)
            model.fitted_.recipe = model.recipe_for(None)
            models[change].append(model)
    return models, metadata['rates']
