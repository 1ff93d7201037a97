"""Files that nobody meant to write, given to everything that reads files.

A reader may take a file, or refuse it with one of the errors that its documentation names,
`ValueError` and what is derived from it, or `OSError`, and then the message names the file.
Anything else is a fault. `tests/test_fuzz.py` runs a few hundred cases, always the same ones, and
every file of tests/corpus, which are cases that once were faults. FUZZ=2000 in the environment
tries as many for each reader, others each time.
"""
import copy
import gzip
import io
import json
import logging
import math
import random
import tempfile
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from onnx import helper, numpy_helper
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from taidpt.all import (
    ClassSet, Ensemble, LabeledTexts, NounFilter, TaIDPT, TextConcepts, Thresholds, Tiled,
    load_model, read_captions, read_labels)
from taidpt.clip import load_clip, picture_batches
from taidpt.datasets.benchmarks import _captions_by_id, read_caption_ids
from taidpt.encoders.features import load_features, stored_features
from taidpt.files import NO_CHECKSUM, seal
from taidpt.paper.checkpoints import import_checkpoint
from taidpt.predict import settings_of
from taidpt.text.words import lower_words, token_spans
from taidpt.training import PUBLISHED

logging.getLogger('PIL').setLevel(logging.CRITICAL)
PETS = ClassSet('pets', ['cat', 'dog'], {'dog': ['puppy']})
CORPUS = Path(__file__).parent/'corpus'


@cache
def clip(): return load_clip(device='cpu')


@cache
def noun_filter() -> NounFilter: return NounFilter(PETS)


# What the files are before they are spoilt

@cache
def prompts() -> TaIDPT:
    "Prompts with a history, thresholds and frequencies"
    model = TaIDPT(clip(), PETS, n_ctx=2, templates=False, epochs=3)
    model.recipe_ = replace(PUBLISHED, epochs=3)
    model.prompts_ = model.fresh_prompts(model.recipe_)
    model.history_ = [
        dict(epoch=1, lr=1e-5, loss=2.5),
        dict(epoch=2, lr=.1, loss=2.25),
    ]
    model.thresholds = Thresholds(
        PETS.names, [.25, .125], [4., 3.5], [-1., -.5], [9, 3], 20, 'labels.tsv')
    model.frequency_ = [.25, .03]
    return model


def vectors() -> TextConcepts:
    "A model that holds a vector a class"
    model = TextConcepts(clip(), PETS)
    model.vectors_ = torch.ones(2, clip().dim)
    return model


def wrappers() -> Ensemble:
    "A model of models"
    return Ensemble([prompts(), Tiled(vectors())], [1, 2])


def features(path: Path):
    "Write a small file of features"
    def batches(done):
        yield range(done, 2), torch.ones(2, 4).half(), torch.ones(5, 4).half()
    stored_features(path, dict(kind='sentences', weights='b6d1'), lambda: ([2, 3], [4]), batches)


def saved(write, ending: str = '.safetensors') -> bytes:
    "What a function writes to a file"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/f'a{ending}'
        write(path)
        return path.read_bytes()


def parquet(**columns) -> bytes:
    return saved(lambda path: pq.write_table(pa.table(columns), path))


def checkpoint(path: Path):
    "Write what the published code writes"
    values = dict(
        ctx=torch.ones(2, 256), ctx_double=torch.ones(2, 256), temperature=torch.tensor(3.))
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


def picture(kind: str) -> bytes:
    "A small picture of three colours"
    gradient = Image.linear_gradient('L').resize((48, 40))
    bands = [gradient, gradient.rotate(90), gradient.rotate(180)]
    out = io.BytesIO()
    Image.merge('RGB', bands).save(out, kind)
    return out.getvalue()


SENTENCE = "A cat isn't on the T.V., o'clock -- dining-table."
COCO = json.dumps(dict(annotations=[
    dict(id=3, caption='A cat on a "sofa".'),
    dict(id=4, caption='Zwei Hünde 😀'),
])).encode()
JSON_LINES = b'{"caption": "A cat.", "x": [1, -2.5e3, null, true]}\n"Two dogs"\n'
CLASS_FILE = b'''\
name: pets
classes: {cat: [kitten, 1a], bullterrier: }
natural: {bullterrier: bull terrier}
'''
PICKLED_IDS = b'\x80\x04\x95\t\x00\x00\x00\x00\x00\x00\x00]\x94(K\x03K\x04e.'


def caption_files() -> list[tuple[str, bytes]]:
    return [
        ('a.json', COCO),
        ('b.json', b'["a cat", "a dog"]'),
        ('a.jsonl', JSON_LINES),
        ('a.txt', 'A cat\nzwei Hünde\n'.encode()),
        ('a.tsv', b'image\tcaption\n1.jpg\ta cat\n'),
        ('a.csv', b'image,caption\n1.jpg,"a cat, a ""dog"""\n'),
        ('a.json.gz', gzip.compress(COCO)),
        ('a.parquet', parquet(caption=['a cat', None, 'a dog']*3)),
        ('b.parquet', parquet(caption=[['a cat'], ['a dog', 'two']])),
    ]


def class_files() -> list[tuple[str, bytes]]:
    return [
        ('a.yaml', CLASS_FILE),
        ('b.yaml', b'- cat\n- "dog"\n'),
        ('a.json', b'{"cat": ["kitten"], "dog": null}'),
    ]


def label_tables() -> list[tuple[str, bytes]]:
    return [
        ('a.tsv', b'image\tlabels\na.jpg\tcat,dog\nb.jpg\t\n'),
        ('a.csv', b'image,cat,dog\na.jpg,1,0\nb.jpg,0,-1\n'),
    ]


def label_files() -> list[tuple[str, bytes]]:
    some = LabeledTexts(['a cat', 'dogs'], torch.eye(2).bool(), PETS, 3)
    return [('a.parquet', saved(some.save, '.parquet'))]


def id_files() -> list[tuple[str, bytes]]:
    return [('a.json', b'[3, 4]'), ('a.txt', b'3\n4\n'), ('a.pkl', PICKLED_IDS)]


def picture_files() -> list[tuple[str, bytes]]:
    return [
        ('a.jpg', picture('JPEG')),
        ('a.png', picture('PNG')),
        ('a.gif', picture('GIF')),
        ('a.webp', picture('WEBP')),
        ('a.bmp', picture('BMP')[:400]),
        ('a.tif', picture('TIFF')),
    ]


SEEDS = {
    'sentence': lambda: [('a.txt', SENTENCE.encode())],
    'captions': caption_files,
    'class_file': class_files,
    'label_table': label_tables,
    'label_file': label_files,
    'prompts': lambda: [('a.safetensors', saved(prompts().save))],
    'prompt_header': lambda: [('a.safetensors', saved(prompts().save))],
    'vectors': lambda: [('a.safetensors', saved(vectors().save))],
    'wrapper_header': lambda: [('a.safetensors', saved(wrappers().save))],
    'features': lambda: [('a.safetensors', saved(features))],
    'checkpoint': lambda: [('a.pth', saved(checkpoint, '.pth'))],
    'ids': id_files,
    'coco': lambda: [('a.json', COCO)],
    'pictures': picture_files,
}


@cache
def seeds(reader: str) -> list[tuple[str, bytes]]:
    "Names and contents of good files for a reader"
    return SEEDS[reader]()


# How they are read; what is wrong with what was read is an `AssertionError`

def read_sentence(path: Path):
    text = path.read_bytes().decode('utf-8', 'replace')
    assert lower_words(text) == [text[start:end].lower() for start, end in token_spans(text)]
    noun_filter().columns(text)


def read_table(path: Path):
    for name in ('a.jpg', 'b.jpg'): (path.parent/name).touch()
    read_labels(path, PETS)


def read_prompts(path: Path):
    "Whatever is read of a changed file with its checksum is what was in it"
    model = TaIDPT.load(path, clip())
    before = prompts()
    assert settings_of(model) == settings_of(before)
    assert model.recipe_ == before.recipe_
    assert model.history_ == before.history_
    assert model.classes == before.classes
    assert model.thresholds == before.thresholds
    assert model.frequency_ == before.frequency_
    pairs = zip(model.prompts_.parameters(), before.prompts_.parameters())
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


READERS = {
    'sentence': read_sentence,
    'captions': lambda path: list(read_captions(path)),
    'class_file': lambda path: ClassSet.from_file(path),
    'label_table': read_table,
    'label_file': LabeledTexts.load,
    'prompts': read_prompts,
    'prompt_header': lambda path: TaIDPT.load(path, clip()),
    'vectors': lambda path: TextConcepts.load(path, clip()),
    'wrapper_header': lambda path: load_model(path, clip()),
    'features': load_features,
    'checkpoint': lambda path: import_checkpoint(path, clip(), PETS),
    'ids': read_caption_ids,
    'coco': lambda path: list(_captions_by_id(path, [3])),
    'pictures': lambda path: list(picture_batches(clip(), [path], progress=False)),
}


class Fault(Exception):
    "A file was answered with something else than its documented errors"


def try_file(reader: str, name: str, content: bytes) -> str:
    "What a reader says to a file: '' if it reads it, or its error. Raises `Fault`."
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        path = Path(folder)/name
        path.write_bytes(content)
        try:
            READERS[reader](path)
        except (ValueError, OSError) as error:
            if name in str(error): return str(error).replace(f'{folder}/', '')
            told = f'the error does not name the file: {type(error).__name__}: {error}'
            raise Fault(f'{reader}, {name}: {told}') from error
        except Exception as error:
            raise Fault(f'{reader}, {name}: {type(error).__name__}: {error}') from error
    return ''


# How they are spoilt

PIECES = [
    b'[', b'[' * 3000, b'{"a":' * 3000, b'- ' * 200, b'null', b'NaN', b'Infinity', b'1e999',
    b'-1', b'5' * 5000, b'""', b'"', b"'", b'\\', b'\\ud800', b'\x00', b'\xff\xfe',
    b'\xef\xbb\xbf', b'\r', b'\n', b'\t', b',', b':', b'&a [*a, *a]', b'*a', b'<<: ', b'!!int ',
    b'? ', b'%', b'---\n', b'{}', b'[]', b'true', b'"caption"', b'"annotations"', b'"images"',
    b'"sentences"', b'2024-99-99', b'<script>', b' ' * 999, b'\xe2\x80\xa8', b'\xcc\x81' * 40,
    b'a.' * 200, b'9' * 30, b'{', b'}', b']', b'K\xff', b'\x8c\x02os', b'R', b'classes', b'names',
]


def change(raw: bytearray, rng: random.Random):
    "Change a bit, a byte or a piece, cut, or repeat; in place"
    at = rng.randrange(len(raw) + 1)
    how = rng.randrange(7)
    inside = at < len(raw)
    if how <= 1 and inside: raw[at] ^= 1 << rng.randrange(8)
    elif how == 2 and inside: raw[at] = rng.randrange(256)
    elif how == 3: raw[at:at] = rng.choice(PIECES)
    elif how == 4: raw[at:at + rng.randrange(1, 30)] = rng.choice(PIECES)
    elif how == 5: del raw[at:at + rng.choice([1, 4, 60, len(raw)])]
    else: raw[at:at] = raw[at:at + rng.randrange(1, 40)]


def spoil(content: bytes, rng: random.Random) -> bytes:
    "A content with one to four changes"
    raw = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])): change(raw, rng)
    return bytes(raw)


WORDS = ['null', '[]', '{}', '""', 'x', '-1', 'NaN', '[' * 3000, '5' * 5000, '["a"]', '\n']
ENTRIES = [
    None, [], {}, '', 'x', -1, 2**70, 1e300, 1e-320, math.inf, math.nan, True, [1], {'a': 1},
    ['a'], [[]],
    '<b>', '\n', 'hf-hub:a/b', 'TaIDPT', 'Tiled', {'name': 'a', 'names': ['cat', 'dog']},
    {'names': [[]]}, {'n_ctx': 2, 'lr': 'x'}, {'epochs': -1}, [{'epoch': '<b>', 'lr': 1}],
    ['cat', 'dog'], ['dog', 'cat', 'cow'], [.5, .5],
]
TENSORS = [
    torch.zeros(0),
    torch.zeros(()),
    torch.full((2, 256), torch.nan),
    torch.ones(2, 256).long(),
    torch.ones(2, 2),
    torch.ones(2, 2, 256),
    torch.ones(2, 256).bool(),
    torch.ones(2, 256, dtype=torch.complex64),
    torch.full((2, 256), 1e30),
    torch.ones(2, 256).to(torch.float8_e4m3fn),
]


def change_entry(entries: dict|list, rng: random.Random):
    "Change, add or leave out an entry of a header, or of what is in it; in place"
    keys = list(entries) if isinstance(entries, dict) else list(range(len(entries)))
    key = rng.choice(keys)
    inner = entries[key]
    if inner and isinstance(inner, (dict, list)) and rng.random() < .7: change_entry(inner, rng)
    elif rng.random() < .15: del entries[key]
    elif isinstance(entries, dict) and rng.random() < .1: entries['more'] = rng.choice(ENTRIES)
    else: entries[key] = copy.deepcopy(rng.choice(ENTRIES))


def change_words(words: dict[str, str], rng: random.Random):
    "Change, add or leave out a word of a file; in place"
    names = [name for name in words if name != 'checksum']
    if rng.random() < .1: del words[rng.choice([name for name in names if name != 'format'])]
    else: words[rng.choice([*names, 'more'])] = rng.choice(WORDS)


def change_file(words: dict[str, str], tensors: dict[str, torch.Tensor], rng: random.Random):
    "Change the header, another word or a tensor; in place"
    what = rng.random()
    if what < .6 and words.get('about', '').startswith('{'):
        header = json.loads(words['about'])
        change_entry(header, rng)
        words['about'] = json.dumps(header)
    elif what < .75: change_words(words, rng)
    else: tensors[rng.choice([*tensors, 'more'])] = rng.choice(TENSORS).clone()


def spoil_header(content: bytes, rng: random.Random) -> bytes:
    "A model file with another header, other words or tensors, and a checksum that does not tell"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.safetensors'
        path.write_bytes(content)
        with safe_open(path, 'pt') as f:
            words = dict(sorted(f.metadata().items()))           # they come in any order
            tensors = {name: f.get_tensor(name) for name in f.keys()}
        for _ in range(rng.choice([1, 1, 2])): change_file(words, tensors, rng)
        save_file(tensors, path, words | NO_CHECKSUM)
        seal(path)
        return path.read_bytes()


def one_case(reader: str, rng: random.Random) -> tuple[str, bytes]:
    "Name and content of a spoilt file"
    name, content = rng.choice(seeds(reader))
    by_header = reader.endswith('_header') or (reader == 'vectors' and rng.random() < .7)
    spoilt = spoil_header(content, rng) if by_header else spoil(content, rng)
    return name, spoilt
