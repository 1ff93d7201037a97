"""Pictures go through OpenVINO wherever they are scored: the CLIP knows it, and nothing else has to."""
from importlib.util import find_spec

import pytest
import torch

from taidpt.clip import FrozenCLIP, encode_pictures, feature_recipe, load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.encoders.engines import OpenVINOTower
from taidpt.ensemble import Tiled
from taidpt.zeroshot import ZeroShotCLIP

NAMES = ['bicycle', 'bear', 'bus']
pytestmark = pytest.mark.skipif(find_spec('openvino') is None, reason='needs OpenVINO: pip install openvino')


@pytest.fixture(scope='module')
def model(): return ZeroShotCLIP(load_clip(device='cpu'), NAMES)


@pytest.fixture(scope='module')
def fast(): return ZeroShotCLIP(load_clip(engine='openvino'), NAMES)


@pytest.fixture(scope='module')
def photos(): return [str(p) for p in bundled_photos(NAMES).pictures[:3]]


def test_scores_are_those_of_torch(model, fast, photos):
    def same(a, b): return torch.allclose(torch.as_tensor(a), torch.as_tensor(b), atol=1e-4 * model.clip.logit_scale)
    assert same(fast.predict(photos, progress=False), model.predict(photos, progress=False))
    assert same(fast.predict_dense(photos[:1], progress=False), model.predict_dense(photos[:1], progress=False))
    assert same(Tiled(fast, 2).predict(photos[:1], progress=False), Tiled(model, 2).predict(photos[:1], progress=False))


def test_pytorch_encodes_no_picture(fast, photos, monkeypatch):
    monkeypatch.setattr('taidpt.clip.picture_features', None)
    assert fast.predict(photos, progress=False).isfinite().all()


def test_features_are_known_by_their_engine(model, fast, photos, tmp_path):
    half = OpenVINOTower(fast.clip.tower.graph, fast.clip.tower.size, 'bfloat16')
    half = FrozenCLIP(fast.clip.model, fast.clip.tokenizer, fast.clip.preprocess, tower=half)
    assert len({feature_recipe(clip) for clip in (model.clip, fast.clip, half)}) == 3
    kept = encode_pictures(fast.clip, photos, tmp_path/'f.safetensors', progress=False)
    assert len(kept) == 3
    with pytest.raises(ValueError, match='other preprocessing'):
        encode_pictures(model.clip, photos, tmp_path/'f.safetensors', progress=False)
