"""The evidence that the paper's pages run on is whole, and agrees with what it was made
from, where that is beside the checkout."""
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, paper_module
from PIL import Image

from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.encode import encode_images
from taidpt.files import DATA, load_tensors
from taidpt.metrics import Measured
from taidpt.text.captions import bundled_captions

FOLDER = ROOT/'nbs/paper/evidence'
SHARED = Path(os.environ.get('TAIDPT_SHARED') or ROOT.parent/'shared')
needs_photos = pytest.mark.skipif(
    not (SHARED/'data').is_dir(), reason='the photos are not beside the checkout')
needs_labels = pytest.mark.skipif(
    not (SHARED/'golden').is_dir(), reason='the published labels are not beside the checkout')


@pytest.fixture
def evidence(): return paper_module('evidence')


@pytest.fixture
def development(): return paper_module('development')


@pytest.fixture
def build(): return paper_module('build_evidence')


def test_photos_of_pages_have_features(evidence, development):
    _, stored = evidence.stored_codes()
    used = development.few_photos()
    flickr8k = evidence.photo_table('flickr8k')
    used.update(flickr8k['image'][flickr8k['split'] == 'test'])
    for name in ('voc2012_dev', 'voc2012_test', 'coco_dev', 'coco_demo'):
        used.update(evidence.photo_table(name)['image'])
    assert len(stored['images']) == len(set(stored['images']))
    assert set(stored['images']) == used


def test_stored_features_are_those_of_the_photos(evidence):
    images = bundled_photos(VOC2007).images
    stored = evidence.image_features(images)
    fresh = encode_images(load_clip(device='cpu'), images, progress=False)
    assert stored.offsets.tolist() == fresh.offsets.tolist()
    for one, other in ((stored.global_, fresh.global_), (stored.local, fresh.local)):
        assert F.cosine_similarity(one.float(), other.float()).min() > .97


@needs_photos
@pytest.mark.parametrize('name', ['voc2012_dev', 'voc2012_test', 'coco_dev', 'coco_demo'])
def test_labels_and_sizes_are_those_of_the_photos(build, evidence, name):
    table, _ = build.photo_set(name, SHARED/'data'/name)
    assert table.equals(evidence.photo_table(name))


@needs_photos
def test_labels_of_flickr8k_are_those_of_its_captions(build, evidence):
    table, _ = build.flickr8k(SHARED/'data'/'flickr8k')
    assert table.equals(evidence.photo_table('flickr8k'))
    test = build.flickr8k_test(SHARED/'data'/'flickr8k')
    assert test.equals(evidence.photo_table('flickr8k_test'))


@pytest.mark.parametrize('name', ['voc2007', 'coco'])
def test_published_labels_are_of_the_bundled_captions(evidence, name):
    raw = (DATA/'captions'/'coco_captions_val2017.json.gz').read_bytes()
    captions = json.loads(gzip.decompress(raw))['annotations']
    with np.load(FOLDER/f'published_labels_{name}.npz') as z:
        assert z['ids'].tolist() == [caption['id'] for caption in captions]
    assert len(evidence.published_labels(name)) == len(captions)


@needs_labels
@pytest.mark.parametrize('name', ['voc2007', 'coco'])
def test_published_labels_are_those_that_were_published(evidence, name):
    with np.load(SHARED/'golden'/f'published_labels_{name}.npz') as z:
        labels = np.unpackbits(z['labels'], axis=1)[:, :len(z['classes'])]
    assert (evidence.published_labels(name) == labels).all()


def test_the_second_look_is_at_photos_of_the_evidence(evidence):
    "Those of COCO and the bundled ones, and 300 of VOC2012, in the order of the scores"
    stored, _ = load_tensors(FOLDER/'scores'/'second_look.safetensors')
    coco = [evidence.photos(name, VOC2007).labels for name in ('coco_dev', 'coco_demo')]
    assert torch.equal(stored['COCO, labels'], torch.cat(coco))
    voc2012 = evidence.photos('voc2012_dev', VOC2007).labels
    order = torch.randperm(len(voc2012), generator=torch.Generator().manual_seed(0))
    assert torch.equal(stored['VOC2012, labels'], voc2012[order[300:600]])
    for name, tensor in stored.items():
        assert len(tensor) == len(stored[f'{name.split(",")[0]}, labels'])


def clip_photos(evidence) -> dict[str, torch.Tensor]:
    "Labels of the photos that CLIPs are scored on"
    classes = VOC2007.spelled_naturally()
    coco = [evidence.photos(name, classes).labels for name in ('coco_dev', 'coco_demo')]
    coco = torch.cat(coco)
    return {
        'VOC2012': evidence.photos('voc2012_test', classes, 10).labels,
        'COCO': coco & (coco.sum(0) >= 5),
        'Flickr8k': evidence.photos('flickr8k_test', classes, 10).labels}


CLIP_SCORES = [*sorted(FOLDER.glob('scores/clip_*.npz')), FOLDER/'scores/gap_losses.npz']


@pytest.mark.parametrize('file', CLIP_SCORES, ids=lambda file: file.stem)
def test_scores_of_a_clip_are_of_photos_of_the_evidence(evidence, file):
    "In their order, with their labels, and all of them finite"
    with np.load(file) as stored:
        for place, labels in clip_photos(evidence).items():
            shown = labels.any(0)
            assert (stored[f'{place}/labels'] == labels[:, shown].numpy()).all()
        for name in stored:
            if name.count('/') < 3: continue
            place = name.split('/')[-4]
            assert stored[name].shape == stored[f'{place}/labels'].shape
            assert np.isfinite(stored[name]).all()


def test_a_clip_with_a_gap(tmp_path):
    "Both towers differ from those of the embedded CLIP by a constant each, in two coordinates"
    script = paper_module('gap_clip')
    script.main(tmp_path)
    clip, other = load_clip(device='cpu'), load_clip(tmp_path, device='cpu')
    pixels = torch.stack([clip.preprocess(Image.open(image))
                          for image in bundled_photos(['person']).images[:3]])
    tokens = clip.tokenize(['a dog', 'two cats on a couch', 'a bicycle in the rain'])
    with torch.no_grad():
        added = [other.model.encode_image(pixels) - clip.model.encode_image(pixels),
                 other.model.encode_text(tokens) - clip.model.encode_text(tokens)]
    directions = []
    for differences in added:
        assert differences[:, :-2].abs().max() < 1e-3
        assert differences.norm(dim=1).min() > 50
        # the same for all, but for what half precision rounds off
        assert (differences - differences[0]).norm(dim=1).max() < .05*differences[0].norm()
        directions.append(F.normalize(differences[0], dim=-1))
    assert directions[0] @ directions[1] == pytest.approx(script.COSINE, abs=.01)


def test_what_a_study_stores_comes_back(evidence, monkeypatch, tmp_path):
    "Names, facts and mAP, of several runs; a class that no photo shows is left out"
    monkeypatch.setattr(evidence, 'FOLDER', tmp_path)
    rng = np.random.default_rng(0)
    labels = rng.random((40, 3)) < .3
    labels[:, 1] = False
    names = ['cat', 'dog', 'cow']
    several, one = (Measured(labels, rng.normal(size=(runs, 40, 3)), names) for runs in (3, 1))
    stored = {'first': {('a method', 4): several}, 'second': {'a method': one}}
    evidence.save_results('made up', stored, losses=[.5, .25])
    results, facts = evidence.results_of('made up')
    assert facts == {'losses': [.5, .25]}
    again = results['first']['a method', 4]
    assert [*again.names] == ['cat', 'cow']
    assert again.map_by_run == pytest.approx(several.map_by_run, abs=.2)
    gain = evidence.gain(again, results['second']['a method'])
    assert gain.value == pytest.approx(several.gain(one).value, abs=.2)


@pytest.mark.parametrize('recipe', ['paper', 'recommended'])
def test_prompts_of_each_setting(recipe):
    "The stored prompts are of what the script learns"
    script = paper_module('learn_settings')
    prompts = paper_module('sentence_prompts')
    clip, classes = load_clip(device='cpu'), VOC2007.spelled_naturally()
    models, rates = prompts.load_settings(recipe, clip, classes, script.SEEDS)
    wanted = {*script.SETTINGS, *(f'scale {scale:g}' for scale in script.SCALES)}
    losses = [f'loss {loss}' for loss in script.losses(torch.eye(2))]
    assert wanted | {*losses} <= {*models}
    assert {*rates} == {*losses}
    assert {*rates.values()} <= {*script.RATES}
    for change, of_seeds in models.items():
        assert len(of_seeds) == len(script.SEEDS)
        settings = script.SETTINGS.get(change, {})
        first = of_seeds[0]
        assert first.n_ctx == settings.get('n_ctx', 16)
        assert bool(first.class_specific) == settings.get('class_specific', False)
        G, L = first.embeddings()
        assert G.isfinite().all() and L.isfinite().all()


def test_what_the_settings_learn_from():
    script = paper_module('learn_settings')
    named = script.NounFilter(VOC2007.spelled_naturally()).label(
        list(bundled_captions())[:3000], progress=False)
    train, held = script.captions(named)
    assert not {*train.texts} & {*held.texts}
    wrong = script.permuted(train)
    assert wrong.texts == train.texts and (wrong.labels.sum(0) == train.labels.sum(0)).all()
    sentences = script.label_sentences(train).texts
    assert all(text.startswith('a photo of a') for text in sentences)
    exact, by_synonyms, by_names = script.exactly_named(named)
    assert by_synonyms.texts == by_names.texts
    assert len(exact) == len(named)
