"""The results that come with the package: whole, and in order."""
import pytest

from taidpt.paper.family import FAMILY, bundled_results

NAMES = list(FAMILY)
SETS = {('voc2012_dev', 'voc2007'), ('coco_dev', 'voc2007'), ('coco_dev', 'coco'), ('coco_demo', 'voc2007'), ('coco_demo', 'coco')}


def test_every_set_has_every_method():
    "Zero-shot CLIP first, each with and without relative scores, three seeds where they matter"
    rows = bundled_results()
    by_set = {}
    for r in rows: by_set.setdefault((r.photos, r.classes), []).append(r)
    assert by_set.keys() == SETS
    wanted = {(m, r): 3 if 'TaI' in m or m == 'prompts on pairs' else 1 for m in FAMILY for r in (False, True)}
    for some in by_set.values():
        assert some[0].method == NAMES[0] and not some[0].relative
        assert {(r.method, r.relative): r.seeds for r in some} == wanted, \
            'a member is new or gone: run the commands of nbs/paper/family.ipynb again'
        assert len({(r.clip, r.weights, r.captions, r.data) for r in some}) == 1
        assert some[0].over_zeroshot == (0, 0, 0)
        assert all(r.gain == pytest.approx(r.map - some[0].map, abs=.011) for r in some)
