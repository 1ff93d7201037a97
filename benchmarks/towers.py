"""What a text tower that is not causal costs: G and L of VOC's 20 classes, with the gradient, from one set of random weights.

The tower is RN50's. Causal, it computes the context that all classes share once. With the mask taken away, as SigLIP, CLIPA
and others do without, every prompt is encoded whole, at the context length of 77 tokens.

    python benchmarks/towers.py [rounds]
"""
import logging
import sys
from functools import partial

import open_clip
import torch

from common import compare, interleave, record, show
from taidpt.classes import VOC2007
from taidpt.clip import FrozenCLIP
from taidpt.prompts import PromptLearner


def prompts(**text) -> PromptLearner:
    "Prompts on RN50's text tower with random weights, and this in its configuration."
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # open_clip says that the weights are random
    model = open_clip.create_model("RN50-quickgelu", force_custom_text=True, text_cfg={
        **open_clip.get_model_config("RN50-quickgelu")["text_cfg"], **text})
    logging.disable(logging.NOTSET)
    model.visual = torch.nn.Identity()  # no picture is looked at here
    return PromptLearner(FrozenCLIP(model, open_clip.get_tokenizer("RN50")), VOC2007.names, 16, seed=0)


def step(learner: PromptLearner):
    G, L = learner()
    (G.sum() + L.sum()).backward()


def main(rounds: int = 3):
    ways = {"causal": prompts(), "not causal": prompts(no_causal_mask=True)}
    assert [p.clip.causal for p in ways.values()] == [True, False]
    for learner in ways.values(): step(learner)  # the first step of all is slow
    case = compare(interleave({name: partial(step, p) for name, p in ways.items()}, rounds), "causal", "not causal")
    show("G and L of 20 classes with their gradient", case)
    record("towers", {"prompts of 20 classes": case})


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
