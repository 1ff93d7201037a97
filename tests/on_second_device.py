"""All that the package does runs on a second device as on the CPU, and seldom waits for it."""
from functools import cache

import pytest
import fake_device
import torch
from fake_device import counting
from taidpt import starts, training
from taidpt.all import (
    CoOp, DualCoOp, LabeledTexts, Rescored, TaIDPT, TextConcepts, TextLinear, TipAdapter,
    ZeroShotCLIP, bundled_photos, calibrate, encode_images, encode_texts, load_clip, load_model)
from taidpt.encode import reference_features
from taidpt.encoders.store import FeatureStore, StoredRows
from taidpt.ensemble import ensemble_scores, search_weight
from taidpt.predict import predict_together

NAMES = ['person', 'bus', 'bicycle']
TEXTS = ['a person on a bicycle', 'a bus', 'a bicycle by a bus', 'a person waits', 'a red bus',
         'two bicycles']
QUIET = {'progress': False}
SMALL = {'n_ctx': 2, 'epochs': 2}
DEVICES = 'cpu', 'second'

pytestmark = [
    pytest.mark.skipif(not fake_device.set_up, reason=fake_device.TOO_OLD),
    pytest.mark.filterwarnings('ignore:Few sentences')]


# now, before any test: a process sees no device that comes after its first gradient
if fake_device.set_up: fake_device.install()


@cache
def clip(device: str): return load_clip(device=device, image_size=96)      # a fifth of the work


@cache
def photos(): return bundled_photos(NAMES)


@cache
def seen(device: str): return reference_features(clip(device))          # of the same photos


@cache
def read(device: str): return encode_texts(clip(device), TEXTS, **QUIET)


def few(): return photos().images[:2]


def prompts(device: str, fit=None, **settings):
    "Prompts that learned from sentences in batches of three"
    usual = {'templates': False, 'batch_size': 3}
    model = TaIDPT(clip(device), NAMES, **SMALL | usual | settings)
    return model.fit(TEXTS, **QUIET | {'features': lambda: read('cpu')} | (fit or {}))


def head(device: str, method=TextLinear, **settings):
    model = method(clip(device), NAMES, **settings)
    return model.fit(TEXTS, features=read('cpu'), **QUIET)


def of_images(device: str, method, **settings):
    labels = torch.where(photos().labels, 1, -1)
    return method(clip(device), NAMES, **settings).fit(seen('cpu'), labels, **QUIET)


def zero(device: str): return ZeroShotCLIP(clip(device), NAMES)


def concepts(device: str): return head(device, TextConcepts, templates=False)


MODELS = {
    'ranking': prompts,
    'pairs': lambda on: prompts(on, loss='pairs'),
    'asymmetric, noise, one branch, near concepts': lambda on: prompts(
        on, loss='asymmetric', noise=.1, local=False, init='concepts'),
    'linear': lambda on: head(on, templates=False),
    'linear, trained': lambda on: head(on, loss='pairs', solver='adam', epochs=2),
    'CoOp': lambda on: of_images(on, CoOp, local=True, loss='soft_softmax', **SMALL),
    'DualCoOp': lambda on: of_images(on, DualCoOp, learn_scale=True, **SMALL),
    'Tip-Adapter': lambda on: of_images(on, TipAdapter, epochs=2),
    'a second look': lambda on: Rescored(zero(on)),
}


def same(ours, theirs):
    "To 1e-5 of the largest"
    assert ours.device.type == 'cpu'
    far = (ours - theirs).abs().max()
    assert far <= 1e-5*max(1, theirs.abs().max())


def test_the_device_is_no_cpu():
    "It refuses tensors of the CPU, and what waits for it is counted"
    there = torch.arange(4.).to('second')
    with pytest.raises(RuntimeError, match='one device'): there + torch.ones(4)
    with counting() as waits:
        if there.sum() > 1: there.tolist()          # two in one line
        there[there > 1] = 0
        there.sum()
    assert waits == {'item': 1, 'copy to the CPU': 1, 'mask': 1}


def test_features_are_the_same():
    "A store, in half precision, may differ by a last digit"
    ours, theirs = clip('second'), clip('cpu')
    tokens = ours.tokenize(TEXTS)
    for on_second, on_cpu in zip(ours.encode_text(tokens), theirs.encode_text(tokens), strict=True):
        same(on_second.cpu().float(), on_cpu.float())
    assert ours.fingerprint() == theirs.fingerprint()
    for store in (seen, read):
        assert torch.allclose(*(store(on).local for on in DEVICES), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('name', MODELS)
def test_models_are_the_same(name, tmp_path, monkeypatch):
    "Scores, maps, and what a file gives on either device"
    monkeypatch.setattr(starts, 'range', lambda n: range(2), raising=False)     # of 100 steps
    models = theirs, ours = [MODELS[name](on) for on in DEVICES]
    branches = [model.predict_branches(few(), **QUIET) for model in models]
    for both in zip(*branches, strict=True): same(*both)
    same(*(model.predict_dense(few()[:1], **QUIET) for model in models))
    ours.save(tmp_path/'model.safetensors')
    wanted = theirs.predict(few()[1:], **QUIET)
    for on in DEVICES:
        same(load_model(tmp_path/'model.safetensors', clip(on)).predict(few()[1:], **QUIET), wanted)


def test_tags_and_probabilities():
    models = [concepts(on) for on in DEVICES]
    def labels(tags): return [tag.label for tag in tags]
    ours, theirs = ([*map(labels, model.tags(few(), **QUIET))] for model in models)
    assert ours == theirs
    for model in models: calibrate(model, seen('cpu'), photos().labels, **QUIET)
    same(*(model.predict_proba(few(), **QUIET) for model in models))


def stopping(keep):
    "Write a checkpoint, and stop"
    def then_stop(*args):
        keep(*args)
        raise KeyboardInterrupt
    return then_stop


def test_a_run_goes_on_on_either_device(tmp_path):
    wanted = prompts('cpu').predict(few(), **QUIET)
    for first, second in (DEVICES, DEVICES[::-1]):
        path = tmp_path/f'{first}.safetensors'
        with pytest.MonkeyPatch.context() as m, pytest.raises(KeyboardInterrupt):
            m.setattr('taidpt.training.save_checkpoint', stopping(training.save_checkpoint))
            prompts(first, fit={'checkpoint': path})
        again = prompts(second, fit={'checkpoint': path})
        assert len(again.history_) == 2
        same(again.predict(few(), **QUIET), wanted)


def beyond(more: dict, few: dict) -> dict:
    "What is counted in one and not in the other"
    return {kind: n - few[kind] for kind, n in more.items() if n != few[kind]}


class Sharpened(TaIDPT):
    "TaI-DPT with one more number to learn, which begins on the CPU"
    def fresh_prompts(self, recipe):
        prompts = super().fresh_prompts(recipe)
        prompts.sharpness = torch.nn.Parameter(torch.tensor([1.]))
        encode = prompts.forward
        prompts.forward = lambda local=True: [E*prompts.sharpness for E in encode(local)]
        return prompts


def test_numbers_of_ones_own_begin_near_concepts(monkeypatch):
    monkeypatch.setattr(starts, 'range', lambda n: range(2), raising=False)
    model = Sharpened(clip('second'), NAMES, init='concepts', templates=False, **SMALL)
    model.fit(TEXTS, features=read('cpu'), **QUIET)
    assert model.prompts_.sharpness.device.type == 'second'


def test_labels_and_scores_on_a_device():
    "Labels come back to the CPU; scores are weighted in numbers that a device may lack"
    labels = torch.eye(3)[[0, 1, 2, 0, 1, 2]].to('second')
    sentences = LabeledTexts(TEXTS, labels, NAMES)
    assert sentences.labels.device.type == 'cpu'
    scores = torch.rand(6, 3)
    wanted = ensemble_scores([scores, scores**2])
    same(ensemble_scores([scores.to('second'), (scores**2).to('second')]), wanted)
    assert search_weight(labels, scores.to('second'), scores)[0] == .5


@pytest.mark.parametrize('loss, on', [('ranking', 'cpu'), ('pairs', 'second')])
def test_a_step_waits_for_nothing(loss, on):
    "Three steps in place of two copy one more batch, and that is all"
    store = read('second').to(on)

    def waits(batch_size: int):
        with counting() as counts:
            given = {'features': lambda: store}
            prompts('second', given, loss=loss, batch_size=batch_size, epochs=1)
        return counts

    waits(3)                                    # class names are laid out once
    # of a batch: u, U and mask; of each branch: where positives are, and negatives
    assert beyond(waits(2), waits(3)) == {'copy to the device': 7}


def test_a_store_on_disk_goes_to_a_device_part_by_part(tmp_path):
    "So that the CPU never holds all its rows at once"
    parts = [torch.randn(n, 4).half() for n in (3, 1, 2)]
    with counting() as copies: moved = StoredRows(parts).to('second')
    assert copies == {'copy to the device': 3}
    assert torch.equal(moved.cpu(), torch.cat(parts))


def test_memory_that_pytorch_keeps_is_free(monkeypatch):
    "On CUDA: what another run has freed there is room for the next"
    figures = {'mem_get_info': (100, 1000), 'memory_reserved': 300, 'memory_allocated': 50}
    for name, figure in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, figure=figure: figure)
    monkeypatch.setattr(FeatureStore, 'to', lambda store, device: 'moved')
    for size, moved in (170, True), (180, False):           # 350 are free
        store = FeatureStore(torch.zeros(size, dtype=torch.int8), torch.zeros(0), torch.zeros(1))
        assert (store.to_gpu_if_fits(torch.device('cuda')) == 'moved') == moved


def test_a_batch_of_images_waits_for_its_results():
    "32 are a batch: one copy there, and at most one back for each branch of each model"
    models = [zero('second'), concepts('second')]

    def waits(score, n):
        with counting() as counts: score([few()[0]]*n)
        return counts

    for score in (lambda images: predict_together(models, images, progress=False),
                  lambda images: encode_images(clip('second'), images, **QUIET)):
        more = beyond(waits(score, 33), waits(score, 1))
        assert more.keys() == {'copy to the device', 'copy to the CPU'}
        assert more['copy to the device'] == 1 and more['copy to the CPU'] <= 4
