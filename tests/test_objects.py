"""Combinations that people try: every model, in every wrapper, before and after it has learned."""
import copy
from functools import cache
from unittest import mock

import numpy as np
import open_clip
import pytest
import torch
from sklearn.base import clone
from taidpt.all import (
    Attended,
    CoOp,
    DualCoOp,
    Ensemble,
    FrozenCLIP,
    LabeledTexts,
    TaIDPT,
    TextLinear,
    Tiled,
    TipAdapter,
    ZeroShotCLIP,
    bundled_photos,
    encode_pictures,
    encode_sentences,
    load_clip,
)
from taidpt.ensemble import Rescored
from taidpt.predict import Predictor
from taidpt.scores import dense_scores
from taidpt.zeroshot import beside_zero_shot

NAMES = ['person', 'bus', 'bicycle']
TEXTS = [
    'a person on a bicycle', 'a bus', 'a bicycle by a bus', 'a person waits', 'a red bus',
    'two bicycles',
]
SMALL = {'n_ctx': 2, 'epochs': 1}


@cache
def clip(): return load_clip(device='cpu')

@cache
def photos(): return bundled_photos(NAMES)

@cache
def features(): return encode_pictures(clip(), photos().pictures, pos_embed=True, progress=False)

@cache
def sentences(): return encode_sentences(clip(), TEXTS, progress=False)

def prompts(**settings):
    return TaIDPT(clip(), NAMES, templates=False, batch_size=3, **SMALL | settings)

def learned(**settings): return prompts(**settings).fit(TEXTS, progress=False)

def of_pictures(method, **settings):
    labels = torch.where(photos().labels, 1, -1)
    return method(clip(), NAMES, **settings).fit(photos().pictures, labels, progress=False)

def few(n=2): return photos().pictures[:n]

def scores(model, pictures=None):
    return model.predict(few() if pictures is None else pictures, progress=False)


class Own(Predictor):
    "A method of a reader's own: nothing but what notebook 12 asks for"
    def fit(self, train, labels=None, **_):
        zero = ZeroShotCLIP(self.clip, self.classes)
        self.mine = zero.embeddings()[0].roll(1, 0)
        return self

    def embeddings(self): return self.mine, self.mine


def test_features_of_another_form_are_refused():
    torch.manual_seed(0)
    text = {'context_length': 77, 'vocab_size': 49408, 'width': 64, 'heads': 2, 'layers': 2}
    vision = {'layers': [1, 1, 1, 1], 'width': 16, 'image_size': 96}
    tower = open_clip.model.CLIP(32, vision, text)
    resnet = FrozenCLIP(tower, open_clip.get_tokenizer('RN50'))
    pixels = torch.randn(3, 3, 96, 96)
    zero, coop = ZeroShotCLIP(resnet, NAMES), TaIDPT(resnet, NAMES, templates=False, **SMALL)
    coop.fit(TEXTS, progress=False)
    for model, right in ((zero, True), (coop, False)):
        stores = {
            form: encode_pictures(resnet, pixels, pos_embed=form, progress=False)
            for form in (True, False)
        }
        assert torch.allclose(model.predict(stores[right]), scores(model, pixels), atol=.1)
        with pytest.raises(ValueError, match='form'): model.predict(stores[not right])
        both = encode_pictures(resnet, pixels, pos_embed=(False, True), progress=False)
        assert torch.equal(model.predict(both), model.predict(stores[right]))
    with pytest.raises(ValueError, match='sentences'):
        zero.predict(encode_sentences(resnet, TEXTS, progress=False))
    with pytest.raises(ValueError, match='weights'): zero.predict(features())


def test_attention_shows_the_maps_of_the_positive_prompts():
    dual = of_pictures(DualCoOp, **SMALL)
    around = Attended(dual, sentences())
    _, F = clip().encode_images(
        torch.stack([clip().preprocess(p) for p in map(open_picture, few())])
    )
    positive = dense_scores(F, dual.embeddings()[0])
    maps = around.predict_dense(few(), progress=False).flatten(2).transpose(1, 2)
    assert torch.allclose(maps, positive, atol=1e-3)
    assert scores(around).isfinite().all()

def open_picture(path):
    from PIL import Image
    return Image.open(path).convert('RGB')


def test_the_second_look_stays_wherever_a_model_goes(tmp_path):
    from taidpt.apps.evaluation import evaluate_model
    from taidpt.baselines.loading import load_model
    from taidpt.paper.study import Study
    plain = ZeroShotCLIP(clip(), NAMES)
    looked = Rescored(plain)
    want = scores(looked)
    assert (want - scores(plain)).abs().max() > .1
    assert torch.allclose(scores(Ensemble([looked], normalize=None)), want, atol=1e-4)
    assert torch.allclose(scores(Ensemble([looked, looked], normalize=None)), want, atol=1e-4)
    _, beside = beside_zero_shot({'looked': looked}, few(), progress=False)
    assert torch.allclose(beside['looked'], want, atol=1e-4)
    cell = Study(clip(), tmp_path).cell('looked', photos()[:2], looked)
    assert torch.allclose(cell.both, want, atol=1e-4)
    # as the command does: from the file of the wrapper
    looked.save(tmp_path/'looked.safetensors')
    rows = [f'{photo}\t{"person" if i else "bus"}' for i, photo in enumerate(few())]
    (tmp_path/'labels.tsv').write_text('\n'.join(rows))
    loaded = load_model(tmp_path/'looked.safetensors', clip())
    found = evaluate_model(loaded, tmp_path/'labels.tsv', '/', progress=False)
    assert torch.allclose(found.scores[loaded.title], want, atol=1e-3)


def test_an_ensemble_of_three_in_a_comparison():
    from taidpt.visualize import compare
    members = [ZeroShotCLIP(clip(), NAMES), learned(), Own(clip(), NAMES).fit(TEXTS)]
    three = Ensemble(members, [1, 2, 3])
    want = scores(three, photos().pictures[:4])
    models, found = beside_zero_shot(
        {'three': three, 'one': members[1]}, photos().pictures[:4], progress=False
    )
    assert list(models) == ['zero-shot CLIP', 'zero-shot with DPT', 'three', 'one']
    assert torch.allclose(found['three'], want, atol=1e-5)
    assert 'three' in compare({'three': Ensemble(members, normalize=None)}, few()[0]).alt


def test_fit_and_embeddings_are_enough(tmp_path):
    from taidpt.all import load_model
    own = Own(clip(), NAMES).fit(TEXTS)
    want = scores(own)
    assert want.isfinite().all() and len(own.tags(few(), progress=False)[0]) == 3
    wrapped = [
        own, Attended(own, sentences()), Tiled(own), Rescored(own),
        Ensemble([own, own], normalize=None),
    ]
    for model in wrapped:
        model.save(tmp_path/'own.safetensors')
        for load in (type(model).load, load_model):
            again = load(tmp_path/'own.safetensors', clip())
            assert type(again) is type(model)
            assert torch.allclose(scores(again), scores(model), atol=1e-3)


def test_tip_adapter_in_wrappers_and_in_the_explorer():
    from taidpt.apps.explorer import Explorer
    tip = of_pictures(TipAdapter)
    assert scores(Attended(tip, sentences())).isfinite().all()
    page = Explorer(tip, few())
    shown = {name: score for name, score, *_ in page.look.tags}
    assert np.allclose([shown[n] for n in NAMES], scores(tip, few()[:1])[0], atol=.1)
    page._asked(page.add, 'dog')
    assert 'only its own classes' in page.message.value and 'dog' not in page.added


def test_a_member_that_learns_later_is_the_one_that_predicts():
    late = prompts(epochs=2, lr=.05)
    around = [
        Attended(late, sentences()), Tiled(late), Rescored(late), Ensemble([late], normalize=None),
    ]
    for model in around:
        with pytest.raises(RuntimeError, match='learned nothing yet'): scores(model)
    late.fit(TEXTS, progress=False)
    for model in around:
        first = scores(model)
        assert first.isfinite().all() and model.frequency_ == late.frequency_
    late.fit(TEXTS[::-1], progress=False)
    assert all(
        not torch.equal(
            scores(model), scores(type(model)(ZeroShotCLIP(clip(), NAMES), sentences()))
        )
        for model in around[:1]
    )
    assert torch.allclose(scores(around[3]), scores(late), atol=1e-6)


def test_a_clone_of_a_wrapper():
    inner = learned()
    for model in (
        Attended(inner, sentences(), tau=.1), Tiled(inner, 3), Rescored(inner, level=.8),
        Ensemble([inner]),
    ):
        twin = clone(model)
        assert type(twin) is type(model)
        assert twin.parts()[0] is not inner and not twin.parts()[0].is_fitted()
        own = {
            name: x
            for name, x in model.get_params(deep=False).items()
            if name in ('tau', 'n', 'level', 'weights')
        }
        assert {name: twin.get_params()[name] for name in own} == own
    nested = Tiled(Attended(inner, sentences()))
    assert nested.get_params()['model__model__n_ctx'] == 2
    assert nested.set_params(model__tau=.5).model.tau == .5
    assert 'n_ctx' not in nested.get_params(deep=False)


def test_set_params_without_arguments_changes_nothing():
    model = learned()
    model.thresholds = kept = 'fitted'
    before = scores(model)
    assert model.set_params() is model and model.thresholds is kept
    model.thresholds = None
    assert torch.equal(scores(model), before)


@pytest.mark.parametrize('method', [TaIDPT, TextLinear])
def test_a_checkpoint_has_the_thresholds_of_its_model(method, tmp_path):
    how = SMALL | {'batch_size': 3} if method is TaIDPT else {}
    model = method(clip(), NAMES, templates=False, **how)
    labels = [[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    train = LabeledTexts(TEXTS, torch.tensor(labels), NAMES, dropped=44)
    model.fit(train, checkpoint=tmp_path/'run.safetensors', progress=False)
    again = method.load(tmp_path/'run.safetensors', clip())
    assert again.frequency_ == model.frequency_ == [2/50, 3/50, 3/50]
    assert np.allclose(again.rule().limits, model.rule().limits)


def test_a_model_keeps_its_clip():
    model = learned()
    copied = copy.deepcopy(clip().model)
    other = FrozenCLIP(copied, clip().tokenizer, clip().preprocess, 'other')
    with pytest.raises(AttributeError, match='keeps its CLIP'): model.clip = other
    assert scores(model).isfinite().all()
    assert not model.set_params(clip=other).is_fitted()


def test_embeddings_belong_to_the_model():
    models = [
        learned(),
        ZeroShotCLIP(clip(), NAMES),
        of_pictures(CoOp, local=True, **SMALL),
        of_pictures(TipAdapter),
        TextLinear(clip(), NAMES).fit(TEXTS, progress=False),
        Attended(learned(), sentences()),
    ]
    for model in models:
        before = scores(model)
        for E in model.embeddings():
            if E is not None: E.fill_(7.)
        assert torch.equal(scores(model), before), type(model)


def test_a_loss_that_cannot_be_hashed():
    class Mean:
        "A loss with an equality of its own, and so without a hash"
        def __eq__(self, other): return isinstance(other, Mean)
        def __call__(self, s, y): return ((s - y.float())**2).mean()
    model = learned(loss=Mean())
    assert model.is_fitted() and scores(model).isfinite().all()
    assert of_pictures(CoOp, loss=Mean(), **SMALL).is_fitted()


@pytest.mark.parametrize('before', [False, True], ids=['new', 'learned'])
def test_an_interrupted_fit_leaves_no_model(before, tmp_path):
    model = prompts(epochs=3)
    if before: model.fit(TEXTS, progress=False)
    with mock.patch('tqdm.auto.tqdm.set_postfix', side_effect=[None, KeyboardInterrupt]), \
            pytest.raises(KeyboardInterrupt):
        model.fit(TEXTS, checkpoint=tmp_path/'run.safetensors', progress=False)
    with pytest.raises(RuntimeError, match='learned nothing yet'): scores(model)
    model.fit(TEXTS, checkpoint=tmp_path/'run.safetensors', progress=False)
    assert len(model.history_) == 3


def test_tiles_of_the_reference_photos_are_encoded_once():
    tiled, counted, encode = Tiled(learned()), [], FrozenCLIP.encode_maps
    def counting(self, pixels, *how):
        counted.append(len(pixels))
        return encode(self, pixels, *how)
    with mock.patch.object(FrozenCLIP, 'encode_maps', counting):
        tiled.tags(few(1), progress=False)
        first = sum(counted)
        counted.clear()
        tiled.tags(few(1), progress=False)
    assert sum(counted) == 5 < first


def test_wrappers_in_wrappers_and_what_makes_no_sense():
    inner = learned()
    for model in (
        Tiled(Attended(inner, sentences())),
        Rescored(Tiled(inner)),
        Tiled(Rescored(inner)),
        Ensemble([Tiled(inner), Attended(inner, sentences())], normalize=None),
        Attended(Ensemble([inner, inner], normalize=None), sentences()),
        Rescored(Ensemble([inner], normalize=None)),
    ):
        assert scores(model).isfinite().all(), model.title
        assert model.tags(few(1), threshold=0., progress=False)[0]
        assert model.score(few(4), photos().labels[:4], progress=False) > 0
    for wrong in (
        lambda: Attended(Tiled(inner), sentences()), lambda: Tiled(Ensemble([inner])),
        lambda: Rescored(Ensemble([inner])),
    ):
        with pytest.raises(TypeError, match='normalize=None|Tiled\\(Attended'): wrong()
    for model in (Tiled(inner), Rescored(inner)):
        with pytest.raises(ValueError, match='files or PIL'): model.predict(features())
