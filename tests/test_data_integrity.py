"""What must never go wrong in silence: numbers of other images, and rows that are missing."""
import os
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from conftest import run
from factories import clip
from PIL import Image

from taidpt.all import ClassSet, LabeledTexts, ZeroShotCLIP, encode_images
from taidpt.apps.tagging import TagTable
from taidpt.datasets.labelled import LabeledImages, read_labels
from taidpt.encoders.images import as_images
from taidpt.metrics import Measured, precision_recall_f1, tags_of
from taidpt.paper.family import FAMILY, compare_family, family_cells
from taidpt.paper.study import Study, data_digest

PETS = ClassSet('pets', ['cat', 'dog'])


def frames(folder, seed: int, n: int = 3) -> LabeledImages:
    "Frames of one camera, unpacked: all folders have the same names and sizes"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.random.default_rng([seed, i]).integers(0, 256, (64, 64, 3), np.uint8)
        path = folder/f'{i}.bmp'
        Image.fromarray(pixels).save(path)
        os.utime(path, (seed, seed))
    labels = torch.arange(2*n).view(n, 2) % 3 == 0
    return LabeledImages(as_images(folder), labels, PETS)


# Scores and features of other images

def test_scores_of_other_images(tmp_path):
    "In another folder, or new ones in a folder, or one more: not those that a study keeps"
    study = Study(clip(), tmp_path/'out')
    plain = ZeroShotCLIP(clip(), PETS, local=False)
    for place, seed, n in (('a', 1, 3), ('b', 2, 3), ('a', 2, 3), ('a', 2, 4)):
        photos = frames(tmp_path/place/'photos', seed, n)
        sentences = LabeledTexts(['a cat', 'a dog'], torch.eye(2), PETS)
        zero_shot = {'zero-shot CLIP': FAMILY['zero-shot CLIP']}
        [cell] = family_cells(study, photos, sentences, zero_shot)['zero-shot CLIP']
        expected = plain.predict(photos.images, progress=False)
        assert torch.allclose(cell.both, expected, atol=.02)


def test_a_member_replaces_no_other():
    "A class that is called like a row of the family, or like another member, is an error at once"
    def mine(name): return type(name, (ZeroShotCLIP,), {'__module__': 'mine'})

    for members in [mine('concepts')], [mine('Mine'), mine('Mine')]:
        with pytest.raises(ValueError, match=f"'{members[0].__name__}'.*another name"):
            compare_family(None, 'nowhere', member=members)


def test_labels_that_are_corrected(tmp_path):
    photos = frames(tmp_path, 1)
    before = data_digest(photos)
    photos.labels = ~photos.labels
    assert data_digest(photos) != before


def test_features_of_images_that_are_replaced(tmp_path):
    before, after = (
        encode_images(clip(), frames(tmp_path, seed).images, tmp_path/'f', progress=False)
        for seed in (1, 2))
    assert not np.array_equal(before.global_, after.global_)


# Rows of a table

UNCLOSED = 'image,labels\na.jpg,cat\nb.jpg,"a cat\nc.jpg,dog\nd.jpg,a dog"\n'


def test_labels_after_an_unclosed_quotation_mark(tmp_path):
    path = tmp_path/'l.csv'
    path.write_text(UNCLOSED)
    with pytest.raises(ValueError, match='l.csv: line 3: a quotation mark is not closed'):
        read_labels(path, PETS)


TAGS = 'image,tags,error,model,changed,checked\n'
A_ROW = '.jpg,cat,,m,c,no 8eb2b9f9\n'


@pytest.mark.parametrize('text, fault', [
    (f'{TAGS}a{A_ROW}b.jpg,"cat,,m,c,\nc{A_ROW}d{A_ROW}', 'line 3: a quotation mark is not closed'),
    (f'{TAGS}a{A_ROW}b.jpg,"cat,,m,c,\nc.jpg,"cat,dog",,m,c,\n', 'line 3: a quotation mark'),
    (f'{TAGS}a{A_ROW}b.jpg,"cat\nc.jpg,dog",,m,c,\n', 'line 3: a quotation mark is not closed'),
    (f'{TAGS}a.jpg,cat,dog,,m,c,\n', 'line 2: more cells than headings'),
    (f'{TAGS}a.jpg,cat,,m,c,yes\na.jpg,dog,,m,c,yes\n', 'a.jpg has two rows'),
])
def test_a_table_of_tags_with_a_fault(text, fault, tmp_path):
    "Is an error, and stays as it is"
    path = tmp_path/'t.csv'
    path.write_text(text)
    table = TagTable(path, ZeroShotCLIP(clip(), PETS))
    with pytest.raises(ValueError, match=f't.csv: .*{fault}'), table.writing(): pass
    assert path.read_text() == text


def test_an_empty_file_is_a_new_table(tmp_path):
    path = tmp_path/'t.csv'
    path.touch()
    with TagTable(path, ZeroShotCLIP(clip(), PETS)).writing(): pass
    assert path.read_text() == TAGS


# What a command leaves, and what it needs

TAG_ON_A_FULL_DISK = '''
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from taidpt.apps.cli import main
from taidpt.baselines import concepts
concepts.bundled_captions = lambda: ["a cat", "a dog"]
sys.exit(main(["tag", *sys.argv[1:]]))
'''


@pytest.mark.skipif(sys.platform == 'win32', reason='needs limits of a process')
def test_tagging_needs_no_disk_and_no_home(tmp_path):
    path = tmp_path/'a.png'
    Image.new('RGB', (8, 8)).save(path)
    engine = 'openvino' if find_spec('openvino') else 'torch'
    done = run(
        sys.executable, '-c', TAG_ON_A_FULL_DISK, 'cat,dog', '--engine', engine, path,
        HOME='/proc/none', XDG_CACHE_HOME='/proc/none')
    assert done.returncode == 0
    assert 'a.png: ' in done.stdout


# Measures

def test_f1_leaves_out_a_class_that_no_image_shows():
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    scores = np.array([[.9, .2, .8], [.1, .7, .6], [.3, .4, .9]])
    for tags in (scores >= .5, tags_of(scores, top_k=1)):
        ours = Measured(labels, scores, draws=20).f1(tags)['CF1'].value
        assert ours == precision_recall_f1(labels[:, :2], tags[:, :2])['CF1'] < 100
