"""Files of models and features say what they are, keep what scores depend on, and decide
nothing."""
import hashlib
import linecache
import shutil
import warnings
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from unittest import mock

import open_clip
import pytest
import torch

from factories import clip
from taidpt import model_files
from taidpt.all import (
    Attended, CoOp, Ensemble, FrozenCLIP, TaIDPT, TextConcepts, Calibration, TipAdapter,
    ZeroShotCLIP,
    encode_images, encode_texts, load_clip, load_model)
from taidpt.apps.tagging import open_model
from taidpt.datasets.labelled import bundled_photos
from taidpt.encoders import store as feature_files
from taidpt.encoders.store import FeatureStore
from taidpt.encoders.openclip import build_clip, find_clip
from taidpt.files import DATA, load_tensors, save_tensors, atomic_write
from taidpt.losses import ranking_loss
from taidpt.evaluate import own_method
from taidpt.model_files import callable_name, identity_of
from taidpt.paper.study import Study
from taidpt.predict import Model

NAMES = ['cat', 'dog']
TEXTS = ['a cat on a mat', 'a dog in the sun', 'a cat and a dog', 'a bird', 'two dogs']*3
LABELS = [[1, 0], [0, 1], [1, 1]]


@cache
def photos() -> list: return bundled_photos().images[:3]


@cache
def seen() -> FeatureStore: return encode_images(clip(), photos(), progress=False)


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
    tensors, header = load_tensors(path)
    save_tensors(path, tensors, header | {'clip': 'RN50/openai'})
    with mock.patch.object(model_files, 'load_clip', return_value=clip()) as load: load_model(path)
    assert load.call_args.args == ('RN50/openai',)
    save_tensors(path, tensors, header | {'clip': 'mine'})
    with pytest.raises(ValueError, match='which a file does not decide'): load_model(path)


class Bomb:
    "Unpickling it calls a function"
    def __reduce__(self): return pytest.fail, ('it was run',)


@pytest.mark.filterwarnings('ignore:No settings are known')
def test_weights_are_tensors(tmp_path):
    torch.save(Bomb(), tmp_path/'w.pt')
    with pytest.raises(RuntimeError, match='RN50/.*w.pt: Weights only load failed'):
        build_clip(find_clip('RN50', tmp_path/'w.pt'))


@pytest.mark.filterwarnings('ignore:No settings are known', 'ignore:RN50 has GELU')
def test_a_file_of_openai(tmp_path, monkeypatch):
    "Their own file is known by its SHA-256 under any name, and has their GELU; others do not."
    config = open_clip.get_model_config('RN50')
    config['vision_cfg'] |= {'layers': [1, 1, 1, 1], 'width': 8, 'image_size': 32}
    config['text_cfg'] |= {'width': 64, 'heads': 1, 'layers': 1}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'RN50', config)
    theirs = open_clip.create_model('RN50', force_quick_gelu=True)
    file = tmp_path/'any name'
    torch.save(theirs.state_dict(), file)       # theirs is TorchScript, which open_clip reads
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


# What a model file keeps

def test_a_file_keeps_how_images_are_prepared(tmp_path):
    "A model that is loaded by name has the scores of the saved one, or a warning says why not."
    other = load_clip(device='cpu', image_size=288, crop=False, draft=False)
    path = tmp_path/'m.safetensors'
    model = TextConcepts(other, NAMES).fit(TEXTS, progress=False)
    model.save(path)
    want = model.predict(photos(), progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for back in (load_model(path), open_model(path, 'embedded', progress=False)):
            assert torch.equal(back.predict(photos(), progress=False), want)
    with pytest.warns(UserWarning, match='image_size=288, crop=False, draft=False'):
        load_model(path, clip())


@pytest.mark.parametrize(('changes', 'says'), [
    ({'method': 'Unknown'}, 'import the class Unknown first'),
    ({'settings': {'speed': 1}}, "unexpected keyword argument 'speed'"),
])
def test_the_constructor_checks_a_file(changes, says, tmp_path):
    "Other settings than a model takes, or a class that nobody defined, are an error with the file"
    path = tmp_path/'m.safetensors'
    concepts().save(path)
    tensors, header = load_tensors(path)
    save_tensors(path, tensors, header | changes)
    with pytest.raises(ValueError, match=f'^{path}: .*{says}'): load_model(path, clip())
    with pytest.raises(ValueError, match=f'^{path}'): ZeroShotCLIP.load(path, clip())


def test_thresholds_are_for_the_classes_of_the_file(tmp_path):
    path = tmp_path/'m.safetensors'
    model = TextConcepts(clip(), NAMES).fit(TEXTS, progress=False)
    model.thresholds = Calibration(NAMES, [.1]*2, [1.]*2, [0.]*2, [9]*2, 20)
    model.save(path)
    assert load_model(path, clip()).thresholds == model.thresholds
    tensors, header = load_tensors(path)
    header['thresholds']['names'] = NAMES[::-1]
    save_tensors(path, tensors, header)
    with pytest.raises(ValueError, match='thresholds are for other classes'):
        load_model(path, clip())


@pytest.mark.parametrize(('name', 'value'), [
    ('values', [.1]), ('slopes', [1.]), ('offsets', 0.), ('positives', [9]*3),
    ('values', [.1, torch.inf]), ('slopes', [1., torch.nan]), ('offsets', [0., None]),
])
def test_calibration_has_a_number_for_each_class(name, value, tmp_path):
    path = tmp_path/'m.safetensors'
    model = TextConcepts(clip(), NAMES).fit(TEXTS, progress=False)
    model.thresholds = Calibration(NAMES, [.1]*2, [1.]*2, [0.]*2, [9]*2, 20)
    model.save(path)
    tensors, header = load_tensors(path)
    header['thresholds'][name] = value
    save_tensors(path, tensors, header)
    with pytest.raises(ValueError, match=f'^{path}: {name} must be 2 finite numbers'):
        load_model(path, clip())


@pytest.mark.parametrize('class_prior', [[.1], [.1, torch.nan]])
def test_shares_of_sentences_are_of_each_class(class_prior, tmp_path):
    path = tmp_path/'m.safetensors'
    concepts().save(path)
    tensors, header = load_tensors(path)
    save_tensors(path, tensors, header | {'class_prior': class_prior})
    with pytest.raises(ValueError, match=f'^{path}: class_prior must be 2 finite numbers'):
        load_model(path, clip())


class Given(Model):
    "Class embeddings that somebody computed; a file has them as G and L"
    def embeddings(self): return torch.ones(2, self.clip.dim), torch.ones(2, self.clip.dim)


@pytest.mark.parametrize(('make', 'name', 'rows'), [
    (concepts, 'vectors', slice(1)),
    (lambda: Attended(concepts(), TEXTS), '0.vectors', slice(1)),
    (lambda: Given(clip(), NAMES), 'G', slice(1)),
    (lambda: Given(clip(), NAMES), 'L', slice(1)),
    (lambda: TipAdapter(clip(), NAMES).fit(seen(), LABELS, progress=False), 'values',
     (slice(None), slice(1))),
    (lambda: CoOp(clip(), NAMES, n_ctx=2, epochs=1, class_specific=True).fit(
        seen(), LABELS, progress=False), 'ctx_global', slice(1)),
])
def test_tensors_of_a_file_have_all_classes(make, name, rows, tmp_path):
    path = tmp_path/'m.safetensors'
    make().save(path)
    tensors, header = load_tensors(path)
    save_tensors(path, tensors | {name: tensors[name][rows]}, header)
    with pytest.raises(ValueError, match=f'^{path}: ') as error: load_model(path, clip())
    assert name.removeprefix('0.') in str(error.value)


def mine(scores, labels): return -scores[labels].mean()


class WithFile(TaIDPT):
    "A loss and an argument of its own, the others of TaIDPT behind **"
    def __init__(self, clip, classes, loss=mine, table=Path('x'), **others):
        super().__init__(clip, classes, loss=loss, **others)
        self.table = table


def test_a_class_of_ones_own_is_loaded(tmp_path):
    "From inside a wrapper, too; a function that is its default comes back with it."
    path = tmp_path/'m.safetensors'
    model = WithFile(clip(), NAMES, table=Path('mine.csv'), n_ctx=2, epochs=1)
    around = Attended(model.fit(TEXTS, progress=False), TEXTS)
    around.save(path)
    back = load_model(path, clip())
    model = back.model
    assert (model.n_ctx, model.table, model.loss) == (2, 'mine.csv', mine)
    assert torch.equal(back.predict(seen()), around.predict(seen()))


def test_two_writers_of_one_file(tmp_path):
    "Also in threads, and in containers whose processes have one number; anyone may read the file"
    path = tmp_path/'a.txt'
    plain = tmp_path/'plain.txt'
    plain.touch()
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text('one')
        second.write_text('other')
    assert path.read_text() == 'one'
    assert path.stat().st_mode == plain.stat().st_mode
    assert sorted(tmp_path.iterdir()) == [path, plain]


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
    'attention': lambda store: Attended(concepts(), store).predict(seen()),
    'features': lambda store: TextConcepts(clip(), NAMES).fit(
        TEXTS, features=store, progress=False
    ),
}


@pytest.mark.parametrize('door', DOORS)
def test_stores_that_say_half(door):
    "A store that says only part of what it holds, or another thing, is refused at every door."
    stores = [
        replace(seen(), weights=''), replace(seen(), weights='another'),
        replace(seen(), preparation='another'), replace(seen(), kind=''),
        replace(seen(), form='another')]
    for store in stores:
        with pytest.raises(ValueError): DOORS[door](store)


def stopping(method, after: int):
    "A method that stops the program at a call"
    calls = []
    def then_stop(*args, **kwargs):
        calls.append(1)
        if len(calls) > after: raise KeyboardInterrupt
        return method(*args, **kwargs)
    return then_stop


def equal(one: FeatureStore, other: FeatureStore) -> bool:
    names = 'global_', 'local', 'offsets'
    return all(torch.equal(*(getattr(s.to('cpu'), n) for s in (one, other))) for n in names)


def test_stopped_encoding_goes_on(tmp_path, monkeypatch):
    "The same bits as without a stop, from disk too; what is there is not encoded again."
    monkeypatch.setattr('taidpt.encode.stored_features', partial_sizes)
    images = photos()*3
    for encode, items, method, calls in (
            (encode_texts, TEXTS, 'encode_text', 4),
            (encode_images, images, 'encode_maps', 3)):
        path = tmp_path/encode.__name__
        frozen = FrozenCLIP(clip().model, clip().tokenizer, clip().preprocess)
        with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
            m.setattr(frozen, method, stopping(getattr(frozen, method), 1))
            encode(frozen, items, path, progress=False)
        assert len(list(path.glob('*.safetensors'))) == 1
        with pytest.raises(ValueError, match='was stopped'): FeatureStore.load(path)
        with monkeypatch.context() as m:
            m.setattr(frozen, method, stopping(getattr(frozen, method), calls - 1))
            store = encode(frozen, items, path, progress=False)
            assert equal(store, encode(frozen, items, path, progress=False))
        assert equal(store, encode(frozen, items, progress=False))
        assert equal(store, FeatureStore.load(path))
        assert equal(store.take([5, 0]), encode(frozen, items, progress=False).take([5, 0]))


def partial_sizes(path, recipe, items, size, *args):
    "Features in parts of four items"
    return feature_files.stored_features(path, recipe, items, 4, *args)


def test_parts_of_another_run(tmp_path):
    "Parts that were made of others are made again, and never read with those of another run."
    encode_images(clip(), photos(), tmp_path, progress=False)
    other = encode_images(clip(), photos()[::-1], tmp_path, progress=False)
    assert equal(other, seen().take([2, 1, 0]))
    (tmp_path/'000000000.safetensors').rename(tmp_path/'000000003.safetensors')
    encode_images(clip(), photos(), tmp_path, pos_embed=(False, True), progress=False)
    with pytest.raises(ValueError, match='several runs'): FeatureStore.load(tmp_path)


def test_a_stopped_second_run(tmp_path, monkeypatch):
    "Its parts are not joined with those of the first, even of as many sentences by the same CLIP."
    monkeypatch.setattr('taidpt.encode.stored_features', partial_sizes)
    encode_texts(clip(), TEXTS, tmp_path, progress=False)
    frozen = FrozenCLIP(clip().model, clip().tokenizer, clip().preprocess)
    monkeypatch.setattr(frozen, 'encode_text', stopping(frozen.encode_text, 1))
    with pytest.raises(KeyboardInterrupt):
        encode_texts(frozen, TEXTS[::-1], tmp_path, progress=False)
    with pytest.raises(ValueError, match='several runs'): FeatureStore.load(tmp_path)


def test_what_a_kill_leaves_is_no_part(tmp_path):
    encode_images(clip(), photos(), tmp_path, progress=False)
    with atomic_write(tmp_path/'000000003.safetensors') as part:
        part.write_bytes(b'half')                       # and here it is killed
        assert equal(FeatureStore.load(tmp_path), seen())


def test_sentences_in_order(tmp_path):
    "Features of other sentences, or in another order, are refused, also from disk."
    encode_texts(clip(), TEXTS[:3], tmp_path, progress=False)
    store = FeatureStore.load(tmp_path)
    store.check_sentences(TEXTS[:3])
    for texts in TEXTS[1::-1] + TEXTS[2:3], TEXTS[:2] + ['a']:
        with pytest.raises(ValueError, match='are not those of'): store.check_sentences(texts)


def test_skipped_images_are_not_measured(tmp_path):
    "An image that could not be read does not count as one without classes."
    broken = tmp_path/'broken.jpg'
    broken.write_bytes(b'no image')
    images, labels = [*photos(), broken], [*LABELS, [0, 1]]
    with pytest.warns(UserWarning, match='Skipped'):
        store = encode_images(clip(), images, on_error='skip', progress=False)
    for measure in (lambda: concepts().score(store, labels),
                    lambda: TextConcepts(clip(), NAMES).fit(
                        TEXTS, val=(store, labels), progress=False)):
        with pytest.raises(ValueError, match='NaN'): measure()


# Learning

@pytest.mark.parametrize('make', [
    lambda: CoOp(clip(), NAMES, n_ctx=2, epochs=1), lambda: TipAdapter(clip(), NAMES)])
def test_a_finished_run_encodes_nothing(make, tmp_path):
    "Prompts and caches of images go on from a finished checkpoint without encoding again."
    def fit(images):
        checkpoint = tmp_path/'run.safetensors'
        return make().fit(images, LABELS, checkpoint=checkpoint, progress=False)
    want = fit(photos()).predict(photos(), progress=False)
    with mock.patch('taidpt.encode.encode_images', side_effect=AssertionError):
        again = fit(photos())
    assert torch.equal(again.predict(photos(), progress=False), want)
    with pytest.raises(ValueError, match='data'): fit(photos()[::-1])


# Classes with the same name

def method(module: str, name: str = 'Mine', base: type = TextConcepts) -> type:
    "A class of models as a module defines it"
    return type(base)(name, (base,), {'__module__': module})


@pytest.fixture
def kinds(monkeypatch):
    "The names of classes, which are afterwards as before"
    monkeypatch.setattr('taidpt.model_files._OTHERS', known := {})
    return known


def test_a_strangers_class_takes_over_no_file_of_ours(kinds, tmp_path):
    "Its own files are read by its own `load`."
    path = tmp_path/'m.safetensors'
    concepts().save(path)
    with pytest.warns(UserWarning, match='two classes of models are called TextConcepts'):
        stranger = method('theirs', 'TextConcepts')
    assert type(load_model(path, clip())) is TextConcepts
    assert type(stranger.load(path, clip())) is stranger


def test_the_newest_definition_of_a_class_is_read(kinds, tmp_path):
    "In a notebook without a warning"
    path = tmp_path/'m.safetensors'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        first, again = method('__main__'), method('__main__')
    first(clip(), NAMES).fit(TEXTS, progress=False).save(path)
    assert type(load_model(path, clip())) is again
    with pytest.warns(UserWarning, match='Mine, of __main__ and of other'):
        other = method('other')
    assert type(load_model(path, clip())) is other
    assert type(again.load(path, clip())) is again


# Functions among the parameters of a run

def prompts(**settings) -> TaIDPT:
    return TaIDPT(clip(), NAMES, n_ctx=2, epochs=1, templates=False, **settings)


def adagrad(parameters, recipe, eps): return torch.optim.Adagrad(parameters, recipe.lr, eps=eps)


@pytest.mark.parametrize('name, function, other', [
    ('loss', partial(ranking_loss, margin=.1), partial(ranking_loss, margin=9)),
    ('loss', mine, ranking_loss),
    ('optimizer', partial(adagrad, eps=.1), partial(adagrad, eps=.2))])
def test_runs_with_other_functions(name, function, other, tmp_path):
    "A checkpoint, and scores that a study keeps, belong to the function and its arguments"
    path = tmp_path/'run.safetensors'
    model, another = (prompts(**{name: f}) for f in (function, other))
    model.fit(TEXTS, checkpoint=path, progress=False).save(tmp_path/'m.safetensors')
    with pytest.raises(ValueError, match=f'of another run; what differs: {name}'):
        another.fit(TEXTS, checkpoint=path, progress=False)
    study = Study(clip(), tmp_path)
    one, two = (study.file_of('scores', m, 'data')[0] for m in (model, another))
    assert one != two


def loss_of(path: Path, sign: str):
    "A loss from a file that is written anew"
    path.write_text(f'def loss(scores, labels): return {sign}scores[labels].mean()')
    return own_method(f'{path}:loss')


def test_a_checkpoint_is_of_one_source(tmp_path):
    "A function that keeps its name, and changes, does not go on where the one before it was"
    path = tmp_path/'run.safetensors'
    for sign in '-', '-':
        loss = loss_of(tmp_path/'losses.py', sign)
        prompts(loss=loss).fit(TEXTS, checkpoint=path, progress=False)
    loss = loss_of(tmp_path/'losses.py', '')
    with pytest.raises(ValueError, match=r'what differs: losses.py \('):
        prompts(loss=loss).fit(TEXTS, checkpoint=path, progress=False)


def in_a_cell(text: str):
    "The loss that a cell of a notebook defines"
    name = f'<cell {hash(text)}>'
    linecache.cache[name] = len(text), None, [text], name
    scope = {'__name__': 'notebook'}
    exec(compile(text, name, 'exec'), scope)
    return scope['loss']


def test_a_cell_is_enough_for_a_checkpoint(tmp_path):
    "And not for the scores that a study stores: other cells may change"
    path = tmp_path/'run.safetensors'
    first, changed = (in_a_cell(f'def loss(s, y): return {sign}s[y].mean()') for sign in ('-', ''))
    for _ in range(2): prompts(loss=first).fit(TEXTS, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match=r'what differs: notebook.loss \('):
        prompts(loss=changed).fit(TEXTS, checkpoint=path, progress=False)
    with pytest.warns(match='nothing tells loss=notebook.loss .* scores are not stored'):
        stored, _ = Study(clip(), tmp_path).file_of('scores', prompts(loss=first), 'data')
    assert stored is None


def test_code_without_a_source(tmp_path):
    "Nothing could tell it from another: it learns without a checkpoint, and no study keeps it."
    def local(scores, labels): return -scores[labels].mean()
    scope = {'__name__': 'typed'}
    exec('def typed(scores, labels): return -scores[labels].mean()', scope)
    path = tmp_path/'run.safetensors'
    bce = torch.nn.BCEWithLogitsLoss()
    for loss in (local, partial(local), scope['typed'], lambda s, y: -s.mean(),
                 lambda s, y: bce(s, y.float())):
        model = prompts(loss=loss)
        with pytest.raises(ValueError, match='nothing tells loss='):
            model.fit(TEXTS, checkpoint=path, progress=False)
        assert not model.is_fitted() and not path.exists()
        with pytest.warns(match='scores are not stored'):
            assert Study(clip(), tmp_path).file_of('scores', model, 'data')[0] is None
        model.fit(TEXTS, progress=False).save(tmp_path/'m.safetensors')
    assert '<BCEWithLogitsLoss object>' in callable_name(partial(mine, bce))


def test_a_matrix_among_the_settings():
    "A header has no room for its numbers, and the run depends on them"
    ones = torch.ones(2, clip().dim)
    first, again, other = (identity_of(prompts(init=init)) for init in (ones, ones + 0, -ones))
    assert first == again != other


@pytest.mark.parametrize('make, name', [
    (lambda: prompts(class_specific=True), 'ctx_global'),
    (lambda: TextConcepts(clip(), NAMES), 'vectors')])
@pytest.mark.parametrize('spoil', [lambda t: t*torch.nan, lambda t: t[:1]])
def test_a_spoilt_checkpoint(make, name, spoil, tmp_path):
    "NaN, or vectors of some of the classes, is no finished run"
    path = tmp_path/'run.safetensors'
    make().fit(TEXTS, checkpoint=path, progress=False)
    tensors, header = load_tensors(path)
    save_tensors(path, tensors | {name: spoil(tensors[name])}, header)
    with pytest.raises(ValueError, match=f'(?s)^{path}: .*{name}'):
        make().fit(TEXTS, checkpoint=path, progress=False)


def test_a_checkpoint_of_another_version(tmp_path):
    "Or of one that did not say its version: half of a run by each would be neither"
    path = tmp_path/'run.safetensors'
    prompts().fit(TEXTS, checkpoint=path, progress=False)
    tensors, header = load_tensors(path)
    del header['version']
    for version in {}, {'version': '0.0.1'}:
        save_tensors(path, tensors, header | version)
        with pytest.raises(ValueError, match=r'differs: version \(.*Name another file'):
            prompts().fit(TEXTS, checkpoint=path, progress=False)
        assert load_model(path, clip()).is_fitted()
