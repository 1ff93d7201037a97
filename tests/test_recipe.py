"""The recipe is the paper's: its constants as literals, and what is learned by it as a number.

Sections are those of Guo et al. (CVPR 2023); "code" is the published code."""
import math
from dataclasses import asdict
from itertools import islice

import pytest
import torch

from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.ensemble import ensemble_scores
from taidpt.learner import TaIDPT
from taidpt.losses import ranking_loss
from taidpt.metrics import mean_average_precision
from taidpt.nounfilter import NounFilter
from taidpt.paper.published import COOP_WEIGHT, DUALCOOP_WEIGHT, RUNS
from taidpt.scores import local_scores, relative_scores
from taidpt.text.captions import bundled_captions
from taidpt.texts import template_sentences
from taidpt.training import PAIRS, Recipe, learning_rate

PAPER = {
    'lr': 1e-4, 'epochs': 20, 'scale': 4, 'tau_text': .02, 'optimizer': 'sgd',       # Sec. 4.1
    'class_specific': False, 'noise': 0, 'seed': 0, 'keep_unnamed': False,           # Sec. 3
    'batch_size': 512, 'warmup_lr': 1e-5, 'momentum': .9, 'weight_decay': 5e-4,      # code
    'tau_image': 1/40, 'scheduler': None, 'min_steps': 32}                           # code; ours
OF_PAIRS = PAPER | {
    'lr': 2e-3, 'epochs': 5, 'scale': 32, 'tau_text': None, 'optimizer': 'adam',
    'class_specific': True, 'keep_unnamed': True, 'batch_size': 2048, 'warmup_lr': 2e-3,
    'tau_image': .05, 'min_steps': 12}


def test_settings():
    assert asdict(Recipe()) == PAPER
    assert asdict(PAIRS) == OF_PAIRS


def test_rates_of_the_published_schedule():
    "Epoch 1 warms up, epoch 2 has the full rate, and epoch 20 has 0.0245 of it"
    rates = [learning_rate(epoch, lr=1e-4) for epoch in (1, 2, 12, 20)]
    assert rates == pytest.approx([1e-5, 1e-4, .5e-4, .02447174e-4])


@pytest.mark.parametrize('name, sentences, images, lr, tau_image, per_class, max_words', [
    ('voc2007', 66_087, 4_952, 1e-4, 1/40, None, None),
    ('coco', 100_543, 40_504, 1e-4, 1/40, None, None),
    ('nuswide', None, 107_859, 1e-3, 1/4, 1000, 77)])
def test_runs_of_table_1(name, sentences, images, lr, tau_image, per_class, max_words):
    run = RUNS[name]
    assert (run.sentences, run.images, run.per_class) == (sentences, images, per_class)
    assert (run.lr, run.tau_image, run.max_words) == (lr, tau_image, max_words)
    assert (run.epochs, run.batch_size, run.warmup_lr, run.n_ctx) == (20, 512, 1e-5, 16)
    assert (run.templates, run.seeds) == (89, (1, 2, 3))


def test_defaults_of_the_equations():
    "Margin 1 (Eq. 7), tau_s = 0.02 (Eq. 6), and the scale of relative scores, 4 * 4"
    tied = torch.tensor([[.25, .25]])
    assert ranking_loss(tied, torch.tensor([[1, 0]])).item() == 1
    U = torch.tensor([[[1., 0.], [0., 1.]]])
    weight = math.exp(1/.02) / (math.exp(1/.02) + 1)
    assert local_scores(U, torch.tensor([[1., 0.]])).item() == pytest.approx(weight)
    assert relative_scores([[.25, 0.]])[0, 0].item() == pytest.approx(1/(1 + math.exp(-4)))


def test_weights_of_ensembles():
    assert (DUALCOOP_WEIGHT, COOP_WEIGHT) == (.9, .5)
    first, second = torch.tensor([[0., 1.]]), torch.tensor([[1., 0.]])
    assert ensemble_scores([first, second], [.9, .1]).tolist() == [[pytest.approx(.1), .9]]


def test_templates_of_a_class():
    "The 80 templates, and nine copies of the first, 'a photo of a {}.'"
    texts = template_sentences(['dog']).texts
    assert len(texts) == 89
    assert texts.count('a photo of a dog.') == 10


@pytest.fixture(scope='module')
def learned_from():
    "Labelled captions, and the bundled photos"
    classes = VOC2007.spelled_naturally()
    captions = list(islice(bundled_captions(), 2000))
    train = NounFilter(classes).label(captions, progress=False)
    assert len(train) == 1340
    return train, bundled_photos(classes)


@pytest.mark.filterwarnings('ignore:mAP over 14 of 20 classes')
@pytest.mark.parametrize('loss, expected', [('ranking', 54.8), ('pairs', 57.4)])
def test_learned_prompts_score_as_before(learned_from, loss, expected):
    "mAP on 36 photos, seed 0; without learning it is 50.2"
    train, photos = learned_from
    model = TaIDPT(load_clip(), train.classes, loss=loss, seed=0).fit(train, progress=False)
    scores = model.predict(photos.images, progress=False)
    assert abs(mean_average_precision(photos.labels, scores) - expected) < .5
