"""Prompts on the Hugging Face Hub, whose calls are copies to a folder and back."""
import shutil
from pathlib import Path
from unittest import mock

import pytest
from factories import clip
from huggingface_hub import HfApi

from taidpt.apps.hub import push_to_hub
from taidpt.apps.tagging import from_pretrained
from taidpt.datasets.labelled import bundled_photos
from taidpt.files import DATA
from taidpt.learner import TaIDPT


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    "Where repositories lie, each in a folder of its revision; new ones are of main"
    def create_repo(self, repo_id, private=None, exist_ok=False):
        return mock.Mock(repo_id=f'{repo_id}-private' if private else repo_id)

    def upload_folder(self, *, repo_id, folder_path, **options):
        shutil.copytree(folder_path, tmp_path/'main'/repo_id)
        return f'https://example.org/{repo_id}'

    def download(repo, name, revision=None): return tmp_path/(revision or 'main')/repo/name

    monkeypatch.setattr(HfApi, 'create_repo', create_repo)
    monkeypatch.setattr(HfApi, 'upload_folder', upload_folder)
    monkeypatch.setattr('huggingface_hub.hf_hub_download', download)
    return tmp_path


def test_prompts_that_are_pushed_come_back(hub):
    model = TaIDPT.load(DATA/'prompts'/'voc2007.safetensors', clip())
    address = push_to_hub(model, 'me/voc-tags', private=True, license='cc-by-4.0')
    assert address == 'https://example.org/me/voc-tags-private'
    [card] = hub.rglob('README.md')
    assert '# voc-tags\n' in card.read_text().replace('\\', '')
    assert "from_pretrained('me/voc-tags')" in card.read_text()

    shutil.move(hub/'main', hub/'v1')
    back = from_pretrained('me/voc-tags-private', clip(), revision='v1')
    photos = bundled_photos().images[:3]
    theirs, ours = (m.predict(photos, progress=False) for m in (back, model))
    assert theirs.allclose(ours, atol=1e-5)
