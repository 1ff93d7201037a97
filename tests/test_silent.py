"""What must never go wrong in silence: numbers of other pictures, rows that are missing, weights and files that are damaged."""
import os
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import run
from PIL import Image
from taidpt.all import ClassSet, FrozenCLIP, LabeledTexts, ZeroShotCLIP, encode_pictures, load_clip, read_captions
from taidpt.datasets.labelled import LabeledPictures, read_labels
from taidpt.encoders.pictures import list_pictures
from taidpt.metrics import Measured, precision_recall_f1, tags_of
from taidpt.paper.family import Comparison
from taidpt.paper.study import Study, labels_digest

PETS, clip = ClassSet('pets', ['cat', 'dog']), cache(lambda: load_clip(device='cpu'))


def frames(folder, seed, n=3):
    "Frames of one camera, unpacked: all folders have the same names, sizes and times"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(np.random.default_rng([seed, i]).integers(0, 256, (64, 64, 3), np.uint8)).save(folder/f'{i}.bmp')
        os.utime(folder/f'{i}.bmp', (0, 0))
    return LabeledPictures(list_pictures(folder), torch.arange(2*n).view(n, 2) % 3 == 0, PETS)

def other_photos(tmp, *sets):
    study, plain = Study(clip(), tmp/'out'), ZeroShotCLIP(clip(), PETS, local=False)
    for place, seed, n in sets:
        photos = frames(tmp/place/'photos', seed, n)
        kept, = Comparison(study, photos, LabeledTexts([], photos.labels[:0], PETS)).scores('zero-shot CLIP')
        assert torch.allclose(kept, plain.predict(photos.pictures, progress=False), atol=.02)

def corrected(tmp):
    photos = frames(tmp, 1)
    before, photos.labels = labels_digest(photos), ~photos.labels
    assert labels_digest(photos) != before

def replaced(tmp):
    for seed in (1, 2): encode_pictures(clip(), frames(tmp, seed).pictures, tmp/'f.safetensors', progress=False)

def unclosed(tmp, name, read):
    (tmp/name).write_text('image,text\na.jpg,cat\nb.jpg,"a cat\nc.jpg,dog\nd.jpg,a dog"\n')
    read(tmp/name)

def flipped(tmp):
    LabeledTexts(['a cat', 'two dogs'], torch.eye(2), PETS).save(path := tmp/'a.parquet')
    for at in range(0, len(raw := path.read_bytes()), 5):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1:])
        with suppress(ValueError):
            assert ((read := LabeledTexts.load(path)).texts, read.labels.tolist(), read.classes.names) == (['a cat', 'two dogs'], [[True, False], [False, True]], PETS.names)

def kept_graph(tmp):
    if not find_spec('openvino'): pytest.skip('needs OpenVINO')
    with mock.patch.dict(os.environ, HOME=str(tmp), XDG_CACHE_HOME=str(tmp)): load_clip(engine='openvino')
    assert not any(tmp.iterdir())

def full_disk(tmp):                                         # of which tagging needs nothing, nor of a home folder
    if sys.platform == 'win32': pytest.skip('needs limits of a process')
    Image.new('RGB', (8, 8)).save(tmp/'a.png')
    tag = 'import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); from taidpt.apps.cli import main; from taidpt.baselines import concepts; '
    tag += 'concepts.bundled_captions = lambda: ["a cat", "a dog"]; sys.exit(main(["tag", *sys.argv[1:]]))'
    engine = 'openvino' if find_spec('openvino') else 'torch'
    done = run(sys.executable, '-c', tag, '--classes', 'cat,dog', '--engine', engine, tmp/'a.png', HOME='/proc/none', XDG_CACHE_HOME='/proc/none')
    assert done.returncode == 0 and 'a.png: ' in done.stdout

def spoilt(tmp):
    model = load_clip(device='cpu').model
    model.state_dict()['visual.head.proj.weight'][3, 5] = torch.nan
    FrozenCLIP(model, clip().tokenizer, name='mine')

def closed(tmp, true=os.scandir):                           # root may read every folder, so the system says no in a mock
    def scandir(place): return true(place if not str(place).endswith('closed') else f'{place}/0.bmp')
    for name in ('open', 'closed'): frames(tmp/name, 1)
    with mock.patch.object(os, 'scandir', scandir): list_pictures(tmp)

def one_cf1(tmp):                                           # a class that no picture shows is left out of it
    y, s = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), np.array([[.9, .2, .8], [.1, .7, .6], [.3, .4, .9]])
    for tags in (tags_of(s, .5), tags_of(s, top_k=1)):
        assert Measured(y, s, draws=20).f1(tags)['CF1'].value == precision_recall_f1(y[:, :2], tags[:, :2])['CF1'] < 100


CASES = {'1': (other_photos, ('a', 1, 3), ('b', 2, 3)), '2 pictures': (other_photos, ('a', 1, 3), ('a', 2, 3), ('a', 2, 4)), '2 labels': (corrected,),
         '3': (replaced, 'was made from other pictures'), '5 sentences': (flipped,), '5 engine': (kept_graph,), '5 full disk': (full_disk,), '8': (one_cf1,),
         '4 labels': (unclosed, 'l.csv', lambda p: read_labels(p, PETS), 'l.csv:3: a quotation mark is not closed'),
         '4 captions': (unclosed, 'c.csv', lambda p: list(read_captions(p)), 'c.csv:3: a quotation mark is not closed'),
         '6': (spoilt, 'visual.head.proj.weight, a weight of mine, holds NaN'), '7': (closed, 'closed')}

@pytest.mark.parametrize('do, args', [(do, args) for do, *args in CASES.values()], ids=CASES)
def test_silent(do, args, tmp_path):
    if not args or not isinstance(args[-1], str): return do(tmp_path, *args)
    with pytest.raises((ValueError, OSError), match=args[-1]): do(tmp_path, *args[:-1])
