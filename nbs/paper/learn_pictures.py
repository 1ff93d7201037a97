"""Learn what `pictures.ipynb` measures, and write its scores to `evidence/scores/pictures.npz`:

    python learn_pictures.py

CoOp and Tip-Adapter learn from a few photos of each class (Fig. 6 and Table 2), DualCoOp from some
of the labels of many (Table 3). Each of them, and its ensemble with prompts from sentences, has
three seeds."""
import tempfile
import time
import warnings

from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.metrics import Measured
from taidpt.paper.pictures import Scene, fig6, table2, table3
from taidpt.paper.published import COOP_WEIGHT

from development import (
    halved_photos, miniature_photos, novel_photos, quick_prompts, with_tuned, zero_shot)
from evidence import Results, StoredStudy, save_results

SEEDS = 0, 1, 2
SHOTS = 1, 2, 4, 8, 16
NOVEL_SHOTS = 1, 5
KNOWN = .1, .5, .9                              # of labels that are known

# Of CoOp, chosen on Flickr8k's development split: for as many epochs as its code has, for 20, and
# on new classes
COOP = dict(lr=.01, warmup_lr=.001)
COOP_EARLY = dict(lr=.003, warmup_lr=.0003, epochs=20)
COOP_NOVEL = dict(lr=.001, warmup_lr=.0001)
# Of DualCoOp and its ensemble, chosen on a third of the photos that it learns from
DUAL = dict(lr=.1, warmup_lr=.01, epochs=10, batch_size=32, scale=5, tau_image=.2)
DUAL_WEIGHT = .7

OfMethods = dict[tuple, Measured]                   # by method and shots, or share of labels


def from_few_photos(study: StoredStudy, shots=SHOTS, coop=COOP, early=COOP_EARLY,
                    captions=3000) -> tuple[OfMethods, OfMethods]:
    "Fig. 6: results of all methods; and, with the most shots, those of CoOp that learns early"
    train, test = miniature_photos(VOC2007.spelled_naturally(), 24)
    prompts, tuned = quick_prompts(study, train.classes, captions)
    scene = Scene(study, prompts, train, test)
    results = zero_shot(scene) | fig6(study, shots=shots, coop=coop, images=scene)
    results = with_tuned(results, scene, tuned, COOP_WEIGHT)
    of_early = fig6(study, shots=shots[-1:], coop=early, images=scene)
    return results, {key: of_early[key] for key in of_early if key[1]}


def of_novel_classes(study: StoredStudy, shots=NOVEL_SHOTS, coop=COOP_NOVEL,
                     captions=None) -> OfMethods:
    "Table 2"
    train, test, val = novel_photos()                       # Tip-Adapter searches on the last
    prompts, tuned = quick_prompts(study, train.classes, captions)
    scene = Scene(study, prompts, train, test, val)
    results = zero_shot(scene) | table2(study, shots, coop, images=scene)
    return with_tuned(results, scene, tuned, COOP_WEIGHT)


def from_some_labels(study: StoredStudy, shares=KNOWN, dual=DUAL,
                     captions=3000) -> tuple[OfMethods, int]:
    "Table 3; and from how many photos DualCoOp learns"
    train, test = halved_photos(VOC2007.spelled_naturally())
    prompts, tuned = quick_prompts(study, train.classes, captions)
    scene = Scene(study, prompts, train, test)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'No image shows')
        results = zero_shot(scene) | table3(
            study, shares=shares, dual=dual, images=scene, weight=DUAL_WEIGHT)
    return with_tuned(results, scene, tuned, DUAL_WEIGHT), len(train)


def learned(study: StoredStudy, few: dict | None = None, novel: dict | None = None,
            labels: dict | None = None) -> tuple[Results, dict]:
    "Results by part of the study, and facts; the last three are settings of the parts"
    begin = time.monotonic()

    def done(part): print(f'{part}: {time.monotonic() - begin:.0f} seconds', flush=True)

    shots, early = from_few_photos(study, **few or {})
    done('a few photos of each class')
    new = of_novel_classes(study, **novel or {})
    done('novel classes')
    some, count = from_some_labels(study, **labels or {})
    done('some of the labels')
    results = {'shots': shots, 'early': early, 'novel classes': new, 'labels': some}
    return results, {'photos with labels': count}


def main():
    with tempfile.TemporaryDirectory() as folder:
        results, facts = learned(StoredStudy(load_clip(), folder, seeds=SEEDS))
    save_results('pictures', results, **facts)


if __name__ == '__main__': main()
