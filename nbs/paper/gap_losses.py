"""Scores of prompts that learned by each loss, with the embedded CLIP and with one that has a gap:

    python gap_losses.py DATA FOLDER

FOLDER is where `gap_clip.py` has written the CLIP, and DATA has the folders of photos that
`build_evidence.py` names. All get the same effort: the paper's recipe, the same sentences and
seeds, and for each loss the learning rate that is best on held-out sentences. With the embedded
CLIP these prompts are there already, in `evidence/prompts`. With the gap, differences of cosines
are half as large; so a third set of prompts learns from scores that are twice as large again, and
nothing but the constant is left of the gap. The scores are stored in
`evidence/scores/gap_losses.npz`."""
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from taidpt.classes import VOC2007, ClassSet
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.encode import encode_images, encode_texts
from taidpt.learner import TaIDPT
from taidpt.metrics import DRAWS, Measured
from taidpt.nounfilter import NounFilter
from taidpt.text.captions import bundled_captions
from taidpt.texts import template_sentences
from taidpt.wrappers import Centred

from development import PAPER
from evidence import FOLDER, SLICE
from learn_settings import SEEDS, Sentences, captions, learned_losses
from score_clips import photo_sets
from sentence_prompts import load_settings

FILE = FOLDER/'scores'/'gap_losses.npz'
# Scores twice as large, in the loss and where parts are pooled
TWICE = PAPER | {'scale': 2*PAPER['scale'], 'tau_text': .02/2, 'tau_image': .025/2}
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
    sets, arrays = photo_sets(data, classes), {}
    shown = {place: labelled.labels.any(0) for place, labelled in sets.items()}
    for place, labelled in sets.items():
        arrays[f'{place}/labels'] = labelled.labels[:, shown[place]].numpy()
    original, gap = load_clip(device='cpu'), load_clip(folder/'gap', device='cpu')
    cases = (original, stored(original, classes)), (gap, learned(gap, classes, PAPER)), (
        gap, learned(gap, classes, TWICE))
    for case, (clip, prompts) in zip(CASES, cases):
        features = {place: encode_images(clip, labelled.images, progress=False)
                    for place, labelled in sets.items()}
        for name, models in prompts:
            loss = name.removeprefix('loss ')
            for model in models:
                for form, kind in (('raw', model), ('centred', Centred(model))):
                    for place, store in features.items():
                        scores = kind.predict(store, progress=False)[:, shown[place]]
                        key = f'{case}/{place}/{loss}/{form}/{model.seed}'
                        arrays[key] = scores.half().numpy()
    np.savez_compressed(FILE, **arrays)


def results() -> dict[tuple[str, str, str, str], Measured]:
    "What prompts reach by case, loss, form and set of photos, with all seeds"
    runs = {}
    with np.load(FILE) as file:
        labels = {key.partition('/')[0]: file[key] for key in file if key.endswith('/labels')}
        for key in file:
            if key.endswith('/labels'): continue
            case, place, loss, form, _ = key.split('/')
            runs.setdefault((case, loss, form, place), []).append(file[key].astype(np.float32))
    draws = 20 if SLICE else DRAWS
    return {key: Measured(labels[key[-1]], scores, draws=draws) for key, scores in runs.items()}


if __name__ == '__main__': main(*map(Path, sys.argv[1:]))
