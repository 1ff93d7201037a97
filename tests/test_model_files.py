"""Files of models and features say what they are, keep what scores depend on, and decide
nothing."""
import hashlib
import json
import shutil
import struct
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import open_clip
import pytest
import torch

from taidpt import model_files
from taidpt.all import (
    Attended, CoOp, Ensemble, FrozenCLIP, TaIDPT, TextConcepts, Thresholds, TipAdapter,
    ZeroShotCLIP,
    encode_pictures, encode_sentences, load_clip, load_model)
from taidpt.apps.models import ready_model
from taidpt.datasets.labelled import bundled_photos
from taidpt.encoders import features as feature_files
from taidpt.encoders.features import FeatureStore, load_features
from taidpt.encoders.weights import build_clip, find_clip
from taidpt.files import DATA, NO_CHECKSUM, seal
from taidpt.model_files import read_model_file, write_model_file

pytestmark = pytest.mark.xdist_group('model_files')
NAMES = ['cat', 'dog']
TEXTS = ['a cat on a mat', 'a dog in the sun', 'a cat and a dog', 'a bird', 'two dogs']*3
LABELS = [[1, 0], [0, 1], [1, 1]]


@cache
def clip() -> FrozenCLIP: return load_clip(device='cpu')


@cache
def photos() -> list: return bundled_photos().pictures[:3]


@cache
def seen() -> FeatureStore: return encode_pictures(clip(), photos(), progress=False)


@cache
def concepts() -> TextConcepts:
    return TextConcepts(clip(), NAMES).fit(TEXTS, progress=False)


# Names of CLIPs

@pytest.fixture
def near(tmp_path, monkeypatch):
    "A folder in which folders have the names of models of open_clip"
    monkeypatch.chdir(tmp_path)
    for name in ('RN50/openai', 'mine'): shutil.copytree(DATA/'mini_clip', tmp_path/name)
    return tmp_path


def test_a_known_name_is_no_folder(near):
    "RN50/openai is OpenAI's RN50 whatever lies near; a folder is a path that says so."
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert find_clip('RN50/openai') == find_clip('RN50', 'openai')
        assert find_clip('RN50/openai').origin == 'RN50/openai'
        for folder in 'local-dir:mine', near/'mine': assert find_clip(folder).recommended


def test_a_file_opens_no_folder_by_name(near):
    "The name in a file is one of open_clip's, and never that of a folder near."
    path = near/'m.safetensors'
    concepts().save(path)
    header, tensors = read_model_file(path)
    write_model_file(path, replace(header, clip='RN50/openai'), tensors)
    with mock.patch.object(model_files, 'load_clip', return_value=clip()) as load: load_model(path)
    assert load.call_args.args == ('RN50/openai',)
    write_model_file(path, replace(header, clip='mine'), tensors)
    with pytest.raises(ValueError, match='which a file does not decide'): load_model(path)


class Bomb:
    "Unpickling it calls a function"
    def __reduce__(self): return pytest.fail, ('it was run',)


def test_weights_are_tensors(tmp_path):
    torch.save(Bomb(), tmp_path/'w.pt')
    with pytest.warns(UserWarning, match='No settings are known'):
        source = find_clip('RN50', tmp_path/'w.pt')
    with pytest.raises(RuntimeError, match='RN50/.*w.pt: Weights only load failed'):
        build_clip(source)


class Program(torch.nn.Module):
    "The tensors of a model, in a form that TorchScript takes"
    def __init__(self, model):
        super().__init__()
        for name, part in model.named_children(): self.add_module(name, Program(part))
        for name, t in model.named_parameters(recurse=False): self.register_parameter(name, t)
        for name, t in model.named_buffers(recurse=False):
            if name != 'attn_mask': self.register_buffer(name, t)       # it is in no file

    def forward(self, x: int): return x


@pytest.mark.filterwarnings('ignore:No settings are known', 'ignore:RN50 has GELU')
def test_a_file_of_openai(tmp_path, monkeypatch):
    "Their own file is known by its SHA-256 under any name, and has their GELU; others are not."
    about = open_clip.get_model_config('RN50')
    about['vision_cfg'] |= {'layers': [1, 1, 1, 1], 'width': 8, 'image_size': 32}
    about['text_cfg'] |= {'width': 64, 'heads': 1, 'layers': 1}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'RN50', about)
    theirs = open_clip.create_model('RN50', force_quick_gelu=True)
    file = tmp_path/'any name'
    program = Program(theirs)
    for name in 'input_resolution', 'context_length', 'vocab_size':     # which OpenAI's have
        program.register_buffer(name, torch.tensor(1))
    torch.jit.script(program).save(file)
    hashed = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(open_clip.pretrained._RN50['openai'], 'url', f'https://a.net/{hashed}/T.pt')
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        ours = build_clip(find_clip('RN50', file))
    for name, tensor in theirs.state_dict().items(): assert ours.state_dict()[name].equal(tensor)
    assert 'QuickGELU' in {type(part).__name__ for part in ours.modules()}
    assert find_clip('RN50', file).origin == 'RN50/openai'
    with open(file, 'ab') as more: more.write(b' ')
    with pytest.warns(match='RN50 has GELU'): assert find_clip('RN50', file).origin == ''
    with pytest.raises(RuntimeError, match='TorchScript'): build_clip(find_clip('RN50', file))


# What a model file keeps

def test_a_file_keeps_how_pictures_are_prepared(tmp_path):
    "A model that is loaded by name has the scores of the saved one, or a warning says why not."
    other = load_clip(device='cpu', image_size=288, crop=False, draft=False)
    path = tmp_path/'m.safetensors'
    model = TextConcepts(other, NAMES).fit(TEXTS, progress=False)
    model.save(path)
    want = model.predict(photos(), progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for back in (load_model(path), ready_model(path, 'embedded', progress=False)):
            assert torch.equal(back.predict(photos(), progress=False), want)
    with pytest.warns(UserWarning, match='image_size=288, crop=False, draft=False'):
        load_model(path, clip())


def test_what_could_not_be_read_is_not_written(tmp_path):
    "Numbers that went wrong are refused by `save`, and the file that was there stands."
    path = tmp_path/'m.safetensors'
    concepts().save(path)
    model = TextConcepts(clip(), NAMES)
    model.vectors_ = torch.full((2, 256), torch.nan)
    with pytest.raises(ValueError, match=f'^{path}: vectors holds NaN'): model.save(path)
    assert torch.equal(load_model(path, clip()).predict(seen()), concepts().predict(seen()))


@pytest.mark.parametrize(('changes', 'says'), [
    ({'method': 'Unknown'}, 'import the class Unknown first'),
    ({'settings': {'speed': 1}}, "unexpected keyword argument 'speed'"),
    ({'settings': {'tau_image': -1}}, 'tau_image must be'),
])
def test_the_constructor_checks_a_file(changes, says, tmp_path):
    "Other settings than a model takes, or a class that nobody defined, are an error with the file"
    path = tmp_path/'m.safetensors'
    concepts().save(path)
    header, tensors = read_model_file(path)
    write_model_file(path, replace(header, **changes), tensors)
    with pytest.raises(ValueError, match=f'^{path}: .*{says}'): load_model(path, clip())
    with pytest.raises(ValueError, match=f'^{path}'): ZeroShotCLIP.load(path, clip())


def test_thresholds_are_for_the_classes_of_the_file(tmp_path):
    path = tmp_path/'m.safetensors'
    model = TextConcepts(clip(), NAMES).fit(TEXTS, progress=False)
    model.thresholds = Thresholds(NAMES, [.1]*2, [1.]*2, [0.]*2, [9]*2, 20)
    model.save(path)
    assert load_model(path, clip()).thresholds == model.thresholds
    header, tensors = read_model_file(path)
    header.thresholds.names = NAMES[::-1]
    write_model_file(path, header, tensors)
    with pytest.raises(ValueError, match='thresholds are for other classes'):
        load_model(path, clip())


class WithMore(TaIDPT):
    "An argument of its own, the others of TaIDPT behind **, and a number a class that is learned"
    def __init__(self, clip, classes, table=Path('x'), **others):
        super().__init__(clip, classes, **others)
        self.table = table

    def fresh_prompts(self, recipe):
        prompts = super().fresh_prompts(recipe)
        prompts.shift = torch.nn.Parameter(torch.full((2,), .1))
        return prompts

    def branches(self, f, F): return [s + self.prompts_.shift for s in super().branches(f, F)]


class WithFile(WithMore):
    "The same with what a file needs"
    def take_tensors(self, tensors):
        super().take_tensors(tensors)
        self.prompts_.shift = torch.nn.Parameter(tensors['shift'])


def test_a_learned_number_is_not_lost(tmp_path):
    "A class that learns more than its base class takes from a file cannot be loaded without it."
    path = tmp_path/'m.safetensors'
    WithMore(clip(), NAMES, n_ctx=2, epochs=1).fit(TEXTS, progress=False).save(path)
    with pytest.raises(ValueError, match='and the file .*shift'): load_model(path, clip())


@pytest.mark.parametrize('change', [{'local': True}, {'loss': 'pairs'}])
def test_another_loss_or_branch_forgets_what_was_learned(change):
    "A name and its scores say the same"
    own = TaIDPT(clip(), NAMES, n_ctx=2, epochs=1, local=False).fit(TEXTS, progress=False)
    assert own.set_params(tau_image=.1, local=False).is_fitted()
    assert not own.set_params(**change).is_fitted()


def test_a_class_of_ones_own_is_loaded(tmp_path):
    "With an argument and a learned parameter more, and the arguments of its base class behind **."
    path = tmp_path/'m.safetensors'
    own = WithFile(clip(), NAMES, Path('mine.csv'), n_ctx=2, epochs=1).fit(TEXTS, progress=False)
    own.prompts_.shift.data += torch.tensor([0., .5])
    own.save(path)
    back = load_model(path, clip())
    assert (back.n_ctx, back.table) == (2, 'mine.csv')
    assert torch.equal(back.predict(seen()), own.predict(seen()))


def mine(scores, labels): return -scores[labels].mean()


class WithMine(TaIDPT):
    def __init__(self, clip, classes, loss=mine, **others):
        super().__init__(clip, classes, loss=loss, **others)


@pytest.mark.parametrize('around', [lambda m: m, lambda m: Attended(m, TEXTS)])
def test_no_file_holds_a_function(around, tmp_path):
    "A loss of one's own is refused by `save`, unless it is the default of a class."
    path = tmp_path/'m.safetensors'
    how = {'n_ctx': 2, 'epochs': 1}
    model = TaIDPT(clip(), NAMES, loss=mine, **how).fit(TEXTS, progress=False)
    with pytest.raises(ValueError, match='no file holds a function'): around(model).save(path)
    assert not path.exists()
    model = around(WithMine(clip(), NAMES, **how).fit(TEXTS, progress=False))
    model.save(path)
    back = load_model(path, clip())
    assert [*back.parts(), back][0].loss is mine
    assert torch.equal(back.predict(seen()), model.predict(seen()))


# Features

DOORS = {
    'predict': lambda store: concepts().predict(store),
    'val': lambda store: TextConcepts(clip(), NAMES).fit(
        TEXTS, val=(store, LABELS), progress=False
    ),
    'ensemble': lambda store: Ensemble([concepts(), concepts()]).predict(store),
    'wrapper': lambda store: Attended(concepts(), TEXTS).predict(store),
    'CoOp': lambda store: CoOp(clip(), NAMES, epochs=1).fit(store, LABELS, progress=False),
    'Tip-Adapter': lambda store: TipAdapter(clip(), NAMES).fit(store, LABELS, progress=False),
    'attention': lambda store: Attended(concepts(), store),
    'features': lambda store: TextConcepts(clip(), NAMES).fit(
        TEXTS, features=store, progress=False
    ),
}


@pytest.mark.parametrize('door', DOORS)
def test_stores_that_say_half(door):
    "A store that says only part of what it holds, or does not fit, is refused at every door."
    stores = [
        replace(seen(), weights=''), replace(seen(), preparation='another'),
        replace(seen(), kind=''), replace(seen(), offsets=np.array([0, 60, 49, 147])),
        replace(seen(), local=seen().local[:, :9])]
    for store in stores:
        with pytest.raises(ValueError): DOORS[door](store)


def test_stores_with_a_doubt():
    "A store that says nothing, or is of another precision, is taken with a warning."
    by_hand = FeatureStore(seen().global_, seen().local, seen().offsets)
    for store, says in ((by_hand, 'does not say what it holds'),
                        (replace(seen(), precision='bfloat16'), 'computed in bfloat16')):
        with pytest.warns(UserWarning, match=says): scores = concepts().predict(store)
        assert torch.equal(scores, concepts().predict(seen()))
    narrow = FeatureStore(seen().global_[:, :9], seen().local[:, :9], seen().offsets)
    with pytest.raises(ValueError, match='have 9 numbers each'): concepts().predict(narrow)


def written(path, about=(), **changes):
    "A file of features with another header or other numbers, and its checksum"
    raw = path.read_bytes()
    size, = struct.unpack('<Q', raw[:8])
    header, body = json.loads(raw[8:8 + size]), bytearray(raw[8 + size:])
    header['__metadata__'] |= NO_CHECKSUM
    for name, entry in dict(about).items(): header[name] |= entry
    for name, (place, number) in changes.items():
        start = header[name]['data_offsets'][0] + place*number.itemsize
        body[start:start + number.itemsize] = number.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(text)) + text + body)
    seal(path)


LIES = {
    'type': dict(about={'local': {'dtype': 'BF16'}}),
    'shape': dict(about={'global_': {'shape': [1, 512]}}),
    'rank': dict(about={'offsets': {'shape': [3, 1]}}),
    'kind': dict(about={'__metadata__': {'kind': 'sounds'}}),
    'beyond': dict(offsets=(1, np.int64(10**9))),
    'before': dict(offsets=(0, np.int64(-3))),
    'back': dict(offsets=(1, np.int64(2**62))),
    'unfinished': dict(done=(0, np.int64(1))),
    'negative': dict(done=(0, np.int64(-1))),
    'NaN': dict(local=(7, np.float16('nan'))),
    'infinity': dict(global_=(300, np.float16('inf'))),
}


@pytest.mark.parametrize('lie', LIES)
def test_features_that_lie(lie, tmp_path):
    "A file of features is what its header says, or refused with its name."
    path = tmp_path/'f.safetensors'
    encode_sentences(clip(), TEXTS[:2], path, progress=False)
    assert len(load_features(path)) == 2
    written(path, **LIES[lie])
    with pytest.raises(ValueError, match=f'^{path}'): load_features(path)
    with pytest.raises(ValueError, match=f'^{path}'):
        encode_sentences(clip(), TEXTS[:2], path, progress=False)


def test_a_partial_file_that_lies(tmp_path):
    "An unfinished file that does not fit is written anew, and none grows when it is read."
    path = tmp_path/'f.safetensors'
    want = encode_sentences(clip(), TEXTS[:2], path, progress=False)
    local = np.array(want.local)
    del want
    partial = path.rename(tmp_path/'f.safetensors.partial')
    written(partial, {'local': {'shape': [10**6, 256]}})
    assert np.array_equal(encode_sentences(clip(), TEXTS[:2], path, progress=False).local, local)
    assert [p.name for p in tmp_path.iterdir() if p.name[0] != '.'] == ['f.safetensors']


def test_a_finished_cache_is_only_read(tmp_path):
    "A finished file needs no lock, and nothing is written beside it."
    path = tmp_path/'f.safetensors'
    encode_sentences(clip(), TEXTS[:2], path, progress=False)
    path.chmod(0o444)
    with mock.patch.object(feature_files, 'locked') as lock:
        assert len(encode_sentences(clip(), TEXTS[:2], path, progress=False)) == 2
    assert lock.call_args.args == (None,)
    assert [p.name for p in tmp_path.iterdir()] == ['f.safetensors']


def test_skipped_pictures_are_not_measured(tmp_path):
    "A picture that could not be read does not count as one without classes."
    broken = tmp_path/'broken.jpg'
    broken.write_bytes(b'no picture')
    some, labels = [*photos(), broken], [*LABELS, [0, 1]]
    with pytest.warns(UserWarning, match='Skipped'):
        store = encode_pictures(clip(), some, on_error='skip', progress=False)
    for measure in (lambda: concepts().score(store, labels),
                    lambda: TextConcepts(clip(), NAMES).fit(
                        TEXTS, val=(store, labels), progress=False)):
        with pytest.raises(ValueError, match='NaN'): measure()


def test_caches_are_small():
    "A CLIP keeps the tokens of the last few sets of classes, however many it meets."
    one = load_clip(device='cpu')
    for i in range(20): one.prompt_rows([f'thing {i}'], 2)
    assert len(one._rows) == 8
    many = [f'thing {i}' for i in range(601)]
    with torch.no_grad(): one.encode_prompts(torch.zeros(2, one.width), many)
    assert len(one._rows) == 8                              # 7 blocks of many classes fit in


# Learning

@pytest.mark.parametrize('make', [
    lambda: CoOp(clip(), NAMES, n_ctx=2, epochs=1), lambda: TipAdapter(clip(), NAMES)])
def test_a_finished_run_encodes_nothing(make, tmp_path):
    "Prompts and caches of pictures go on from a finished checkpoint without encoding again."
    def fit(pictures):
        checkpoint = tmp_path/'run.safetensors'
        return make().fit(pictures, LABELS, checkpoint=checkpoint, progress=False)
    want = fit(photos()).predict(photos(), progress=False)
    copies = [shutil.copy(path, tmp_path/path.name) for path in photos()]
    with mock.patch('taidpt.clip.encode_pictures', side_effect=AssertionError): again = fit(copies)
    assert torch.equal(again.predict(photos(), progress=False), want)
    with pytest.raises(ValueError, match='data'): fit(photos()[::-1])


def test_divergence_names_the_remedy():
    "A learning rate that is too high is an error with the remedy."
    with pytest.raises(ValueError, match='lower'):
        TaIDPT(clip(), NAMES, n_ctx=2, epochs=3, lr=1e30).fit(TEXTS, progress=False)
