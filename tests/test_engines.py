"""Images go through OpenVINO wherever they are scored: the CLIP knows it, and nothing else has
to."""
from importlib.util import find_spec

import pytest
import torch

from taidpt.clip import FrozenCLIP, load_clip
from taidpt.encoders.openvino import OpenVINOTower
from taidpt.all import Tiled, ZeroShotCLIP
from taidpt.clip import reference_photos

PHOTOS = [str(p) for p in reference_photos()[:3]]
pytestmark = pytest.mark.skipif(
    find_spec('openvino') is None, reason='needs OpenVINO: pip install openvino'
)


@pytest.fixture(scope='module')
def models():
    "Zero-shot CLIP in PyTorch and in OpenVINO"
    return [
        ZeroShotCLIP(load_clip(device='cpu', engine=engine), ['bicycle', 'bear', 'bus'])
        for engine in ('torch', 'openvino')
    ]


def test_scores_are_those_of_torch(models):
    def same(score):
        theirs, ours = (torch.as_tensor(score(model)) for model in models)
        return torch.allclose(ours, theirs, atol=1e-4 * models[0].clip.logit_scale)
    assert same(lambda model: model.predict(PHOTOS, progress=False))
    assert same(lambda model: model.predict_dense(PHOTOS[:1], progress=False))
    assert same(lambda model: Tiled(model, 2).predict(PHOTOS[:1], progress=False))


def test_pytorch_encodes_no_image(models, monkeypatch):
    monkeypatch.setattr('taidpt.clip.image_features', None)
    assert models[1].predict(PHOTOS, progress=False).isfinite().all()


def test_features_are_known_by_their_engine(models):
    plain, fast = (model.clip for model in models)
    half = FrozenCLIP(
        fast.model,
        fast.tokenizer,
        fast.preprocess,
        tower=OpenVINOTower(fast.model.visual, 'bfloat16'),
    )
    assert len({str(clip.feature_recipe()) for clip in (plain, fast, half)}) == 3


def test_threads_share_one_queue(models):
    "Images of several threads come back to who asked for them"
    from concurrent.futures import ThreadPoolExecutor
    tower = models[1].clip.tower
    pixels = torch.randn(4, 3, *tower.size)
    want, _ = tower(pixels)
    assert torch.allclose(tower(pixels[:1])[0], want[:1], atol=1e-6)
    with ThreadPoolExecutor(4) as pool:
        for i, (f, _) in enumerate(pool.map(lambda i: tower(pixels[i:i + 1]), [0, 1, 2, 3]*10)):
            assert torch.equal(f, want[i % 4:i % 4 + 1])
