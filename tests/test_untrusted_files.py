"""Files that come from others decide nothing: not which CLIP is fetched, not what a page does."""
from unittest import mock

import pytest

from taidpt import model_files
from taidpt.all import ClassSet, PromptLearner, TaIDPT, load_clip
from taidpt.apps.cli import main
from taidpt.apps.hub import model_card, save_pretrained
from taidpt.apps.report import evaluate_model
from taidpt.apps.tagging import from_pretrained
from taidpt.datasets.labelled import bundled_photos
from taidpt.training import PUBLISHED, Fitted

EVIL = '<script>alert(1)</script>'


@pytest.fixture(scope='module')
def clip(): return load_clip(device='cpu')


def learned(clip, names, **settings) -> TaIDPT:
    "A model as it is after two epochs"
    model = TaIDPT(clip, ClassSet('mine', names), n_ctx=2, epochs=3, **settings)
    history = [dict(epoch=epoch, lr=.1, loss=3. - epoch) for epoch in (1, 2)]
    model.fitted_ = Fitted(PromptLearner(clip, names, 2), recipe=PUBLISHED, history=history)
    return model


@pytest.fixture
def stranger(clip, tmp_path):
    "A file of prompts that name a repository on the Hub as their CLIP"
    with mock.patch.object(clip, 'name', 'hf-hub:somebody/clip'):
        save_pretrained(learned(clip, ['cat', 'dog']), tmp_path)
    return next(tmp_path.glob('*.safetensors'))


@pytest.fixture
def fetched(clip):
    "The function that fetches a CLIP, which fetches nothing"
    with (mock.patch.object(model_files, 'load_clip', return_value=clip) as load,
          mock.patch('taidpt.clip.load_clip', load)): yield load


def load_from_folder(path, **options): return from_pretrained(path.parent, **options)


REFUSAL = "on 'hf-hub:somebody/clip', .*: say clip=NAME, or trust=True if"


@pytest.mark.parametrize('load', [TaIDPT.load, load_from_folder])
def test_a_file_does_not_choose_its_clip(fetched, stranger, load):
    with pytest.raises(ValueError, match=REFUSAL) as error: load(stranger)
    assert stranger.name in str(error.value)
    assert not fetched.called
    load(stranger, trust=True)
    assert fetched.call_args[0][0] == 'hf-hub:somebody/clip'


def test_the_command_asks_for_trust(fetched, stranger, capsys):
    photo = bundled_photos().images[0]
    assert main(['tag', stranger, photo]) == 1
    assert not fetched.called
    assert '--trust' in capsys.readouterr().err
    assert main(['tag', stranger, photo, '--trust']) == 0
    assert fetched.called


def test_names_are_text_in_a_report(clip, tmp_path, monkeypatch):
    model = learned(clip, [EVIL, 'person'])
    model.history_[0]['epoch'] = EVIL                 # what a file cannot hold, a program can
    photos = bundled_photos().with_classes(['person', 'dog'])[:3]
    photos.classes = model.classes
    credit = dict.fromkeys(('source', 'license', 'license_url', 'changes'), EVIL)
    credits = {path.name: credit for path in photos.images}
    path = tmp_path/'report.html'
    monkeypatch.setattr('taidpt.apps.report.photo_credits', lambda: credits)
    monkeypatch.setattr('taidpt.apps.report._ABOUT', {'TaI-DPT': EVIL})
    models = {f'{EVIL} 0': model, 'TaI-DPT': model}
    evaluate_model(models, photos, by_names=False, progress=False).save_report(path)
    page = path.read_text()
    assert page.lower().count('<script') == 1         # the page's own
    assert page.count('&lt;script&gt;') > 5


def test_names_are_text_in_a_model_card(clip):
    "No HTML, no link, no cell of a table"
    odd = [EVIL, '[here](http://x.org)', 'a | b']
    model = learned(clip, odd)
    for epoch in model.history_: epoch['epoch'] = EVIL
    card = model_card(model, scores={EVIL: 50., '<img src=x>': 50.}, license=EVIL).text
    assert '<script' not in card.replace(r'\<script\>', '')
    assert card.count(r'\<script\>') == 5
    for markup in ' [here]', ' <img', 'a | b': assert markup not in card
