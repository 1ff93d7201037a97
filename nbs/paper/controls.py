"""Controls: prompts that have learned nothing, for TaI-DPT's, and a second look at the region of
another class; sentences without their content."""
from dataclasses import replace

import torch
from taidpt.learner import TaIDPT
from taidpt.texts import LabeledTexts
from taidpt.training import Fitted
from taidpt.wrappers import Rescored


class Untrained(TaIDPT):
    "Random context vectors, one draw for each seed"
    def fit(self, train, features=None, progress=True):
        recipe = self.recipe_for(len(train))
        self.fitted_ = Fitted(self.fresh_prompts(recipe), recipe=recipe)
        return self


class Elsewhere(Rescored):
    "Each class looks at the region of the class before it"
    def first_look(self, images, on_error='raise', progress=True):
        s, boxes = super().first_look(images, on_error, progress)
        return s, boxes.roll(1, 1)


# Sentences whose content is taken away

def permuted(texts: LabeledTexts) -> LabeledTexts:
    "Each sentence with the labels of another"
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(1))
    return replace(texts, labels=texts.labels[order])


def label_sentences(texts: LabeledTexts) -> LabeledTexts:
    "'a photo of a dog and a car.' in place of each sentence"
    sentences = []
    for y in texts.labels:
        names = [f'a {texts.classes.names[c]}' for c in y.nonzero()[:, 0]]
        sentences.append(f'a photo of {" and ".join(names)}.')
    return replace(texts, texts=sentences)
