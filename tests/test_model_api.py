"""Combinations that people try: every model, in every wrapper, before and after it has learned."""
import sys
from copy import deepcopy
import warnings
from functools import cache
from unittest import mock

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from factories import clip
from sklearn.base import clone
from taidpt.all import (
    Attended, Centred, CoOp, DualCoOp, Ensemble, FrozenCLIP, LabeledTexts, Rescored, TaIDPT,
    TextConcepts, TextLinear, Calibration, Tiled, TipAdapter, ZeroShotCLIP, bundled_photos,
    encode_images, encode_texts, load_clip, load_model)
from taidpt.apps.cli import main
from taidpt.predict import Model, predict_together
from taidpt.prompts import PromptLearner
from torch import nn

sys.path.append(str(ROOT/'tests/golden'))
from weights import CONFIG  # noqa: E402

NAMES = ['person', 'bus', 'bicycle']
TEXTS = [
    'a person on a bicycle', 'a bus', 'a bicycle by a bus', 'a person waits', 'a red bus',
    'two bicycles',
]
SMALL = {'n_ctx': 2, 'epochs': 1}


@cache
def photos(): return bundled_photos(NAMES)

@cache
def sentences(): return encode_texts(clip(), TEXTS, progress=False)

def prompts(**settings):
    return TaIDPT(clip(), NAMES, templates=False, batch_size=3, **SMALL | settings)

def learned(**settings): return prompts(**settings).fit(TEXTS, progress=False)

def of_images(method, **settings):
    labels = torch.where(photos().labels, 1, -1)
    return method(clip(), NAMES, **settings).fit(photos().images, labels, progress=False)

def few(n=2): return photos().images[:n]

def scores(model): return model.predict(few(), progress=False)


class Own(Model):
    "A method of a reader's own: nothing but what the page of prediction asks for"
    def fit(self, train, labels=None, **_):
        zero = ZeroShotCLIP(self.clip, self.classes)
        self.mine_ = zero.embeddings()[0].roll(1, 0)
        return self

    def embeddings(self): return self.mine_, self.mine_


MODELS = {
    'zero-shot': lambda: ZeroShotCLIP(clip(), NAMES),
    'TaI': lambda: learned(local=False),
    'TaI-DPT': learned,
    'concepts': lambda: TextConcepts(clip(), NAMES).fit(TEXTS, progress=False),
    'linear': lambda: TextLinear(clip(), NAMES).fit(TEXTS, progress=False),
    'CoOp': lambda: of_images(CoOp, local=True, **SMALL),
    'DualCoOp': lambda: of_images(DualCoOp, learn_scale=True, **SMALL),
    'Tip-Adapter': lambda: of_images(TipAdapter),
    'own': lambda: Own(clip(), NAMES).fit(TEXTS),
}
OF_FEATURES = {
    'alone': lambda model: model,
    'centred': Centred,
    'centred, attended': lambda model: Attended(Centred(model), sentences()),
    'attended': lambda model: Attended(model, sentences()),
    'ensemble': lambda model: Ensemble([model, model], normalize=None),
    'ensemble, attended': lambda model: Attended(
        Ensemble([model, model], normalize=None), sentences()),
}
CUTTING = {
    'tiled': Tiled,
    'tiled, centred': lambda model: Centred(Tiled(model)),
    'rescored': Rescored,
    'tiled, attended': lambda model: Tiled(Attended(model, sentences())),
    'rescored, tiled': lambda model: Rescored(Tiled(model)),
}


def check(model, inner, path):
    "It scores, tags, and comes back from its file with the same scores"
    want = scores(model)
    assert want.shape == (2, 3) and want.isfinite().all(), model.title
    together = predict_together([model, inner], few(), progress=False)
    assert torch.allclose(torch.stack(together[0]).mean(0), want, atol=1e-4)
    model.save(path)
    again = load_model(path, clip())
    assert type(again) is type(model)
    assert torch.allclose(scores(again), want, atol=1e-3)


@pytest.mark.filterwarnings('ignore:Few sentences')
@pytest.mark.parametrize('name', MODELS)
def test_every_model_in_wrappers_of_features(name, tmp_path):
    inner = MODELS[name]()
    for wrap in OF_FEATURES.values():
        model = wrap(inner)
        check(model, inner, tmp_path/'m.safetensors')
        assert model.predict_dense(few(1), progress=False).shape[:2] == (1, 3)
    with pytest.raises(ValueError, match='not of CoOp|not of DualCoOp'):
        (DualCoOp if name == 'CoOp' else CoOp).load(tmp_path/'m.safetensors', clip())


@pytest.mark.filterwarnings('ignore:Few sentences')
def test_models_in_wrappers_that_cut_images(tmp_path):
    inner = learned()
    for wrap in CUTTING.values(): check(wrap(inner), inner, tmp_path/'m.safetensors')


@pytest.mark.filterwarnings('ignore:Few sentences')
def test_usual_scores_of_tiles_are_computed_once(monkeypatch):
    "Until anything that they depend on is another"
    inner = learned()
    model = Tiled(inner)
    usual = mock.Mock(return_value=few())
    monkeypatch.setattr('taidpt.predict.reference_photos', usual)
    before = [model.rule().limits.tolist() for _ in range(2)]
    model.tags(few(), progress=False)
    assert usual.call_count == 1 and before[0] == before[1]

    def learn_more(): inner.prompts_.ctx_global.data.neg_()
    def other_vectors(): model.model = inner.with_embeddings(*reversed(inner.embeddings()))

    changes = [learn_more, other_vectors, lambda: model.set_params(n=3)]
    for change in changes:
        change()
        limits = model.rule().limits.tolist()
        assert limits not in before
        assert limits == Tiled(model.model, model.n).rule().limits.tolist()
        before.append(limits)


@pytest.mark.filterwarnings('ignore:Few sentences')
def test_thresholds_of_a_model_are_not_those_of_its_tiles(tmp_path, capsys):
    "Which is said, until the tiles are calibrated"
    model = TextConcepts(clip(), NAMES).fit(TEXTS, progress=False)
    model.thresholds = Calibration(NAMES, [.1]*3, [1.]*3, [0.]*3, [9]*3, 20)
    tiled = Tiled(model)
    with pytest.warns(UserWarning, match='thresholds of concepts are for other scores'):
        tiled.tags(few(1), progress=False)
    model.save(tmp_path/'m.safetensors')
    assert main(['tag', tmp_path/'m.safetensors', *few(1), '--tiles', 2]) == 0
    assert capsys.readouterr().err.count('thresholds of concepts are for other scores') == 1
    tiled.thresholds = model.thresholds
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        tiled.tags(few(1), progress=False)


def test_features_of_another_form_are_refused():
    torch.manual_seed(0)
    resnet = FrozenCLIP(open_clip.model.CLIP(**CONFIG), clip().tokenizer)
    pixels = torch.randn(3, 3, 96, 96)
    zero = ZeroShotCLIP(resnet, NAMES)
    taidpt = TaIDPT(resnet, NAMES, templates=False, **SMALL).fit(TEXTS, progress=False)
    for model, right in ((zero, True), (taidpt, False)):
        stores = {
            form: encode_images(resnet, pixels, pos_embed=form, progress=False)
            for form in (True, False)
        }
        wanted = model.predict(pixels, progress=False)
        assert torch.allclose(model.predict(stores[right]), wanted, atol=.1)
        with pytest.raises(ValueError, match='form'): model.predict(stores[not right])
        both = encode_images(resnet, pixels, pos_embed=(False, True), progress=False)
        assert torch.equal(model.predict(both), model.predict(stores[right]))
    with pytest.raises(ValueError, match='sentences'):
        zero.predict(encode_texts(resnet, TEXTS, progress=False))


def test_a_member_that_learns_later_is_the_one_that_predicts():
    late = prompts(epochs=2, lr=.05)
    around = [
        Attended(late, sentences()), Tiled(late), Rescored(late), Ensemble([late], normalize=None)]
    for model in around:
        with pytest.raises(RuntimeError, match='learned nothing yet'): scores(model)
    late.fit(TEXTS, progress=False)
    for model in around:
        assert scores(model).isfinite().all() and model.class_prior_ == late.class_prior_
    assert torch.allclose(scores(around[3]), scores(late), atol=1e-6)


def test_a_clone_of_a_wrapper():
    inner = learned()
    for model in (Attended(inner, sentences(), tau=.1), Tiled(inner, 3), Ensemble([inner])):
        twin = clone(model)
        assert type(twin) is type(model) and not twin.children()[0].is_fitted()
        for name in {'tau', 'n', 'weights'} & model.get_params(deep=False).keys():
            assert twin.get_params()[name] == model.get_params()[name]


@pytest.mark.parametrize('method', [TaIDPT, TextLinear])
def test_a_checkpoint_has_the_thresholds_of_its_model(method, tmp_path):
    settings = SMALL | {'batch_size': 3} if method is TaIDPT else {}
    model = method(clip(), NAMES, templates=False, **settings)
    labels = [[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    train = LabeledTexts(TEXTS, torch.tensor(labels), NAMES, dropped=44)
    model.fit(train, checkpoint=tmp_path/'run.safetensors', progress=False)
    again = method.load(tmp_path/'run.safetensors', clip())
    assert again.class_prior_ == model.class_prior_ == [2/50, 3/50, 3/50]
    assert torch.allclose(torch.tensor(again.rule().limits), torch.tensor(model.rule().limits))


def test_a_change_that_forgets_what_was_learned():
    "A model has what it would learn with its parameters, or nothing"
    changes = {
        'clip': FrozenCLIP(clip().model, clip().tokenizer, clip().preprocess, 'other'),
        'classes': NAMES[::-1], 'local': True, 'loss': 'pairs', 'n_ctx': 3, 'lr': .1,
        'class_specific': True, 'init': torch.ones(3, clip().dim)}
    for name, value in changes.items():
        assert not learned(local=False).set_params(**{name: value}).is_fitted(), name


def test_the_temperature_of_images_may_change_after_learning():
    "Except where images are learned from; thresholds are for the old one"
    model = learned()
    model.thresholds = 'fitted'
    model.set_params(tau_image=[.1, .2, .3])
    assert model.is_fitted() and model.thresholds is None
    assert not of_images(CoOp, local=True, **SMALL).set_params(tau_image=.1).is_fitted()


def test_equal_parameters_change_nothing():
    "Nor does a call without any, also of the model inside another"
    start = torch.ones(3, clip().dim)
    inner = learned(init=start, tau_image=np.array([.1, .2, .3]))
    outer = Attended(inner, sentences())
    equal = {
        'init': start.clone(), 'tau_image': [.1, .2, .3], 'classes': deepcopy(inner.classes)}
    outer.thresholds = inner.thresholds = 'fitted'
    for params in {}, {f'model__{name}': value for name, value in equal.items()}:
        outer.set_params(**params)
        assert outer.thresholds == inner.thresholds == 'fitted' and inner.is_fitted()
    outer.set_params(model__tau_image=.1)
    assert outer.thresholds is None and inner.is_fitted()
    outer.set_params(model__n_ctx=3)
    assert not outer.is_fitted()


def test_embeddings_belong_to_the_model():
    for name in 'TaI-DPT', 'linear', 'Tip-Adapter':
        model = MODELS[name]()
        before = scores(model)
        for E in model.embeddings():
            if E is not None: E.fill_(7.)
        assert torch.equal(scores(model), before), name


def test_centred():
    "Around the classes or other names; of more names, as the Explorer asks; and its misuse"
    zero = ZeroShotCLIP(clip(), NAMES)
    G, _ = zero.embeddings()
    around = zero.embeddings_of(['sky', 'sea'])[0].mean(0)
    for model, mean in (Centred(zero), G.mean(0)), (Centred(zero, ['sky', 'sea']), around):
        expected = torch.nn.functional.normalize(G - mean, dim=-1)
        assert torch.allclose(model.embeddings()[1], expected, atol=1e-6)
        assert torch.allclose(model.embeddings_of(NAMES[:1])[0], expected[:1], atol=1e-5)
        inner = zero.with_embeddings(expected, expected)
        assert torch.allclose(scores(model), scores(inner), atol=1e-4)
        assert torch.allclose(model.predict_dense(few(1)), inner.predict_dense(few(1)), atol=1e-5)
    two = ZeroShotCLIP(clip(), NAMES[:2])
    assert scores(Centred(two, ['sky', 'sea'])).isfinite().all()
    with pytest.raises(ValueError, match='opposite'): scores(Centred(two))
    concepts = MODELS['concepts']()
    with pytest.raises(ValueError, match='only its own'): scores(Centred(concepts, NAMES))
    with pytest.raises(NotImplementedError, match='Ensemble has no class'):
        scores(Centred(Ensemble([zero], normalize=None)))


class Shifted(PromptLearner):
    "Prompts that add a vector to each class embedding"
    def forward(self, local=True):
        embeddings = super().forward(local)
        return tuple(F.normalize(E + self.shift, dim=-1) for E in embeddings)


class ShiftedPrompts(TaIDPT):
    "TaI-DPT with such prompts"
    def fresh_prompts(self, recipe):
        prompts = Shifted(self.clip, self.classes.names, self.n_ctx, seed=0)
        prompts.shift = nn.Parameter(torch.linspace(-.1, .1, self.clip.dim))
        return prompts


@pytest.mark.filterwarnings('ignore:Few sentences')
def test_names_pass_through_a_forward_of_ones_own():
    "Any names, as the classes do; what it adds to each class fits no other name"
    model = ShiftedPrompts(clip(), NAMES, templates=False, batch_size=3, **SMALL)
    model.fit(TEXTS, progress=False)
    for E, asked in zip(model.embeddings(), model.embeddings_of(NAMES[::-1])):
        assert torch.allclose(asked, E.flip(0), atol=1e-5)
    for E, around in zip(Centred(model).embeddings(), Centred(model, NAMES).embeddings()):
        assert torch.allclose(around, E, atol=1e-4)
    model.prompts_.shift.data = torch.randn(3, clip().dim)
    with pytest.raises(RuntimeError, match='size'): model.embeddings_of(['sky', 'sea', 'sun'])


def test_what_makes_no_sense():
    zero = ZeroShotCLIP(clip(), NAMES)
    for wrong in (
        lambda: Attended(Tiled(zero), sentences()), lambda: Tiled(Ensemble([zero])),
        lambda: Rescored(Ensemble([zero])),
    ):
        with pytest.raises(ValueError, match='normalize=None|Tiled\\(Attended'): scores(wrong())
    for model in (Tiled(zero), Rescored(zero)):
        with pytest.raises((TypeError, ValueError)): model.predict(sentences())


def permuted(): # a `FrozenCLIP` like the embedded one, but for the order of the common space
    "A CLIP with the same cosines, whose features fit no other CLIP"
    model = deepcopy(clip().model)
    order = torch.randperm(clip().dim, generator=torch.Generator().manual_seed(0))
    model.text_projection.data = model.text_projection[:, order]
    for part in model.visual.head.proj.parameters():
        part.data = part[order]
    return FrozenCLIP(model, clip().tokenizer, clip().preprocess, 'permuted')


def test_each_member_has_the_maps_of_its_own_clip():
    "Two CLIPs with the same cosines give the maps and the second look of one, inside wrappers, too"
    one, same = (ZeroShotCLIP(c, NAMES) for c in (clip(), permuted()))
    both = Ensemble([one, same], [1, 2], normalize=None)
    want = one.predict_dense(few(), progress=False)
    for model in both, Tiled(both), Ensemble([both, one]):
        torch.testing.assert_close(
            model.predict_dense(few(), progress=False), want, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        scores(Rescored(both)), scores(Rescored(one)), atol=1e-2, rtol=0)
    f, F = clip().encode_image(torch.zeros(1, 3, 224, 224))
    for refused in (lambda: both.maps(F), lambda: both.score_features(f, F)):
        with pytest.raises(ValueError, match='several CLIPs'): refused()


def test_maps_of_members_with_different_grids():
    "They are summed on the grid of the first"
    coarse = ZeroShotCLIP(clip(), NAMES)
    fine = ZeroShotCLIP(load_clip(device='cpu', image_size=448, draft=False), NAMES)
    maps = Ensemble([coarse, fine]).predict_dense(few(1), progress=False)
    alone, other = (model.predict_dense(few(1), progress=False) for model in (coarse, fine))
    assert alone.shape != other.shape
    halves = torch.nn.functional.avg_pool2d(other, 2)
    torch.testing.assert_close(maps[..., 1:-1, 1:-1], ((alone + halves)/2)[..., 1:-1, 1:-1])
