"""Files that nobody meant to write, given to everything that reads files.

A reader may take a file, or refuse it with one of the errors that its documentation names, `ValueError` and what is derived
from it, or `OSError`, and then the message names the file. Anything else is a fault. `tests/test_fuzz.py` runs a few hundred cases, always the same
ones, and every file of tests/corpus, which are cases that once were faults. FUZZ=2000 in the environment tries as many for
each reader, others each time.
"""
import gzip, io, json, logging, random, tempfile, warnings
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from taidpt.apps.onnx import Tagger
from taidpt.all import (
    ClassSet, LabeledTexts, NounFilter, TaIDPT, TextConcepts, Thresholds, read_captions, read_labels)
from taidpt.clip import load_clip, picture_batches
from taidpt.datasets.benchmarks import _captions_by_id, read_caption_ids
from taidpt.files import NO_CHECKSUM, seal
from taidpt.paper.checkpoints import import_checkpoint
from taidpt.predict import settings_of
from taidpt.text.words import lower_words, token_spans

logging.getLogger('PIL').setLevel(logging.CRITICAL)
PETS = ClassSet('pets', ['cat', 'dog'], {'dog': ['puppy']})
CORPUS = Path(__file__).parent/'corpus'


@cache
def clip(): return load_clip(device='cpu')


@cache
def prompts() -> TaIDPT:
    model = TaIDPT(clip(), PETS, n_ctx=2, templates=False, epochs=3)
    model.prompts_ = model.fresh_prompts()
    model.history_ = [dict(epoch=1, lr=1e-5, loss=2.5), dict(epoch=2, lr=.1, loss=2.25)]
    model.thresholds = Thresholds(PETS.names, [.25, .125], [4., 3.5], [-1., -.5], [9, 3], 20, 'labels.tsv')
    model.frequency_ = [.25, .03]
    return model


@cache
def noun_filter(): return NounFilter(PETS)


# What the files are before they are spoilt

def saved(write, ending: str = '.safetensors') -> bytes:
    "What a function writes to a file"
    with tempfile.TemporaryDirectory() as d:
        write(path := Path(d)/f'a{ending}')
        return path.read_bytes()


def parquet(**columns) -> bytes: return saved(lambda path: pq.write_table(pa.table(columns), path))


def tagger() -> bytes:
    "A graph that looks at the mean colour, with the words of a tagger"
    words = dict(format='taidpt-tagger', filter='BICUBIC', classes=['cat', 'dog'], thresholds=[.1, .2], mean=[.5]*3, std=[.5]*3, crop=True, draft=False)
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [make('GlobalAveragePool', ['pixels'], ['m']), make('Flatten', ['m'], ['f']), make('MatMul', ['f', 'w'], ['scores'])]
    graph = onnx.helper.make_graph(nodes, 'g', [value('pixels', 1, ['pictures', 3, 8, 8])], [value('scores', 1, ['pictures', 2])],
                                   [onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), 'w')])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    onnx.helper.set_model_props(model, {name: x if isinstance(x, str) else json.dumps(x) for name, x in words.items()})
    return model.SerializeToString()


def picture(kind: str) -> bytes:
    image = Image.linear_gradient('L').resize((48, 40))
    Image.merge('RGB', [image, image.rotate(90), image.rotate(180)]).save(out := io.BytesIO(), kind)
    return out.getvalue()


@cache
def seeds(reader: str) -> list[tuple[str, bytes]]:
    "Names and contents of good files for a reader"
    coco = json.dumps(dict(annotations=[dict(id=3, caption='A cat on a "sofa".'), dict(id=4, caption='Zwei Hünde 😀')])).encode()
    lines = '{"caption": "A cat.", "x": [1, -2.5e3, null, true]}\n"Two dogs"\n'.encode()
    vectors = TextConcepts(clip(), PETS)
    vectors.vectors_ = torch.ones(2, clip().dim)
    values = dict(ctx=torch.ones(2, 256), ctx_double=torch.ones(2, 256), temperature=torch.tensor(3.))
    checkpoint = dict(state_dict=values, epoch=1, optimizer=dict(param_groups=[dict(initial_lr=.002, momentum=.9)]))
    many = dict(
        sentence=[('a.txt', "A cat isn't on the T.V., o'clock -- dining-table.".encode())],
        captions=[('a.json', coco), ('b.json', b'["a cat", "a dog"]'), ('a.jsonl', lines), ('a.txt', 'A cat\nzwei Hünde\n'.encode()),
                  ('a.tsv', b'image\tcaption\n1.jpg\ta cat\n'), ('a.csv', b'image,caption\n1.jpg,"a cat, a ""dog"""\n'),
                  ('a.json.gz', gzip.compress(coco)), ('a.parquet', parquet(caption=['a cat', None, 'a dog']*3)),
                  ('b.parquet', parquet(caption=[['a cat'], ['a dog', 'two']]))],
        class_file=[('a.yaml', b'name: pets\nclasses: {cat: [kitten, 1a], bullterrier: }\nnatural: {bullterrier: bull terrier}\n'),
                    ('b.yaml', b'- cat\n- "dog"\n'), ('a.json', b'{"cat": ["kitten"], "dog": null}')],
        label_table=[('a.tsv', b'image\tlabels\na.jpg\tcat,dog\nb.jpg\t\n'), ('a.csv', b'image,cat,dog\na.jpg,1,0\nb.jpg,0,-1\n')],
        label_file=[('a.parquet', saved(LabeledTexts(['a cat', 'dogs'], torch.eye(2).bool(), PETS, 3).save, '.parquet'))],
        prompts=[('a.safetensors', saved(prompts().save))],
        prompt_header=[('a.safetensors', saved(prompts().save))],
        vectors=[('a.safetensors', saved(vectors.save))],
        checkpoint=[('a.pth', saved(lambda p: torch.save(checkpoint, p), '.pth'))],
        ids=[('a.json', b'[3, 4]'), ('a.txt', b'3\n4\n'), ('a.pkl', b'\x80\x04\x95\t\x00\x00\x00\x00\x00\x00\x00]\x94(K\x03K\x04e.')],
        coco=[('a.json', coco)],
        tagger=[('a.onnx', tagger())],
        pictures=[('a.jpg', picture('JPEG')), ('a.png', picture('PNG')), ('a.gif', picture('GIF')), ('a.webp', picture('WEBP')),
                  ('a.bmp', picture('BMP')[:400]), ('a.tif', picture('TIFF'))])
    return many[reader]


# How they are read; what is wrong with what was read is an `AssertionError`

def read_sentence(path: Path):
    text = path.read_bytes().decode('utf-8', 'replace')
    assert lower_words(text) == [text[a:b].lower() for a, b in token_spans(text)]
    noun_filter().columns(text)


def read_table(path: Path):
    for name in ('a.jpg', 'b.jpg'): (path.parent/name).touch()
    read_labels(path, PETS)


def read_prompts(path: Path):
    "Whatever is read of a changed file with its checksum is what was in it"
    model, was = TaIDPT.load(path, clip()), prompts()
    assert settings_of(model) == settings_of(was) and model.history_ == was.history_ and model.classes == was.classes
    assert model.thresholds == was.thresholds and model.frequency_ == was.frequency_
    assert all(torch.equal(a, b) for a, b in zip(model.prompts_.parameters(), was.prompts_.parameters()))


READERS = dict(
    sentence=read_sentence,
    captions=lambda path: list(read_captions(path)),
    class_file=lambda path: ClassSet.from_file(path),
    label_table=read_table,
    label_file=LabeledTexts.load,
    prompts=read_prompts,
    prompt_header=lambda path: TaIDPT.load(path, clip()),
    vectors=lambda path: TextConcepts.load(path, clip()),
    checkpoint=lambda path: import_checkpoint(path, clip(), PETS),
    ids=read_caption_ids,
    coco=lambda path: list(_captions_by_id(path, [3])),
    tagger=lambda path: Tagger(path, threads=1).predict(Image.new('RGB', (9, 8))),
    pictures=lambda path: list(picture_batches(clip(), [path], progress=False)))


class Fault(Exception):
    "A file was answered with something else than its documented errors"


def try_file(reader: str, name: str, content: bytes) -> str:
    "What a reader says to a file: '' if it reads it, or its error. Raises `Fault`."
    with tempfile.TemporaryDirectory() as d, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        (path := Path(d)/name).write_bytes(content)
        try: READERS[reader](path)
        except (ValueError, OSError) as e:
            if name not in str(e): raise Fault(f'{reader}, {name}: the error does not name the file: {type(e).__name__}: {e}') from e
            return str(e).replace(f'{d}/', '')
        except Exception as e: raise Fault(f'{reader}, {name}: {type(e).__name__}: {e}') from e
    return ''


# How they are spoilt

PIECES = [b'[', b'[' * 3000, b'{"a":' * 3000, b'- ' * 200, b'null', b'NaN', b'Infinity', b'1e999', b'-1', b'5' * 5000, b'""', b'"', b"'", b'\\',
          b'\\ud800', b'\x00', b'\xff\xfe', b'\xef\xbb\xbf', b'\r', b'\n', b'\t', b',', b':', b'&a [*a, *a]', b'*a', b'<<: ', b'!!int ', b'? ',
          b'%', b'---\n', b'{}', b'[]', b'true', b'"caption"', b'"annotations"', b'"images"', b'"sentences"', b'2024-99-99', b'<script>', b' ' * 999,
          b'\xe2\x80\xa8', b'\xcc\x81' * 40, b'a.' * 200, b'9' * 30, b'{', b'}', b']', b'K\xff', b'\x8c\x02os', b'R', b'classes', b'names']


def spoil(content: bytes, rng: random.Random) -> bytes:
    "A content with one to four changes: bits, pieces, cuts, repetitions"
    raw = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at, how = rng.randrange(len(raw) + 1), rng.randrange(7)
        if how <= 1 and at < len(raw): raw[at] ^= 1 << rng.randrange(8)
        elif how == 2 and at < len(raw): raw[at] = rng.randrange(256)
        elif how == 3: raw[at:at] = rng.choice(PIECES)
        elif how == 4: raw[at:at + rng.randrange(1, 30)] = rng.choice(PIECES)
        elif how == 5: del raw[at:at + rng.choice([1, 4, 60, len(raw)])]
        else: raw[at:at] = raw[at:at + rng.randrange(1, 40)]
    return bytes(raw)


HEADER_VALUES = ['null', '[]', '{}', '""', 'x', '-1', '1e999', 'NaN', '[' * 3000, '5' * 5000, '[1]', '{"a": 1}', '["a"]', '"<b>"', '\n', 'hf-hub:a/b',
                 '{"name": "a", "names": ["cat", "dog"]}', '{"names": [[]]}', '{"n_ctx": 2, "lr": "x"}', '{"epochs": -1}', '[{"epoch": "<b>", "lr": 1}]']
TENSORS = [torch.zeros(0), torch.zeros(()), torch.full((2, 256), torch.nan), torch.ones(2, 256).long(), torch.ones(2, 2), torch.ones(2, 2, 256)]


def spoil_header(content: bytes, rng: random.Random) -> bytes:
    "A safetensors file with other words or tensors, and a checksum that does not tell"
    with tempfile.TemporaryDirectory() as d:
        (path := Path(d)/'a.safetensors').write_bytes(content)
        with safe_open(path, 'pt') as f: about, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
        for _ in range(rng.choice([1, 1, 2])):
            if rng.random() < .7: about[rng.choice([w for w in about if w != 'checksum'] + ['more'])] = rng.choice(HEADER_VALUES)
            else: tensors[rng.choice([*tensors, 'more'])] = rng.choice(TENSORS).clone()
            if rng.random() < .1: about.pop(rng.choice([w for w in about if w not in ('format', 'checksum')]), None)
        save_file(tensors, path, about | NO_CHECKSUM)
        seal(path)
        return path.read_bytes()


def one_case(reader: str, rng: random.Random) -> tuple[str, bytes]:
    "Name and content of a spoilt file"
    name, content = rng.choice(seeds(reader))
    if reader == 'prompt_header' or reader == 'vectors' and rng.random() < .7: return name, spoil_header(content, rng)
    return name, spoil(content, rng)
