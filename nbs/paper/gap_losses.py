"""Scores of prompts that learned by each loss, with the embedded CLIP and with one that has a gap:

    python gap_losses.py DATA FOLDER

FOLDER is where `gap_clip.py` has written the CLIP, and DATA has the folders of photos that
`build_evidence.py` names. All get the same effort: the paper's recipe, the same sentences and
seeds, and for each loss the learning rate that is best on held-out sentences. With the embedded
CLIP these prompts are there already, in `evidence/prompts`. With the gap, differences of cosines
are half as large; so a third set of prompts learns from doubled scores, and nothing but the
constant is left of the gap. The scores are stored in
`evidence/scores/gap_losses.npz`."""
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from taidpt.classes import VOC2007, ClassSet
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.encode import encode_images, encode_texts
from taidpt.learner import TaIDPT
from taidpt.metrics import Measured
from taidpt.nounfilter import NounFilter
from taidpt.text.captions import bundled_captions
from taidpt.texts import template_sentences

from development import PAPER
from evidence import FOLDER
from learn_settings import SEEDS, Sentences, captions, learned_losses
from score_clips import both_forms, label_arrays, photo_sets, shown_classes, stored_results
from sentence_prompts import load_settings

FILE = FOLDER/'scores'/'gap_losses.npz'
# Scores twice as large, in the loss and where parts are pooled
DOUBLED = PAPER | {'scale': 2*PAPER['scale'], 'tau_text': .02/2, 'tau_image': .025/2}
CASES = 'original', 'gap', 'gap, scores doubled'


def learned(clip: FrozenCLIP, classes: ClassSet,
            recipe: dict) -> Iterator[tuple[str, list[TaIDPT]]]:
    "Prompts of each loss, in the order of the seeds"
    named = NounFilter(classes).label(bundled_captions(), progress=False)
    train, held = captions(named)
    of_both = [Sentences(texts, encode_texts(clip, texts.texts, progress=False))
               for texts in (train + template_sentences(classes), held)]
    for name, settings, models in learned_losses(clip, *of_both, recipe):
        print(name, settings['lr'], flush=True)
        yield name, models


def stored(clip: FrozenCLIP, classes: ClassSet) -> Iterator[tuple[str, list[TaIDPT]]]:
    by_change, _ = load_settings('paper', clip, classes, SEEDS)
    for name, models in by_change.items():
        if name.startswith('loss '): yield name, models


def main(data: Path, folder: Path):
    classes = VOC2007.spelled_naturally()
    sets = photo_sets(data, classes)
    shown, arrays = shown_classes(sets), label_arrays(sets)
    original, gap = load_clip(device='cpu'), load_clip(folder/'gap', device='cpu')
    prompts = {
        'original': (original, stored(original, classes)),
        'gap': (gap, learned(gap, classes, PAPER)),
        'gap, scores doubled': (gap, learned(gap, classes, DOUBLED))}
    for case, (clip, of_losses) in prompts.items():
        features = {place: encode_images(clip, labelled.images, progress=False)
                    for place, labelled in sets.items()}
        for name, models in of_losses:
            loss = name.removeprefix('loss ')
            for model in models:
                for place, form, scores in both_forms(model, features, shown):
                    arrays[f'{case}/{place}/{loss}/{form}/{model.seed}'] = scores
    np.savez_compressed(FILE, **arrays)


def results() -> dict[tuple[str, str, str, str], Measured]:
    "What prompts reach by case, loss, form and set of photos, with all seeds"
    return stored_results(FILE)


if __name__ == '__main__': main(*map(Path, sys.argv[1:]))
