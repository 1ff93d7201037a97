"""Learn the methods of `family.ipynb` from the bundled captions, and write their scores of
VOC2012's photos to `evidence/scores/family.npz`:

    python learn_family.py

Those on pairs are left out: the page takes their rows from the file of results. Methods that depend
on a seed have three."""
import tempfile
from collections.abc import Callable, Iterable

from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.evaluate import measured
from taidpt.metrics import Measured
from taidpt.nounfilter import NounFilter
from taidpt.paper.family import FAMILY, family_cells
from taidpt.text.captions import bundled_captions

from evidence import StoredStudy, photos, save_results

SEEDS = 1, 2, 3
MEMBERS = {name: new for name, new in FAMILY.items() if 'pairs' not in name}


def learned(study: StoredStudy, captions: Iterable[str],
            members: dict[str, Callable] = MEMBERS) -> dict[str, Measured]:
    "Results by method, also '…, centred' and '…, relative'"
    classes = VOC2007.spelled_naturally()
    every = NounFilter(classes).label(captions, progress=False, keep_unnamed=True)
    voc2012 = photos('voc2012_dev', classes, 10)
    cells = family_cells(study, voc2012, every, members, study.seeds)
    return {name: measured(voc2012, [cell.both for cell in runs]) for name, runs in cells.items()}


def main():
    with tempfile.TemporaryDirectory() as folder:
        study = StoredStudy(load_clip(), folder, seeds=SEEDS, progress=True)
        results = learned(study, bundled_captions())
    save_results('family', {'VOC2012': results})


if __name__ == '__main__': main()
