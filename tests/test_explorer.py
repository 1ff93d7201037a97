"""What a person does in the Explorer, and how it is served; test_browser has it in a browser."""
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pytest
from factories import clip

from taidpt.baselines.tipadapter import TipAdapter
from taidpt.datasets.labelled import bundled_photos
from taidpt.files import DATA
from taidpt.learner import TaIDPT
from taidpt.apps.explorer import Explorer, serve_explorer
from taidpt.wrappers import Attended

PROMPTS = DATA/'prompts'/'voc2007.safetensors'
PHOTO = next(p for p in bundled_photos().images if p.name == '000000011149.jpg')


@pytest.fixture(scope='module')
def model(): return TaIDPT.load(PROMPTS, clip())


@pytest.fixture
def explorer(model):
    explorer = Explorer(model)
    explorer.show(PHOTO)
    return explorer


def upload(explorer, name, data):
    "What the browser sends for a file that is dropped on the page"
    explorer.look._handle_custom_msg(dict(upload=name), [memoryview(data)])


def test_a_class_is_added_and_taken_away(explorer, model):
    "For all prompts that one can choose"
    before = [row[0] for row in explorer.look.tags]
    explorer.add('  fire   hydrant ')
    for explorer.prompts.value in explorer.prompts.options:
        assert [name for name, _, added, *_ in explorer.look.tags if added] == ['fire hydrant']
    explorer.others.children[0].click()
    assert [row[0] for row in explorer.look.tags] == before


def test_a_class_that_is_there_is_not_added(explorer):
    explorer.name.value = 'Dining-Table'
    assert 'in the list already' in explorer.message.value


def test_a_photo_of_ones_own(explorer):
    "A torn one leaves what is shown"
    before = explorer.look.item
    upload(explorer, 'half.jpg', PHOTO.read_bytes()[:4000])
    assert 'half.jpg: image file is truncated' in explorer.message.value
    assert explorer.look.item == before
    upload(explorer, 'mine.jpg', PHOTO.read_bytes())
    item = explorer.look.item
    assert (explorer.message.value, item['shown'], item['about']) == ('', -1, 'mine.jpg')


def test_a_model_that_scores_only_its_own_classes():
    tip = TipAdapter(clip(), ['cat', 'dog']).fit([PHOTO, PHOTO], np.eye(2), progress=False)
    explorer = Explorer(Attended(tip, ['A cat.']), [PHOTO])
    with pytest.raises(ValueError, match='only its own'): explorer.add('bus')


def test_it_is_served_to_this_machine_alone():
    "With a token, and without the settings of the folder where it starts"
    voila = pytest.importorskip('voila.app').Voila
    pages, addresses = [], []
    def served(args):
        [cell] = nbformat.read(args[0], as_version=4).cells
        pages.append([cell.source, *args[1:]])

    with mock.patch.object(voila, 'launch_instance', served):
        serve_explorer(PROMPTS, browser=False, tell=addresses.append)
    [[code, *options]] = pages
    assert code.endswith("voc2007.safetensors', trust=False))")
    assert '--no-browser' in options and '--Voila.ip=127.0.0.1' in options
    assert not any(option.endswith(f'={Path.cwd()}') for option in options)
    [token] = [option.partition('=')[2] for option in options if option.startswith('--token')]
    assert len(token) == 48 and addresses[0].endswith(f'/?token={token}')
