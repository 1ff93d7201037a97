"""What must never go wrong in silence: numbers of other images, and rows that are missing."""
import copy
import os
import pickle
import shutil
import sys
from importlib.util import find_spec

import joblib
import numpy as np
import open_clip
import pytest
import torch
from conftest import run
from factories import clip, small_clip
from PIL import Image
from sklearn.model_selection import GridSearchCV

from taidpt.all import (
    ClassSet, FrozenCLIP, LabeledTexts, TaIDPT, ZeroShotCLIP, encode_images, encode_texts,
    load_clip)
from taidpt.apps.tagging import TagTable
from taidpt.datasets.labelled import LabeledImages, read_labels
from taidpt.encode import as_features
from taidpt.encoders.images import as_images
from taidpt.encoders.store import FeatureStore, stored_features
from taidpt.files import load_tensors, save_tensors
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


def test_the_same_images_under_another_path(tmp_path, monkeypatch):
    "After a move, or unpacked anew with other times, nothing is encoded, and hardly anything read"
    photos, features = frames(tmp_path/'a', 1).images, tmp_path/'f'
    first = encode_images(clip(), photos, features, progress=False)
    shutil.move(tmp_path/'a', tmp_path/'b')
    moved = as_images(tmp_path/'b')
    for path in moved: os.utime(path, (9, 9))
    monkeypatch.setattr(FrozenCLIP, 'encode_maps', None)
    again = encode_images(clip(), moved, features, progress=False)
    assert torch.equal(again.global_, first.global_)
    monkeypatch.setattr('taidpt.encode.image_content', None)
    encode_images(clip(), moved, features, progress=False)


def test_a_study_finds_features_under_another_path(tmp_path, monkeypatch):
    study = Study(clip(), tmp_path/'out')
    first = study.features(frames(tmp_path/'a', 1))
    monkeypatch.setattr(FrozenCLIP, 'encode_maps', None)
    moved = frames(tmp_path/'b', 1)
    os.utime(moved.images[0], (9, 9))
    assert torch.equal(study.features(moved).global_, first.global_)


# Features of other weights, of another tokenizer, and in another order

def pickled(x): return pickle.loads(pickle.dumps(x))


def dumped(x):
    "Through a file of joblib"
    joblib.dump(x, 'x.joblib')
    return joblib.load('x.joblib')


@pytest.mark.parametrize('way', [copy.deepcopy, pickled, dumped])
def test_a_copy_encodes_with_its_own_weights(way, tmp_path, monkeypatch):
    "Also where the original has encoded, and its weights are changed after the copy has"
    monkeypatch.chdir(tmp_path)
    original = copy.deepcopy(small_clip())
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    before, kept = original.encode_image(pixels)[1], original.fingerprint()
    twin = way(original)
    torch.testing.assert_close(twin.encode_image(pixels)[1], before)
    assert twin.fingerprint() == kept
    for changed, other in (twin, original), (original, twin):
        there = other.encode_image(pixels)[1]
        changed.model.visual.attnpool.c_proj.weight.neg_()
        plain = FrozenCLIP(changed.model, changed.tokenizer)
        torch.testing.assert_close(changed.encode_image(pixels)[1], plain.encode_image(pixels)[1])
        assert changed.fingerprint() == plain.fingerprint() != kept
        torch.testing.assert_close(other.encode_image(pixels)[1], there)


def test_weights_that_change_after_images_of_another_size():
    "The positions for that size are those of the weights as they are"
    vision = dict(layers=2, width=64, head_width=32, patch_size=16, image_size=32)
    model = open_clip.model.CLIP(32, vision, dict(width=32, heads=2, layers=1))
    used, pixels = FrozenCLIP(model, small_clip().tokenizer), torch.zeros(1, 3, 64, 64)
    used.encode_image(pixels)
    model.load_state_dict({k: v + .1 for k, v in model.state_dict().items()})
    new = FrozenCLIP(model, small_clip().tokenizer)
    torch.testing.assert_close(used.encode_image(pixels)[0], new.encode_image(pixels)[0])


def test_a_search_in_two_processes():
    "GridSearchCV sends the CLIP to others, which learn what this process would"
    sentences, labels = ['a cat', 'a dog', 'a cat sits', 'a dog sits']*2, torch.eye(2).repeat(4, 1)
    model = TaIDPT(small_clip(), PETS, n_ctx=2, epochs=1, templates=False)
    def loss(model, *_): return -model.history_[-1]['loss']
    results = []
    for n_jobs in 1, 2:
        search = GridSearchCV(model, {'scale': [1., 4.]}, scoring=loss, cv=2, n_jobs=n_jobs)
        results.append(search.fit(sentences, labels, progress=False).cv_results_['mean_test_score'])
    assert np.allclose(*results) and np.isfinite(results).all()


def test_a_clip_that_was_made_in_inference_mode():
    with torch.inference_mode(): made = load_clip(device='cpu')
    assert made.fingerprint() == clip().fingerprint()
    assert made.encode_text(made.tokenize(['a cat']))[0].isfinite().all()


def test_features_of_another_tokenizer(tmp_path):
    "Are refused, and made anew in a folder; those of an earlier version hold no word of it"
    def whispered(texts): return clip().tokenizer([text.lower()[::-1] for text in texts])
    other = FrozenCLIP(clip().model, whispered, clip().preprocess)
    theirs = encode_texts(other, ['a cat'], tmp_path, progress=False)
    with pytest.raises(ValueError, match='is not what.*tokenizer'):
        as_features(clip(), theirs, 'sentences')
    ours = encode_texts(clip(), ['a cat'], tmp_path, progress=False)
    assert not torch.equal(ours.global_, theirs.global_)
    assert as_features(clip(), ours, 'sentences') is ours
    [file] = tmp_path.glob('*.safetensors')
    tensors, record = load_tensors(file)
    for new in 'tokenizer', 'start': del record[new]
    save_tensors(file, tensors, record)
    earlier = as_features(clip(), FeatureStore.load(tmp_path), 'sentences')
    assert torch.equal(earlier.global_, ours.global_)


def test_a_tokenizer_is_known_in_every_process():
    "By what it does: another object of the same kind is the same, a shorter row is another"
    def fingerprint(**options):
        tokenizer = open_clip.get_tokenizer('RN50', **options)
        return FrozenCLIP(small_clip().model, tokenizer).tokenizer_fingerprint()
    assert fingerprint() == clip().tokenizer_fingerprint() == '6d81e691b3cb5e48'
    assert fingerprint(context_length=64) != fingerprint()


def test_parts_of_a_store_that_were_exchanged(tmp_path):
    "By hand: their rows would belong to other items"
    def encode(items, bar):
        n = len(items)
        return {'global_': torch.zeros(n, 2), 'local': torch.zeros(n, 2), 'lengths': torch.ones(n)}
    keys = [*map(str, range(6))]
    stored_features(tmp_path, {'kind': 'images'}, keys, 3, keys, encode)
    assert len(FeatureStore.load(tmp_path)) == 6
    first, second = sorted(tmp_path.glob('*.safetensors'))
    first.rename(tmp_path/'x')
    second.rename(first)
    (tmp_path/'x').rename(second)
    with pytest.raises(ValueError, match='not in their order: 000000000.safetensors'):
        FeatureStore.load(tmp_path)


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
