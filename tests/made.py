"""Small files and a CLIP, made for tests."""
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from PIL import Image

from taidpt.clip import load_clip


@cache
def clip(): return load_clip(device='cpu')


def picture(kind: str) -> bytes:
    "A small picture of three colours"
    gradient = Image.linear_gradient('L').resize((48, 40))
    bands = [gradient, gradient.rotate(90), gradient.rotate(180)]
    out = io.BytesIO()
    Image.merge('RGB', bands).save(out, kind)
    return out.getvalue()


def checkpoint(path: Path):
    "Write what the published code writes: two vectors before cat and dog"
    tokens = clip().tokenize(['X X cat.', 'X X dog.'])
    with torch.no_grad(): words = clip().text.token_embedding(tokens)
    values = dict(
        ctx=torch.ones(2, 256), ctx_double=torch.ones(2, 256), temperature=torch.tensor(3.),
        token_prefix=words[:, :1].clone(), token_suffix=words[:, 3:].clone())
    optimizer = dict(param_groups=[dict(initial_lr=.002, momentum=.9)])
    torch.save(dict(state_dict=values, epoch=1, optimizer=optimizer), path)


def mean_colour() -> onnx.GraphProto:
    "A graph that gives two scores of a picture's mean colour"
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
    about = dict(
        classes=['cat', 'dog'], thresholds=[.1, .2], relative=True, calibration=None,
        pixels=pixels, draft=False)
    opset = helper.make_opsetid('', 17)
    model = helper.make_model(mean_colour(), opset_imports=[opset], ir_version=8)
    helper.set_model_props(model, {'taidpt': json.dumps(about)})
    return model.SerializeToString()
