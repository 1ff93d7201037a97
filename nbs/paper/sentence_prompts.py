"""Prompts learned from sentences, as pages of this folder and the scripts beside them need them."""
from collections.abc import Iterator

import torch
from taidpt.classes import ClassSet
from taidpt.clip import FrozenCLIP
from taidpt.encoders.store import FeatureStore
from taidpt.files import load_tensors, save_tensors
from taidpt.learner import TaIDPT
from taidpt.texts import LabeledTexts

from evidence import FOLDER


def in_random_order(n: int, seed: int = 0) -> list[int]:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


def drawn(texts: LabeledTexts, n: int, seed: int = 0) -> LabeledTexts:
    "Some of the sentences, at random"
    return texts[in_random_order(len(texts), seed)[:n]]


def learn_prompts(clip: FrozenCLIP, texts: LabeledTexts, features: FeatureStore, seed: int = 0,
                  method: type[TaIDPT] = TaIDPT, **settings) -> TaIDPT:
    "Prompts learned from these sentences and no others"
    model = method(clip, texts.classes, templates=False, seed=seed, **settings)
    return model.fit(texts, features=features, progress=False)


# Prompts in the folder `evidence/prompts`

PARTS = 'ctx_global', 'ctx_local'


def model_of(contexts: dict[str, torch.Tensor], clip: FrozenCLIP, classes: ClassSet,
             seed: int) -> TaIDPT:
    "A model with contexts that were learned before"
    shape = contexts['ctx_global'].shape                            # ([C,] M, W)
    model = TaIDPT(clip, classes, shape[-2], class_specific=len(shape) == 3, seed=seed)
    model.load_state_dict(contexts)
    model.fitted_.recipe = model.recipe_for(None)                   # the temperature on images
    return model


# From sentences that may not be passed on

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
        contexts = {part: tensors[f'{seed}.{part}'] for part in PARTS}
        models.append(model_of(contexts, clip, classes, seed))
    return models, metadata['sentences']


# That change one thing of a recipe: in half precision, by what changes, seed and branch

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
            contexts = {part: tensors[f'{change}/{seed}/{part}'].float() for part in PARTS}
            models[change].append(model_of(contexts, clip, classes, seed))
    return models, metadata['rates']
