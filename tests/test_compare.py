"""The results that come with the package: whole, in order, and what the code gives now."""
import json
import re
import shlex

import pytest
from conftest import ROOT
from taidpt.classes import COCO, VOC2007
from taidpt.clip import load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.paper.family import FAMILY, Comparison, TextFamily
from taidpt.paper.results import bundled_logs, bundled_results, log_of
from taidpt.paper.study import EncodedPictures
from taidpt.support.encode import encode_pictures
from taidpt.texts import LabeledTexts

NAMES = [m.name for m in FAMILY]
SETS = {('voc2012_dev', 'voc2007'): (1759, 13), ('coco_dev', 'voc2007'): (126, 18),
        ('coco_dev', 'coco'): (126, 71), ('coco_demo', 'voc2007'): (36, 14),
        ('coco_demo', 'coco'): (36, 51)}


def test_every_set_has_every_method():
    "Zero-shot CLIP first, each with and without relative scores, three seeds where they matter"
    rows = bundled_results()
    by_set = {}
    for r in rows: by_set.setdefault((r.photos, r.classes), []).append(r)
    assert {s: (r[0].n_photos, r[0].n_classes) for s, r in by_set.items()} == SETS
    wanted = {(m.name, r): 3 if m.chance else 1 for m in FAMILY for r in (False, True)}
    for some in by_set.values():
        assert some[0].method == NAMES[0] and not some[0].relative
        assert {(r.method, r.relative): r.seeds for r in some} == wanted, \
            'a member is new or gone: run the commands of nbs/paper/family.ipynb again'
        assert len({(r.clip, r.weights, r.captions, r.data) for r in some}) == 1
        assert some[0].over_zeroshot == (0, 0, 0)
        assert all(r.gain == pytest.approx(r.map - some[0].map, abs=.011) for r in some)
        assert (some[0].seconds, min(r.seconds for r in some if r.method == 'TaI-DPT') > 0) == (0, True)


def test_every_row_has_its_log():
    "The command and the settings that gave the number, and nothing that names a folder of somebody's"
    rows, logs = bundled_results(), bundled_logs()
    assert set(logs) == {r.key for r in rows}
    for r in rows:
        log = log_of(r, logs)
        words = shlex.split(log.command)
        typed = dict(zip(words[2::2], words[3::2]))
        assert words[:2] == ['taidpt', 'compare'] and typed['--classes'] == r.classes and typed.get('--data', 'coco_demo') == r.photos
        assert int(typed['--least']) == log.least and (int(typed['--seeds']) if len(log.runs) > 1 else 1) == r.seeds == len(log.runs)
        assert sum(run['map'] for run in log.runs)/r.seeds == pytest.approx(r.map, abs=.011)
        assert {'torch', 'open_clip_torch', 'python'} <= log.versions.keys() and log.versions['taidpt'] == r.version
        assert ('n_ctx' in log.settings) == ('TaI' in r.method) and '/' not in log.command


def test_the_page_shows_the_file():
    "Each row of results.csv once, with the numbers of the file, and each log"
    nb = json.loads((ROOT/'nbs/paper/results.ipynb').read_text(encoding='utf-8'))
    outputs = [o.get('data', {}) for c in nb['cells'] for o in c.get('outputs', [])]
    shown = '\n'.join(''.join(d.get('text/markdown', '')) for d in outputs)
    cells = [tuple(c.strip().strip('*') for c in line.strip('| ').split(' | ')) for line in shown.splitlines()]
    told = [(r.method + (', relative' if r.relative else ''), str(r.seeds), f'{r.map:.2f} ({r.low:.2f} to {r.high:.2f})',
             f'{r.gain:+.2f} ({r.gain_low:+.2f} to {r.gain_high:+.2f})') for r in bundled_results()]
    assert [row for row in cells if len(row) == 4 and row[1].isdigit()] == told
    for photos, classes in SETS: assert re.search(rf'\*\*{photos}\*\*.*classes of {classes}\.', shown)
    folded = ''.join(''.join(d.get('text/html', '')) for d in outputs)
    assert folded.count('<details>') == len(SETS) and folded.count('mAP ') == sum(r.seeds for r in bundled_results())


@pytest.fixture(scope='module')
def encoded():
    "The embedded CLIP, and the bundled photos with their features"
    clip = load_clip(device='cpu')
    return clip, encode_pictures(clip, bundled_photos('coco').pictures, progress=False)


@pytest.mark.parametrize('classes', [VOC2007.spelled_naturally(), COCO], ids=['voc2007', 'coco'])
def test_rows_are_what_the_code_gives(classes, encoded):
    "The methods that look at no caption, on the bundled photos; the page looks at all of them"
    clip, store = encoded
    photos = EncodedPictures(bundled_photos(classes), lambda: store)
    none = LabeledTexts([], bundled_photos(classes).labels[:0], classes)
    now = Comparison(TextFamily(clip, none), photos)
    kept = {(r.method, r.relative): r for r in bundled_results()
            if (r.photos, r.classes) == ('coco_demo', classes.name)}
    for name in NAMES[:2]:
        for relative in (False, True):
            row = kept[name, relative]
            assert row.weights == clip.fingerprint()
            assert row.interval == pytest.approx(now.measure(name, relative).interval(), abs=.05)
            assert row.over_zeroshot == pytest.approx(now.gain(name, relative), abs=.1)
