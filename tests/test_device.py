"""All that the package does runs on a second device as on the CPU, and seldom waits for it."""
from functools import cache

import pytest
import second_device
import torch
from second_device import counting
from taidpt import training
from taidpt.all import (
    Attended,
    CoOp,
    DualCoOp,
    Ensemble,
    PromptLearner,
    Rescored,
    TaIDPT,
    TextConcepts,
    TextLinear,
    Tiled,
    TipAdapter,
    ZeroShotCLIP,
    bundled_photos,
    calibrate,
    compare,
    encode_pictures,
    encode_sentences,
    load_clip,
    load_model,
    show_heatmaps,
    show_words,
)
from taidpt.clip import reference_photos
from taidpt.encoders.features import to_device
from taidpt.learner import start_near
from taidpt.predict import predict_together

NAMES = ['person', 'bus', 'bicycle']
TEXTS = ['a person on a bicycle', 'a bus', 'a bicycle by a bus', 'a person waits', 'a red bus',
         'two bicycles']
QUIET = {'progress': False}
SMALL = {'n_ctx': 2, 'epochs': 2}
DEVICES = 'cpu', 'second'

pytestmark = [
    pytest.mark.skipif(not second_device.set_up, reason=second_device.TOO_OLD),
    pytest.mark.xdist_group('device'),
    pytest.mark.filterwarnings('ignore:Few sentences|On fewer than|The loss is 0')]


# now, before any test: a process sees no device that comes after its first gradient
if second_device.set_up: second_device.install()


@cache
def clip(device: str): return load_clip(device=device)


@cache
def photos(): return bundled_photos(NAMES)


@cache
def seen(device: str):
    "Features of the photos"
    assert list(map(str, photos().pictures)) == list(map(str, reference_photos()))
    return clip(device).reference_features()


@cache
def read(device: str): return encode_sentences(clip(device), TEXTS, **QUIET)


def few(): return photos().pictures[:2]


def prompts(device: str, fit=None, **settings):
    "Prompts that learned from sentences in batches of three"
    usual = {'templates': False, 'batch_size': 3}
    model = TaIDPT(clip(device), NAMES, **SMALL | usual | settings)
    return model.fit(TEXTS, **QUIET | {'features': lambda: read('cpu')} | (fit or {}))


def head(device: str, method=TextLinear, **settings):
    model = method(clip(device), NAMES, **settings)
    return model.fit(TEXTS, features=read('cpu'), **QUIET)


def of_pictures(device: str, method, **settings):
    labels = torch.where(photos().labels, 1, -1)
    return method(clip(device), NAMES, **settings).fit(seen(device), labels, **QUIET)


def zero(device: str): return ZeroShotCLIP(clip(device), NAMES)


def concepts(device: str): return head(device, TextConcepts, templates=False)


def pair(device: str): return [zero(device), concepts(device)]


MODELS = {
    'ranking': prompts,
    'pairs': lambda on: prompts(on, loss='pairs'),
    'asymmetric, noise, no local branch':
        lambda on: prompts(on, loss='asymmetric', noise=.1, local=False),
    'cross-entropy': lambda on: prompts(on, loss='bce'),
    'concepts': concepts,
    'linear': head,
    'linear on pairs': lambda on: head(on, loss='pairs'),
    'linear, trained': lambda on: head(on, loss='pairs', solver='adam', epochs=2),
    'CoOp': lambda on: of_pictures(on, CoOp, local=True, loss='pairs', **SMALL),
    'CoOp, softmax': lambda on: of_pictures(on, CoOp, loss='soft_softmax', **SMALL),
    'DualCoOp': lambda on: of_pictures(on, DualCoOp, learn_scale=True, **SMALL),
    'Tip-Adapter': lambda on: of_pictures(on, TipAdapter, epochs=2),
    'zero-shot': zero,
    'attention': lambda on: Attended(zero(on), read('cpu')),
    'tiles': lambda on: Tiled(zero(on), 2),
    'a second look': lambda on: Rescored(zero(on)),
    'ensemble': lambda on: Ensemble(pair(on), normalize=None),
    'normalised ensemble': lambda on: Ensemble(pair(on)),
}


def same(ours, theirs):
    "To 1e-5 of the largest"
    assert ours.device.type == 'cpu'
    far = (ours - theirs).abs().max()
    assert far <= 1e-5*max(1, theirs.abs().max())


def test_the_device_is_no_cpu():
    assert torch.accelerator.current_accelerator().type == 'second'
    there = torch.arange(3.).to('second')
    for wrong, said in ((lambda: there + torch.ones(3), 'one device'),
                        (lambda: there.numpy(), 'not supported'),
                        (lambda: there.double(), 'no float64'),
                        (lambda: torch.ones(3).to('second', non_blocking=True), 'non_blocking')):
        with pytest.raises((RuntimeError, TypeError), match=said): wrong()
    assert to_device(torch.ones(3), 'second').tolist() == [1, 1, 1]


def test_what_waits_is_counted():
    there = torch.arange(4.).to('second')
    with counting() as waits:
        if there.sum() > 1: there.tolist()          # two in one line
        there.nonzero()
        there[there > 1] = 0
        there.sum()
    assert waits == {'item': 1, 'copy to the CPU': 1, 'nonzero': 1, 'mask': 1}
    with counting() as waits: there + 1
    assert not waits


def test_features_are_the_same():
    "A store, in half precision, may differ by a last digit"
    ours, theirs = clip('second'), clip('cpu')
    tokens = ours.tokenize(TEXTS)
    for there, here in zip(ours.encode_texts(tokens), theirs.encode_texts(tokens), strict=True):
        same(there.cpu().float(), here.float())
    assert ours.fingerprint() == theirs.fingerprint()
    for store in (seen, read):
        there, here = (store(on).local for on in ('second', 'cpu'))
        assert torch.allclose(there, here, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('name', MODELS)
def test_models_are_the_same(name, tmp_path):
    "Scores, maps, and what a file gives on either device"
    ours, theirs = (MODELS[name](on) for on in ('second', 'cpu'))
    for branch, wanted in zip(ours.predict_branches(few(), **QUIET),
                              theirs.predict_branches(few(), **QUIET), strict=True):
        same(branch, wanted)
    same(*(model.predict_dense(few()[:1], **QUIET) for model in (ours, theirs)))
    ours.save(tmp_path/'model.safetensors')
    wanted = theirs.predict(few()[:1], **QUIET)
    for on in DEVICES:
        again = load_model(tmp_path/'model.safetensors', clip(on))
        same(again.predict(few()[:1], **QUIET), wanted)


def test_tags_probabilities_and_figures():
    models = [prompts(on) for on in ('second', 'cpu')]
    found = [[[one.label for one in of_photo] for of_photo in model.tags(few(), **QUIET)]
             for model in models]
    assert found[0] == found[1]
    for model in models: calibrate(model, seen('cpu'), photos().labels, **QUIET)
    same(*(model.predict_proba(few(), **QUIET) for model in models))
    photo = few()[0]
    for draw in (lambda model: show_heatmaps(model, photo),
                 lambda model: show_words(model, TEXTS[0]),
                 lambda model: compare({'': model}, photo)):
        ours, theirs = (draw(model).alt for model in models)
        assert ours == theirs


def test_a_picture_that_cannot_be_read():
    for on in DEVICES:
        with pytest.warns(UserWarning, match='nowhere.jpg'):
            found = zero(on).predict([few()[0], 'nowhere.jpg'], on_error='skip', **QUIET)
        assert found.isnan().any(1).tolist() == [False, True]


def test_prompts_that_begin_near_vectors():
    moved = [PromptLearner(clip(on), NAMES, 2, seed=0) for on in ('second', 'cpu')]
    vectors = read('cpu').global_[:3]
    near = [start_near(prompts, vectors, steps=3) for prompts in moved]
    assert near[0] == pytest.approx(near[1], abs=1e-5)
    same(*(prompts.ctx_local.detach().cpu() for prompts in moved))


def stopping(keep):
    "Write a checkpoint, and stop"
    def then_stop(*args):
        keep(*args)
        raise KeyboardInterrupt
    return then_stop


@pytest.mark.parametrize('settings', [{}, {'loss': 'pairs'}])
def test_a_run_goes_on_on_either_device(settings, tmp_path):
    wanted = prompts('cpu', **settings).predict(few(), **QUIET)
    for first, second in (DEVICES, DEVICES[::-1]):
        path = tmp_path/f'{first}.safetensors'
        with pytest.MonkeyPatch.context() as m, pytest.raises(KeyboardInterrupt):
            m.setattr('taidpt.training.save_checkpoint', stopping(training.save_checkpoint))
            prompts(first, fit={'checkpoint': path}, **settings)
        again = prompts(second, fit={'checkpoint': path}, **settings)
        assert len(again.history_) == 2
        same(again.predict(few(), **QUIET), wanted)


def test_a_run_that_goes_astray(tmp_path):
    "is told by the epoch, and leaves no checkpoint"
    path = tmp_path/'run.safetensors'
    with pytest.raises(ValueError, match='in epoch 1: lower the learning rate'):
        prompts('second', lr=1e38, epochs=1, fit={'checkpoint': path})
    assert not path.exists()


def beyond(more: dict, few: dict) -> dict:
    "What is counted in one and not in the other"
    return {kind: n - few[kind] for kind, n in more.items() if n != few[kind]}


# of a step: u, U and mask; labels of each branch; with 'pairs', where their positives are
COPIES = {'ranking': 7, 'pairs': 7}


@pytest.mark.parametrize('loss', COPIES)
@pytest.mark.parametrize('on', DEVICES)
def test_a_step_waits_for_nothing(loss, on):
    "Six steps in place of two copy four more batches, and that is all"
    store = read('second').to(on)

    def waits(batch_size: int):
        with counting() as found:
            given = {'features': lambda: store}
            prompts('second', given, loss=loss, batch_size=batch_size, epochs=1)
        return found

    waits(3)                                    # class names are laid out once
    assert beyond(waits(1), waits(3)) == {'copy to the device': 4*COPIES[loss]}


def test_a_batch_of_pictures_waits_once():
    "32 are a batch"
    models = {'zero': zero('second'), 'concepts': concepts('second')}

    def waits(score, n):
        with counting() as found: score([few()[0]]*n)
        return found

    for score in (lambda some: predict_together(models, some, progress=False),
                  lambda some: encode_pictures(clip('second'), some, **QUIET)):
        more = beyond(waits(score, 33), waits(score, 1))
        assert more == {'copy to the device': 1, 'copy to the CPU': 1}
