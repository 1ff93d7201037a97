"""What people pass, and what it may have meant: files, images with labels, lists, own classes."""
import linecache
import sys
import time
from functools import cache, partial
from unittest import mock

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, run
from factories import clip
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from taidpt.all import (
    Attended, CoOp, Ensemble, LabeledTexts, Rescored, TaIDPT, TextConcepts, TextLinear, Tiled,
    ZeroShotCLIP, bundled_photos, calibrate, encode_images, load_model)
from taidpt.apps.tagging import learn_tagger
from taidpt.datasets.labelled import read_labels
from taidpt.encoders.store import FeatureStore
from taidpt.ensemble import ensemble_scores
from taidpt.files import unchecked
from taidpt.metrics import Measured, average_precision, mean_average_precision
from taidpt.starts import class_means
from taidpt.texts import template_sentences
from torch.utils._python_dispatch import TorchDispatchMode

NAMES = ['cat', 'dog']
TEXTS = ['a cat on a mat', 'a dog in the sun', 'a cat and a dog', 'a bird', 'two dogs']*3


def test_a_file_of_sentences(tmp_path):
    "`fit` reads a file; a sentence in place of many names no file."
    path = tmp_path/'llm.txt'
    path.write_text('\n'.join(TEXTS))
    concepts = TextConcepts(clip(), NAMES)
    want = concepts.fit(TEXTS, progress=False).vectors_
    for given in path, str(path):
        assert torch.equal(concepts.fit(given, progress=False).vectors_, want)
    for one in 'lm.txt', 'a cat':
        with pytest.raises(FileNotFoundError): concepts.fit(one)


def test_val_takes_labelled_images():
    "`val` takes `LabeledImages` of the same classes, or (images, labels)."
    photos = bundled_photos(['person', 'bicycle'])[:8]
    concepts = TextConcepts(clip(), photos.classes)
    texts = ['a man on a bicycle', 'a woman', 'a red bike', 'a tree']*2
    rows = [concepts.fit(texts, val=val, progress=False).history_
            for val in (photos, (photos.images, photos.labels))]
    assert rows[0] == rows[1]
    assert [row['epoch'] for row in rows[0]] == [1]
    for val, says in ((bundled_photos(['bicycle', 'person']), "'bicycle', 'person'., but"),
                      ((photos.images, photos.labels[:, :1]), 'labels must be')):
        with pytest.raises(ValueError, match=says): concepts.fit(texts, val=val, progress=False)


def test_a_class_that_no_sentence_names():
    "It is learned from templates, with a warning"
    with pytest.warns(UserWarning, match='No sentence names axolotl'):
        learned = learn_tagger(['cat', 'dog', 'axolotl'], TEXTS, progress=False)
    assert learned.predict(bundled_photos().images[:1], progress=False).isfinite().all()


READS = """
import os, sys
os.isatty = lambda stream: True
from taidpt.apps.tagging import learn_tagger
from taidpt.nounfilter import NounFilter
NounFilter.columns = lambda *_: sys.exit('torch' in sys.modules)
learn_tagger(['cat'], ['a cat']*7)
"""


def test_sentences_are_read_at_once():
    "A bar with a total is there before PyTorch, which takes seconds to import"
    done = run(sys.executable, '-c', READS, TQDM_DISABLE='')
    assert done.returncode == 0 and '0/7' in done.stdout


def test_prompts_begin_at_words():
    "With `init='a photo of a'` they are at first the hand-written ones, and learn from there."
    texts = [f'a photo of a {name}.' for name in NAMES]
    by_hand = F.normalize(clip().encode_text(clip().tokenize(texts))[0], dim=-1)
    for class_specific in (False, True):
        model = TaIDPT(
            clip(), NAMES, 4, init='a photo of a', class_specific=class_specific, epochs=1, lr=1e-6)
        start = model.fresh_prompts(model.recipe_for(None))
        start.begin_at(model.init)
        for E in start(): assert (E - by_hand).abs().max() < 1e-6
    model.fit(TEXTS, progress=False)
    step = (model.prompts_.ctx_global - start.ctx_global).abs().max()
    assert 0 < step < .01


@cache
def six() -> FeatureStore:
    "Features of six photos"
    return encode_images(clip(), bundled_photos().images[:6], progress=False)


def test_a_temperature_for_each_class(tmp_path):
    "Each column has the scores of a model with that temperature, from a file, too."
    def concepts(tau): return TextConcepts(clip(), NAMES, tau_image=tau).fit(TEXTS, progress=False)

    def prompts(tau):
        model = TaIDPT(clip(), NAMES, 2, epochs=1, tau_image=tau, templates=False)
        return model.fit(TEXTS, progress=False)

    for make, kind in (concepts, list), (concepts, torch.tensor), (prompts, np.array):
        both = make(kind([.02, 1.]))
        scores = both.predict(six())
        for c, tau in enumerate((.02, 1.)):
            torch.testing.assert_close(scores[:, c], make(tau).predict(six())[:, c])
        both.save(tmp_path/'m.safetensors')
        back = load_model(tmp_path/'m.safetensors', clip())
        assert torch.equal(back.predict(six()), scores)
        assert clone(back).tau_image == back.tau_image


def test_searches_take_lists():
    "`cross_val_score` with paths, and labels as nested lists"
    names = ['person', 'bicycle']
    photos = bundled_photos(names)
    rows = [int(photos.labels[:, c].nonzero()[0]) for c in (0, 1)]*2        # halves show both
    images = [str(photos.images[i]) for i in rows]
    y = [photos.labels[i].int().tolist() for i in rows]
    learner = CoOp(clip(), names, 2, epochs=1)
    assert len(cross_val_score(learner, images, y, cv=2, error_score='raise')) == 2


@pytest.mark.parametrize('change', ['loss', 'third', 'coop'])
def test_changes_of_the_tutorial(change, tmp_path):
    "Stopped, resumed, calibrated and loaded, a model predicts and tags as one learned at once."
    page = nbformat.read(ROOT/'nbs/tutorials/your_own_idea.ipynb', as_version=4)
    cells = {cell.id: cell.source for cell in page.cells}
    photos = bundled_photos(['person', 'bicycle'])
    seen = encode_images(clip(), photos.images, progress=False)
    path = tmp_path/'m.safetensors'

    def stop(model, step):
        if path.exists(): raise KeyboardInterrupt           # in the second epoch

    def learned(model, *data):
        model.set_params(n_ctx=2, epochs=2, batch_size=20)
        data = data or [['a man', 'a bicycle', 'a man on a bicycle']*5]
        with pytest.raises(KeyboardInterrupt):
            model.fit(*data, val=stop, checkpoint=path, progress=False)
        assert not model.is_fitted()
        want = clone(model).fit(*data, progress=False).predict(seen)
        model.fit(*data, checkpoint=path, progress=False)
        calibrate(model, seen, photos.labels)
        model.save(path)
        back = load_model(path, clip())
        for either in model, back: assert torch.equal(either.predict(seen), want)
        assert back.tags(seen) == model.tags(seen)
        return model

    namespace = {'clip': clip(), 'classes': photos.classes, 'photos': photos, 'seen': seen,
                 'learned': learned, '__name__': '__main__'}
    for cell in 'yi-imports', f'yi-{change}-1':
        source = cells[cell]
        # as IPython does, so that a cell has a source
        linecache.cache[cell] = len(source), None, source.splitlines(True), cell
        exec(compile(source, cell, 'exec'), namespace)


# Settings and data that nothing can be made of: one sentence

def prompts(**settings): return TaIDPT(clip(), NAMES, **{'n_ctx': 2, 'epochs': 1} | settings)


@pytest.mark.parametrize('settings, says', [
    ({'loss': 'rankng'}, "loss='rankng' .*ranking, pairs, bce, focal, asymmetric"),
    ({'optimizer': 'adamw'}, "optimizer='adamw' .*sgd, adam, .*torch.optim.AdamW"),
    ({'epochs': 0}, 'epochs=0'),
    ({'loss': torch.nn.BCEWithLogitsLoss()}, 'BCEWithLogitsLoss.*a module would not learn'),
])
def test_settings_that_no_recipe_has(settings, says):
    "Before sentences are read"
    with mock.patch('taidpt.learner.as_labelled', side_effect=AssertionError):
        with pytest.raises(ValueError, match=says): prompts(**settings).fit(TEXTS)


@pytest.mark.parametrize(
    'settings', [{'loss': 'rankng'}, {'epochs': 0}, {'loss': torch.nn.BCEWithLogitsLoss()}])
def test_settings_of_prompts_from_images(settings):
    "Before images are encoded"
    model = CoOp(clip(), NAMES, **{'n_ctx': 2, 'epochs': 1} | settings)
    with mock.patch('taidpt.encode.encode_images', side_effect=AssertionError):
        with pytest.raises(ValueError, match='loss=.*soft_softmax|epochs=0'):
            model.fit(bundled_photos().images[:2], torch.eye(2), progress=False)


def test_losses_of_a_linear_head():
    "Before sentences are read; pairs and cross-entropy are trained, squares never are."
    wrong = [{'loss': 'ranking'}, {'loss': torch.nn.BCELoss()}, {'solver': 'sgd'},
             {'loss': 'squares', 'solver': 'adam'}]
    with mock.patch('taidpt.baselines.concepts.as_labelled', side_effect=AssertionError):
        for settings in wrong:
            with pytest.raises(ValueError, match='squares.*pairs.*bce'):
                TextLinear(clip(), NAMES, **settings).fit(TEXTS)
    with pytest.raises(ValueError, match='squares'):
        TextLinear(clip(), NAMES, 'ranking').solve(torch.randn(9, 4), torch.eye(9, 2))


def test_an_optimizer_of_torch():
    "A class gets the rate; SGD momentum and weight decay, too, as by its name."
    def context(optimizer):
        model = prompts(optimizer=optimizer, lr=.01, templates=False)
        return model.fit(TEXTS, progress=False).prompts_.ctx_global
    adamw, sgd = torch.optim.AdamW, torch.optim.SGD
    by_hand = context(lambda parameters, recipe: adamw(parameters, recipe.lr))
    assert torch.equal(context(adamw), by_hand)
    assert torch.equal(context(sgd), context('sgd'))
    assert torch.equal(context(partial(sgd, nesterov=False)), context('sgd'))
    decayed = context(lambda parameters, recipe: adamw(parameters, recipe.lr, weight_decay=9.))
    assert torch.equal(context(partial(adamw, weight_decay=9.)), decayed)


@pytest.mark.parametrize('init, says', [
    ('a photo of a', "'a photo of a' has 4 tokens: pass n_ctx=4"),
    (torch.ones(3, 256), '3 × 256.*2 × 256'),
])
def test_a_start_of_another_size(init, says):
    with pytest.raises(ValueError, match=says): prompts(init=init).fit(TEXTS, progress=False)


def test_no_images():
    "No rows of scores, from any model"
    zero = ZeroShotCLIP(clip(), NAMES)
    models = [
        zero, ZeroShotCLIP(clip(), NAMES, local=False), Tiled(zero), Rescored(zero),
        Ensemble([zero, zero], normalize=None), Attended(zero, TEXTS)]
    for model in models:
        assert model.predict([]).shape == (0, 2), model.title
        assert model.tags([]) == []
    assert Ensemble([zero, zero]).predict([]).shape == (0, 2)


def test_labelled_sentences_with_other_labels():
    labelled = LabeledTexts(TEXTS[:2], torch.eye(2), NAMES)
    with pytest.raises(ValueError, match='texts'):
        prompts().fit(labelled, labels=torch.eye(2))


def test_names_in_an_array():
    measured = Measured(np.eye(2), np.eye(2), names=np.array(NAMES))
    assert list(measured.ap()) == NAMES
    with pytest.warns(UserWarning, match='no positive label of dog'):
        assert mean_average_precision([[1, 0]], [[1, 0]], np.array(NAMES)) == 100


def test_marks_in_a_table(tmp_path):
    "As pandas writes them, and with spaces; others are an error that names them."
    table = tmp_path/'labels.csv'
    for name in 'ab': (tmp_path/f'{name}.jpg').touch()
    marks = ('1', '0'), ('True', 'FALSE'), ('1.0', '0.0'), (' 1', '-1 '), ('1', ' ')
    for yes, no in marks:
        table.write_text(f'image,cat,dog\na.jpg,{yes},{no}\nb.jpg,{no},{yes}\n')
        assert read_labels(table, NAMES).labels.tolist() == [[True, False], [False, True]]
    for wrong in 'a.jpg,1,yes', 'a.jpg,1':
        table.write_text(f'image,cat,dog\n{wrong}\n')
        with pytest.raises(ValueError, match='labels.csv: line 2: .* dog .*1, 0 or -1'):
            read_labels(table, NAMES)


@pytest.mark.parametrize('weights', [[torch.nan, 1], [torch.inf, 1], [0, 0]])
def test_weights_that_have_no_shares(weights):
    with pytest.raises(ValueError, match='2 members need 2 weights from 0 on'):
        ensemble_scores([torch.ones(2, 3)]*2, weights)


def seconds_of_a_class(C: int) -> float:
    "Time of the processor for the average precision of one of C classes"
    rng = np.random.default_rng(0)
    labels, scores = rng.random((1000, C)) < .1, rng.random((1000, C))
    times = []
    for _ in range(2):
        start = time.process_time()
        average_precision(labels, scores)
        times.append(time.process_time() - start)
    return min(times)/C


def test_a_class_takes_as_long_among_many():
    assert seconds_of_a_class(1000) < 2.5*seconds_of_a_class(50)


class Tables(TorchDispatchMode):
    "The types of numbers in tables of one shape that PyTorch makes"
    def __init__(self, *shape: int):
        super().__init__()
        self.shape = shape
        self.types = set()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        made = op(*args, **kwargs or {})
        if isinstance(made, torch.Tensor) and made.shape == self.shape:
            self.types.add(made.dtype)
        return made


def test_labels_of_many_classes_take_a_byte():
    "Of template sentences, and in the means of classes; numbers take four"
    with Tables(89*3, 3) as tables: template_sentences(['cat', 'dog', 'cow'])
    assert tables.types == {torch.bool}
    h, y = torch.randn(40, 4), torch.rand(40, 1100) < .1
    with Tables(40, 1100) as tables: means = class_means(h, y)
    assert not tables.types
    assert torch.allclose(means[7], h[y[:, 7]].mean(0) - h.mean(0), atol=1e-5)


def test_a_note_on_labels_names_its_caller(tmp_path):
    "The line that reads a table of which some rows are tags of a model"
    table = tmp_path/'tags.csv'
    rows = [
        f'{name},cat,,m,,{checked}'
        for name, checked in (('a.jpg', 'yes'), ('b.jpg', unchecked('cat')))]
    table.write_text('\n'.join(['image,tags,error,model,changed,checked', *rows]))
    for name in 'a.jpg', 'b.jpg': (tmp_path/name).touch()
    with pytest.warns(UserWarning, match='a person confirmed 1 of 2 rows') as notes:
        read_labels(table, NAMES)
    assert [note.filename for note in notes] == [__file__]
