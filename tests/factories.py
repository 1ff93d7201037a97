"""Small files and a CLIP, made for tests."""
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import open_clip
import torch
from onnx import helper, numpy_helper
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from taidpt.clip import FrozenCLIP, load_clip
from taidpt.encoders.images import Preprocess


@cache
def clip(): return load_clip(device='cpu')


@cache
def small_clip() -> FrozenCLIP:
    "A CLIP of few layers that has learned nothing"
    torch.manual_seed(0)
    resnet = dict(layers=[1]*4, width=16, image_size=96)
    model = open_clip.model.CLIP(32, resnet, dict(width=64, heads=2, layers=2)).eval()
    looks = Preprocess(image_transform_v2(PreprocessCfg(size=96), is_train=False), 96)
    return FrozenCLIP(model, open_clip.get_tokenizer('RN50'), looks, 'small')


def image(kind: str) -> bytes:
    "A small image of three colours"
    gradient = Image.linear_gradient('L').resize((48, 40))
    bands = [gradient, gradient.rotate(90), gradient.rotate(180)]
    out = io.BytesIO()
    Image.merge('RGB', bands).save(out, kind)
    return out.getvalue()


class Touch:
    "What a pickle calls when it is read"
    def __init__(self, path: Path): self.path = path
    def __reduce__(self): return Path.touch, (self.path,)


def vectors(width: int) -> torch.Tensor:
    "Two before a name, of each branch"
    return torch.randn(2, 2, width, generator=torch.Generator().manual_seed(0))


def checkpoint(path: Path, clip):
    "Write what the published code writes, for cat and dog; golden/model-best.pth.tar is one"
    ctx, ctx_double = vectors(clip.width)
    words = clip.text.token_embedding(clip.tokenize(['X X cat.', 'X X dog.'])).half()
    values = dict(
        ctx=ctx, ctx_double=ctx_double, temperature=torch.tensor(3.), spatial_T=torch.tensor(3.),
        ranking_scale=torch.tensor(4.), token_prefix=words[:, :1].clone(),
        token_suffix=words[:, 3:].clone())
    sgd = torch.optim.SGD([ctx], .002, .9)
    scheduler = dict(successor=torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 20))
    torch.save(dict(
        state_dict=values, epoch=20, optimizer=sgd.state_dict(), scheduler=scheduler,
        val_result=np.float64(50)), path)


def mean_colour() -> onnx.GraphProto:
    "A graph that gives two scores of an image's mean colour"
    nodes = [
        helper.make_node('GlobalAveragePool', ['pixels'], ['m']),
        helper.make_node('Flatten', ['m'], ['f']),
        helper.make_node('MatMul', ['f', 'w'], ['scores']),
    ]
    given = [helper.make_tensor_value_info('pixels', 1, [1, 3, 8, 8])]
    result = [helper.make_tensor_value_info('scores', 1, [1, 2])]
    weights = [numpy_helper.from_array(np.ones((3, 2), np.float32), 'w')]
    return helper.make_graph(nodes, 'g', given, result, weights)


def tagger() -> bytes:
    "A tagger that looks at the mean colour"
    pixels = dict(size=[8, 8], crop=True, filter='BICUBIC', mean=[.5]*3, std=[.5]*3)
    metadata = dict(
        classes=['cat', 'dog'], thresholds=[.1, .2], relative=True, calibration=None,
        pixels=pixels, draft=False)
    opset = helper.make_opsetid('', 17)
    model = helper.make_model(mean_colour(), opset_imports=[opset], ir_version=8)
    helper.set_model_props(model, {'taidpt': json.dumps(metadata)})
    return model.SerializeToString()
