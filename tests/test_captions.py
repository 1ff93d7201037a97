"""Captions, names and tables that are cut or damaged, and files that may not be written.
SECURITY.md promises it."""
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fuzz import checkpoint

from taidpt.all import ClassSet, LabeledTexts, NounFilter, read_captions, read_labels
from taidpt.apps.cli import main
from taidpt.clip import encode_sentences, load_clip
from taidpt.datasets.benchmarks import read_caption_ids
from taidpt.files import (
    LIMITS, check_target, file_name, join_labels, locked, read_class_file, split_labels,
    write_whole)
from taidpt.learner import name_frequency
from taidpt.paper.checkpoints import import_checkpoint, prompt_tensors
from taidpt.text.words import cut_words, squeeze
from taidpt.texts import cap_per_class

pytestmark = pytest.mark.xdist_group('hostile')
PETS = ClassSet('pets', ['cat', 'dog'])


def refusal(path: Path, read) -> str:
    "The error with which a file is refused, which names it"
    with pytest.raises((ValueError, OSError)) as error: read(path)
    assert path.name in str(error.value)
    return str(error.value)


def all_captions(path: Path) -> list[str]: return list(read_captions(path))


# Packed files

def test_lists_of_ids_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, 'bytes of a list of ids', 3)
    (tmp_path/'ids').write_bytes(b'[5,7]')
    assert 'more than 3 bytes' in refusal(tmp_path/'ids', read_caption_ids)


class Memory:
    "What a pickle takes by a number"
    def __reduce__(self): return bytearray, (10**12,)


def test_a_checkpoint_is_one_archive(tmp_path):
    "Nothing is packed in it, before it or behind it, and it takes no memory but for tensors"
    good, path = tmp_path/'good.pth', tmp_path/'a.pth'
    checkpoint(good)
    assert 'ctx' in prompt_tensors(good)
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as out:
        for name in archive.namelist(): out.writestr(name, archive.read(name))
        out.writestr('more', bytes(10**6))
    packed, whole = path.read_bytes(), good.read_bytes()
    length, start = struct.unpack('<2L', whole[-10:-2])
    elsewhere = whole[:-10] + struct.pack('<2L', length - 1, start) + whole[-2:]
    for content in (
        packed, packed + bytes(66_000), whole + bytes(66_000), whole + b'PK', b'PK\3\4' + whole,
    ):
        path.write_bytes(content)
        assert 'as in no checkpoint' in refusal(path, prompt_tensors)
    path.write_bytes(elsewhere)                             # PyTorch reads the longer record
    assert prompt_tensors(path).keys() == prompt_tensors(good).keys()
    for new in (True, False):
        torch.save({'state_dict': Memory()}, path, _use_new_zipfile_serialization=new)
        assert 'bytearray' in refusal(path, prompt_tensors)


# Words and names

def test_a_word_without_end_is_read_in_no_time():
    "Every reader of words takes time that grows with their length alone"
    for word in ('xqz'*40_000, 'a' + '\u0300\u0316'*10**5, "a'"*10**4, '. '*1000):
        tokens = load_clip(device='cpu').tokenize(word)
        assert tokens.shape == (1, 77)
        for rules in ('careful', 'published'):
            reader = NounFilter(['cat', 'dog'], rules=rules)
            assert reader.label([f'a dog {word}'], progress=False).counts()['dog'] == 1
        squeeze(word)
    assert len(encode_sentences(load_clip(device='cpu'), ['xq'*10**5], progress=False)) == 1
    with pytest.raises(ValueError, match='1,000 characters of a name'): ClassSet('a', ['x'*2000])


def test_the_end_of_a_long_word_changes_no_token():
    "CLIP reads its beginning alone"
    clip = load_clip(device='cpu')
    rng = torch.Generator().manual_seed(0)
    for letters in ('abcdefghijklmnopqrstuvwxyz', 'aeiounrst', '=-_.', 'é犬'):
        numbers = torch.randint(len(letters), (3500,), generator=rng).tolist()
        word = ''.join(letters[i] for i in numbers)
        assert cut_words(word, 3080) != word
        assert torch.equal(clip.tokenizer([word]), clip.tokenize(word))


def test_the_name_of_a_class_set_is_no_path(tmp_path, monkeypatch):
    "`taidpt import` writes to the folder at hand, whatever a file of classes calls itself"
    inside = tmp_path/'in'/'side'
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    Path('pets.yaml').write_text('name: ../../x\nclasses: [cat, dog]\n')
    checkpoint(Path('a.pth'))
    monkeypatch.setattr(
        sys, 'argv', ['taidpt', 'import', 'a.pth', '--data', 'pets.yaml', '--clip', 'embedded']
    )
    main()
    assert sorted(path.name for path in inside.iterdir()) == ['a.pth', 'pets.yaml', 'x.safetensors']
    assert sorted(tmp_path.rglob('x*')) == [inside/'x.safetensors']
    assert file_name('/') == 'unnamed'


def test_a_file_of_classes_has_limits(tmp_path):
    path = tmp_path/'a.yaml'
    for content, said in (
            ('- a\n'*500_001, 'more than 500,000 entries'),
            ('#'*(2**23 + 1), 'more than 8,388,608 bytes'),
            (f'- {"a"*1001}\n', '1,000 characters of a name')):
        path.write_text(content)
        assert said in refusal(path, ClassSet.from_file)
    path.write_text('- cat\n')
    assert read_class_file(path)['names'] == ['cat']


# What a corpus and a table know

def test_a_selection_knows_how_many_sentences_were_dropped(tmp_path):
    "The frequency of a class, on which thresholds depend, is that of the whole corpus"
    texts = ['a dog', 'a cat and a dog', *['a house']*8]
    whole = NounFilter(PETS).label(texts, progress=False)
    selections = [whole[:], whole[:1], whole[[1]], whole[[True, False]], cap_per_class(whole, 9),
                  cap_per_class(whole, 1), whole[:1] + whole[1:], whole[:1][:]]
    for some in selections: assert name_frequency(some) == name_frequency(whole) == [.1, .2]
    whole[:1].save(tmp_path/'some.parquet')
    assert name_frequency(LabeledTexts.load(tmp_path/'some.parquet')) == [.1, .2]


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
    for name, cell in (('a.tsv', join_labels(names[:2])), ('a.csv', '"cat,""dog, brown"""')):
        mark = '\t' if name == 'a.tsv' else ','
        (tmp_path/name).write_text(f'picture{mark}tags\na.jpg{mark}{cell}\n')
        assert read_labels(tmp_path/name, names).names(0) == names[:2]


# Files that may not be written

def test_a_file_that_may_only_be_read_stays(tmp_path):
    "Writing is refused before any work, for root, too"
    path = tmp_path/'a.json'
    path.write_text('1')
    path.chmod(0o444)
    for write in (check_target, PETS.save):
        with pytest.raises(PermissionError, match='it may only be read.*allow writing'): write(path)
    assert path.read_text() == '1'


def test_long_names_are_written(tmp_path):
    "Temporary names are no longer than the file's, and an impossible name is refused at first"
    for name in ('a'*240 + '.txt', 'a'*255, 'é'*120 + '.json'):
        with write_whole(tmp_path/name) as part, locked(tmp_path/name):
            part.write_text('1')
            assert all(len(os.fsencode(path.name)) <= 255 for path in tmp_path.iterdir())
        assert (tmp_path/name).read_text() == '1'
    with pytest.raises(OSError, match='name it shorter'), write_whole(tmp_path/('a'*256)):
        raise AssertionError('the work began')


READER = '''
import os, sys
from taidpt.files import locked, write_whole
os.chmod('.', 0o555)
if os.getuid() == 0: os.setuid(65534)
with locked(f'{sys.argv[1]}/a'): print('read')
try:
    with write_whole(f'{sys.argv[1]}/a'): print('written')
except PermissionError as e: print(e.strerror)
'''


@pytest.mark.skipif(not hasattr(os, 'setuid'), reason='has no users')
def test_a_folder_that_may_only_be_read_needs_no_lock():
    with tempfile.TemporaryDirectory() as folder:
        code = [sys.executable, '-c', READER, folder]
        told = subprocess.run(code, cwd=folder, capture_output=True, text=True, check=True).stdout
        os.chmod(folder, 0o755)
    assert told.splitlines()[0] == 'read'
    assert 'its folder may only be read' in told


# What is whole stays readable

def test_parquet_of_all_kinds_is_read(tmp_path):
    texts = [f'a dog number {i}' for i in range(3000)]
    rows = [texts[i:i + 3] for i in range(0, 3000, 3)]
    records = [[{'raw': text, 'id': 1} for text in row] for row in rows]
    for column in (texts, rows, records, pa.array(texts, pa.large_string()),
                   pa.array(texts).dictionary_encode()):
        path = tmp_path/'a.parquet'
        pq.write_table(pa.table({'id': range(len(column)), 'caption': column}), path)
        assert all_captions(path) == texts


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


def test_imported_prompts_still_tag(tmp_path):
    checkpoint(tmp_path/'a.pth')
    with pytest.warns(UserWarning, match='no word vectors'):
        model = import_checkpoint(tmp_path/'a.pth', load_clip(device='cpu'), PETS)
    assert len(model.classes) == 2
