"""Captions, classes and tables from files: what is whole is read, what is cut raises an error,
and nothing in a file is executed or chooses what else is opened. SECURITY.md promises it."""
import gzip
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from factories import Touch, checkpoint, clip

from taidpt.all import ClassSet, LabeledTexts, NounFilter, read_captions, read_labels
from taidpt.apps.cli import main
from taidpt.files import join_labels, split_labels
from taidpt.paper.checkpoints import import_checkpoint
from taidpt.texts import cap_per_class

PETS = ClassSet('pets', ['cat', 'dog'])


def refusal(path: Path, read) -> str:
    "The error with which a file is refused, which names it"
    with pytest.raises((ValueError, OSError)) as error: read(path)
    assert path.name in str(error.value)
    return str(error.value)


def all_captions(path: Path) -> list[str]: return list(read_captions(path))


# Promises

def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    torch.save({'state_dict': Touch(tmp_path/'ran')}, tmp_path/'a.pth')
    refusal(tmp_path/'a.pth', lambda path: import_checkpoint(path, None, 'voc2007'))
    assert not (tmp_path/'ran').exists()


class PickledType(pa.ExtensionType):
    "A type as Ray's, which unpickles what a file says of it, and each value that is asked for"
    def __init__(self, metadata=b''):
        self.metadata = metadata
        super().__init__(pa.binary(), 'tests.pickled')
    def __arrow_ext_serialize__(self): return self.metadata
    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        if serialized: pickle.loads(serialized)
        return cls()
    def __arrow_ext_scalar_class__(self): return PickledValue


class PickledValue(pa.ExtensionScalar):
    def as_py(self, **kwargs): return pickle.loads(self.value.as_py())


@pytest.fixture
def pickled_type():
    pa.register_extension_type(PickledType())
    yield PickledType
    pa.unregister_extension_type('tests.pickled')


@pytest.mark.parametrize('in_a_list', [False, True])
@pytest.mark.parametrize('read', [all_captions, LabeledTexts.load])
def test_nothing_in_a_parquet_file_is_executed(read, in_a_list, tmp_path, pickled_type):
    "Where a program has registered a type that unpickles, as ray.data does, nobody asks it"
    path, ran = tmp_path/'a.parquet', tmp_path/'ran'
    pickled = pickle.dumps(Touch(ran))
    column = pickled_type(pickled).wrap_array(pa.array([pickled]))
    if in_a_list: column = pa.ListArray.from_arrays([0, 1], column)
    pq.write_table(pa.table({'note': ['a cat'], 'text': column}), path)
    pq.read_schema(path)
    assert ran.exists()                     # what our readers must not do
    ran.unlink()
    refusal(path, read)
    assert list(read_captions(path, 'note')) == ['a cat']
    assert not ran.exists()


def test_nothing_in_a_file_of_classes_is_executed(tmp_path):
    path = tmp_path/'a.yaml'
    path.write_text(f'- !!python/object/apply:pathlib.Path.touch [{tmp_path/"ran"}]\n')
    refusal(path, ClassSet.from_file)
    assert not (tmp_path/'ran').exists()


def test_the_name_of_a_class_set_is_no_path(tmp_path, monkeypatch):
    "`taidpt import` writes to the folder at hand, whatever a file of classes calls itself"
    inside = tmp_path/'in'/'side'
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    Path('pets.yaml').write_text('name: ../../x\nclasses: [cat, dog]\n')
    checkpoint(Path('a.pth'), clip())
    assert main(['import', 'a.pth', '--data', 'pets.yaml', '--clip', 'embedded']) == 0
    assert sorted(path.name for path in inside.iterdir()) == ['a.pth', 'pets.yaml', 'x.safetensors']
    assert sorted(tmp_path.rglob('x*')) == [inside/'x.safetensors']


# What a corpus and a table know

def test_a_selection_knows_how_many_sentences_were_dropped(tmp_path):
    "The frequency of a class, on which thresholds depend, is that of the whole corpus"
    texts = ['a dog', 'a cat and a dog', *['a house']*8]
    whole = NounFilter(PETS).label(texts, progress=False)
    for selection in whole, whole[[1]], cap_per_class(whole, 1), whole[:1] + whole[1:]:
        assert selection.shares() == [.1, .2]
    whole[:1].save(tmp_path/'some.parquet')
    assert LabeledTexts.load(tmp_path/'some.parquet').shares() == [.1, .2]


@pytest.mark.parametrize('table', [
    'a dog, and a cat\na man on a horse, and his dog\n',
    'caption,note\na dog, and a cat\na dog\n',
    'caption\na dog, and a cat\n',
    'caption\na dog\na cat, and a dog\n'])
def test_sentences_are_not_cut_at_their_commas(table, tmp_path):
    "A .csv of bare sentences raises an error; named .txt, it is read whole"
    path = tmp_path/'a.csv'
    path.write_text(table)
    refusal(path, all_captions)
    path.rename(tmp_path/'a.txt')
    assert all_captions(tmp_path/'a.txt') == table.splitlines()


def test_a_class_with_a_comma_is_written_and_read(tmp_path):
    "Between a table that `tag` writes and one that `evaluate` reads, no name is lost"
    names = ['cat', 'dog, brown', '12" ruler', '"quoted", too']
    assert split_labels(join_labels(names)) == names
    (tmp_path/'a.jpg').touch()
    (tmp_path/'a.tsv').write_text(f'image\ttags\na.jpg\t{join_labels(names)}\n')
    assert read_labels(tmp_path/'a.tsv', names).names(0) == names


# What is whole stays readable

def test_parquet_of_all_kinds_is_read(tmp_path):
    texts = [f'a dog number {i}' for i in range(3000)]
    rows = [texts[i:i + 3] for i in range(0, 3000, 3)]
    def record(text): return {'raw': text, 'id': 1}
    records = [[*map(record, row)] for row in rows]
    for column in (texts, rows, records, pa.array(texts, pa.large_string()),
                   pa.array(texts).dictionary_encode()):
        path = tmp_path/'a.parquet'
        pq.write_table(pa.table({'id': range(len(column)), 'caption': column}), path)
        assert all_captions(path) == texts
    pq.write_table(pa.table({'caption': pa.array([], pa.string())}), path)
    assert all_captions(path) == []


def test_a_file_that_is_cut_short_raises_an_error(tmp_path):
    "Half of the captions are not taken for all of them"
    whole = tmp_path/'whole'
    texts = [f'a dog number {i}' for i in range(100)]
    pq.write_table(pa.table({'caption': texts}), whole)
    contents = {
        'a.json': json.dumps(texts).encode(),
        'a.jsonl': '\n'.join(map(json.dumps, texts)).encode(),
        'a.txt.gz': gzip.compress('\n'.join(texts).encode()),
        'a.parquet': whole.read_bytes(),
        'a.csv': b'id,caption\n1,a dog\n2,"a cat"',
    }
    for name, content in contents.items():
        (tmp_path/name).write_bytes(content)
        assert all_captions(tmp_path/name)
        (tmp_path/name).write_bytes(content[:-1])
        refusal(tmp_path/name, all_captions)
