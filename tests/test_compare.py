"""The results that come with the package: whole, in order, and what the code gives now."""

import pytest
from taidpt.classes import COCO, VOC2007
from taidpt.clip import load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.paper.family import FAMILY, Comparison, bundled_results
from taidpt.paper.study import Study
from taidpt.texts import LabeledTexts

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


@pytest.mark.parametrize('classes', [VOC2007.spelled_naturally(), COCO], ids=['voc2007', 'coco'])
def test_rows_are_what_the_code_gives(classes, tmp_path):
    "The methods that look at no caption, on the bundled photos; the page looks at all of them"
    clip, photos = load_clip(device='cpu'), bundled_photos(classes)
    now = Comparison(Study(clip, tmp_path, progress=False), photos, LabeledTexts([], photos.labels[:0], classes))
    kept = {(r.method, r.relative): r for r in bundled_results() if (r.photos, r.classes) == ('coco_demo', classes.name)}
    for name in NAMES[:2]:
        for relative in (False, True):
            row, measured = kept[name, relative], now.measured(name, relative)
            assert row.weights == clip.fingerprint()
            assert row.interval == pytest.approx(measured.map(), abs=.05)
            assert row.over_zeroshot == pytest.approx(measured.gain(now.measured(NAMES[0])), abs=.1)
