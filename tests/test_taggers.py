"""One-file taggers: what is read of a file, what they say to odd images, and no PyTorch."""
import json
import math
import os
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT, run
from factories import clip, image, small_clip, tagger
from onnx import helper
from packaging.requirements import Requirement

from taidpt.apps.cli import main
from taidpt.apps.onnx import Tagger, export_page, export_tagger
from taidpt.apps.tagging import open_model
from taidpt.baselines.concepts import TextConcepts
from taidpt.classes import ClassSet
from taidpt.datasets.labelled import bundled_photos
from taidpt.encoders.openvino import OpenVINOTower, tracing
from taidpt.wrappers import Centred, Tiled
from taidpt.zeroshot import ZeroShotCLIP


@pytest.fixture(scope='module')
def file(tmp_path_factory) -> Path:
    "A tagger of two classes"
    path = tmp_path_factory.mktemp('tagger')/'a.onnx'
    path.write_bytes(tagger())
    return path


@pytest.fixture(scope='module')
def ready(file) -> Tagger: return Tagger(file, threads=1)


@pytest.fixture
def page(tmp_path) -> Path:
    "A page with one set of classes"
    export_page({'mine': zero_shot()}, tmp_path/'page')
    return tmp_path/'page'


# What is read of a file

def with_words(**words) -> bytes:
    "A tagger that says something else"
    model = onnx.load_from_string(tagger())
    metadata = json.loads(model.metadata_props[0].value)
    helper.set_model_props(model, {'taidpt': json.dumps(metadata | words)})
    return model.SerializeToString()


def pixels(**words) -> dict:
    "How images are prepared, with something else"
    usual = dict(size=[8, 8], crop=True, filter='BICUBIC', mean=[.5]*3, std=[.5]*3)
    return usual | words


def curves(**words) -> dict:
    "The calibration of a tagger, with something else"
    usual = dict(names=['cat', 'dog'], values=[.1, .2], slopes=[1., 1.], offsets=[0., 0.],
                 positives=[9, 9], images=20)
    return usual | words


WORDS = {
    'classes': [None, ['cat'], ['cat', 'dog', 'axolotl']],
    'thresholds': [None, .1, [.1], [math.inf, 0], [.1, math.nan], [.1, .2, .3], ['a', 'b']],
    'calibration': [
        7, ['cat'], curves(slopes=[1.]), curves(offsets=[0, math.nan]), curves(values=.1),
        curves(names=['cat'], values=[.1], slopes=[1.], offsets=[0.], positives=[9])],
    'pixels': [None, {}, {'size': [8, 8]}, pixels(mean=[.5]), pixels(std=[.5, .5, math.nan])],
}


@pytest.mark.parametrize('name', WORDS)
def test_words_are_checked(name, tmp_path):
    path = tmp_path/'a.onnx'
    for value in WORDS[name]:
        path.write_bytes(with_words(**{name: value}))
        with pytest.raises(ValueError, match='a.onnx: no tagger'): Tagger(path)
    path.write_bytes(with_words(calibration=curves(), pixels=pixels()))
    assert Tagger(path).thresholds.images == 20


@pytest.mark.parametrize('length', [b'\x08', b'\x88\x00'], ids=['short', 'long'])
def test_a_tagger_opens_no_other_file(length, tmp_path, monkeypatch):
    "Weights beside it, which ONNX Runtime would take; protobuf writes a length in several ways"
    import onnxruntime
    model = onnx.load_from_string(tagger())
    weights = model.graph.initializer[0]
    (tmp_path/'w.bin').write_bytes(weights.raw_data)
    weights.ClearField('raw_data')
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key='location', value='w.bin')
    path = tmp_path/'a.onnx'
    content = model.SerializeToString()
    path.write_bytes(content.replace(b'\x08location', length + b'location'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', None)              # none is made
    with pytest.raises(ValueError, match='a.onnx.*in another file'): Tagger(path)


@pytest.mark.parametrize('content', [b'', b'ORTM' * 9, image('PNG'), tagger()[:-40]])
def test_other_files_are_named(content, tmp_path):
    path = tmp_path/'a.onnx'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='a.onnx: no tagger'): Tagger(path)


@pytest.mark.parametrize('probability', [0, 1, -.5, 1.5, math.nan, math.inf])
def test_a_probability_lies_between_0_and_1(probability, tmp_path, capsys):
    "In Python, by the command, and of a model in PyTorch, whose curves are the same"
    path, photo = tmp_path/'a.onnx', tmp_path/'a.png'
    path.write_bytes(with_words(calibration=curves()))
    photo.write_bytes(image('PNG'))
    tagger = Tagger(path)
    for ask in (lambda: tagger.tags(photo, probability=probability),
                lambda: tagger.curves()[0].at(probability)):
        with pytest.raises(ValueError, match='between 0 and 1, both excluded, not'): ask()
    assert main(['tag', path, photo, '--probability', probability]) == 1
    assert 'error: a probability lies between 0 and 1' in capsys.readouterr().err


# Who shares it

def test_threads_share_a_tagger(ready):
    images = [np.full((8, 8, 3), grey, np.uint8) for grey in range(0, 250, 5)]
    with ThreadPoolExecutor(8) as pool: scores = list(pool.map(ready.predict, images))
    assert np.allclose(np.concatenate(scores), ready.predict(images))


# Tiles

def test_tiles_of_a_tagger_are_those_of_its_model(tmp_path, capsys, monkeypatch):
    "In Python and by the command, with a table, and measured; of one branch, as a file fuses them"
    monkeypatch.chdir(tmp_path)
    photos = bundled_photos(['person', 'bus', 'bicycle'])[:3]
    monkeypatch.setattr('taidpt.predict.reference_photos', lambda: photos.images)
    texts = ['a person', 'two persons', 'a person walks', 'a bus', 'a bicycle', 'a tree']
    concepts = TextConcepts(clip(), photos.classes, local=False).fit(texts, progress=False)
    model = Centred(concepts)
    model.save('m.safetensors')
    export_tagger(model, 'm.onnx')
    tiled, ours = Tiled(open_model('m.onnx'), 2), Tiled(model, 2)
    wanted = ours.predict(photos.images, progress=False)
    assert np.allclose(tiled.predict(photos.images, progress=False), wanted, atol=1e-4)
    assert np.allclose(tiled.rule().limits, ours.rule().limits, atol=1e-4)
    assert repr(tiled) == 'Tiled(m.onnx: 3 classes, 2)'

    printed = []
    for name in 'm.safetensors', 'm.onnx':
        assert main(['tag', name, *photos.images, '--tiles', 2]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    table = ['tag', 'm.onnx', *photos.images, '--tiles', 2, '--out', 'tags.csv']
    for new in 3, 0:                                    # the second time none is scored again
        assert main(table) == 0
        assert f'rows: {new} new' in capsys.readouterr().out
    lines = ['image\tlabels', *(f'{photo.name}\tperson' for photo in photos.images)]
    Path('labels.tsv').write_text('\n'.join(lines))
    folder = photos.images[0].parent
    measure = ['evaluate', 'm.onnx', '--tiles', 2, '--labels', 'labels.tsv', '--images', folder]
    assert main(measure) == 0
    assert 'm.onnx with tiles' in capsys.readouterr().out


# A page

def zero_shot() -> ZeroShotCLIP: return ZeroShotCLIP(small_clip(), ['cat', 'dog'])


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_a_page_stays_in_its_folder(tmp_path, capsys):
    "Whatever the class set of somebody's file is called"
    path, page = tmp_path/'stranger.safetensors', tmp_path/'a'/'b'/'site'
    ZeroShotCLIP(clip(), ClassSet('../../elsewhere', ['cat', 'dog'])).save(path)
    assert main(['export', path, '--page', page]) == 0
    assert {p.parent for p in tmp_path.rglob('*') if p.is_file()} == {tmp_path, page}
    page_json = json.loads((page/'page.json').read_text())
    assert (page/page_json['classes']['../../elsewhere']).exists()


def test_sets_of_a_page_have_graphs_of_their_own(tmp_path):
    names = ['clip-tower', 'a/b', 'a-b', 'A/B']
    export_page({name: zero_shot() for name in names}, tmp_path)
    page_json = json.loads((tmp_path/'page.json').read_text())
    assert list(page_json['classes']) == names
    graphs = {file for file in content(tmp_path) if file.endswith('.onnx')}
    named = {'clip-tower.onnx', *page_json['classes'].values()}
    assert graphs == named == page_json['bytes'].keys()
    assert len({name.casefold() for name in graphs}) == 5
    inputs = onnx.load(tmp_path/'clip-tower.onnx').graph.input
    assert [its.name for its in inputs] == ['pixels']


@pytest.mark.skipif(sys.platform == 'win32', reason='needs limits of a process')
def test_a_full_disk_leaves_a_page_as_it_was(page):
    import resource
    before = content(page)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError): export_page({'other': zero_shot()}, page)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(page) == before


def test_a_page_replaces_no_file_of_yours(tmp_path, page):
    "But it may stand beside it, and a page is written again over itself"
    (tmp_path/'notes.txt').write_text('mine')
    (tmp_path/'index.html').write_text('mine')
    before = content(tmp_path)
    with pytest.raises(ValueError, match='an own index.html: name another folder'):
        export_page({'mine': zero_shot()}, tmp_path)
    assert content(tmp_path) == before
    (page/'notes.txt').write_text('mine')
    export_page({'other': zero_shot()}, page)
    assert list(json.loads((page/'page.json').read_text())['classes']) == ['other']
    assert (page/'notes.txt').read_text() == 'mine'


# What it says to odd images

def test_odd_images_are_skipped(ready, tmp_path):
    "Whatever they are; the others get tags"
    torn = tmp_path/'torn.png'
    torn.write_bytes(image('PNG')[:60])
    odd = [
        None, 7, b'%!PS', torn, tmp_path/'none.jpg', np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 2, 3)), np.array(None)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        tags = ready.tags([*odd, image('PNG')], on_error='skip')
    assert [len(of_image) for of_image in tags] == [0]*len(odd) + [2]


# What tracing says

def test_tracing_hides_only_what_is_expected(tmp_path):
    "Other warnings are heard, and the embedded CLIP's graphs give none"
    for kind in UserWarning, DeprecationWarning:
        with pytest.warns(kind, match='something else'), tracing():
            warnings.warn('something else', kind, stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        export_page({'mine': ZeroShotCLIP(clip(), ['cat', 'dog'])}, tmp_path, words=True)
        if find_spec('openvino'): OpenVINOTower(clip().model.visual)


# Where PyTorch is not installed

HOME = 'git+https://github.com/taidpt/taidpt'


def with_what_they_need(names: list[str]) -> set[str]:
    "Packages and those that they require"
    packages, new = set(), set(names)
    while new:
        packages |= new
        lines = [line for name in new for line in distribution(name).requires or ()]
        needs = [Requirement(line) for line in lines]
        new = {r.name for r in needs if not r.marker or r.marker.evaluate({'extra': ''})} - packages
    return packages


@pytest.fixture(scope='module')
def bare(tmp_path_factory) -> Path:
    "A folder with the package, and what the page about small installs names"
    page = (ROOT/'nbs/tutorials/serve.ipynb').read_text(encoding='utf-8')
    named = re.search(r'\$ pip install ([\w ]+)\\n', page)[1].split()
    folder = tmp_path_factory.mktemp('bare')
    (folder/'taidpt').symlink_to(ROOT/'taidpt')
    for name in with_what_they_need(named):
        its = distribution(name)
        for top in {file.parts[0] for file in its.files} - {'..'}:
            if not (folder/top).exists(): (folder/top).symlink_to(its.locate_file(top))
    return folder


@pytest.mark.skipif(os.name == 'nt', reason='makes links, which take a right there')
def test_a_tagger_without_pytorch(file, bare, tmp_path):
    "In Python and by the command; what needs PyTorch says what to install, on one line"
    photo = ROOT/'taidpt/data/coco_demo/images/000000011149.jpg'

    def python(code, *words):
        return run(sys.executable, '-S', '-c', code, *words, cwd=tmp_path, PYTHONPATH=str(bare))

    def taidpt(*words):
        return python('import sys; from taidpt.apps.cli import main; sys.exit(main())', *words)

    look = 'import sys; from taidpt.apps.onnx import Tagger; t = Tagger(sys.argv[1]); '
    done = python(look + 'print(len(t.tags(sys.argv[2])[0]))', file, photo)
    assert (done.returncode, done.stdout) == (0, '2\n')
    assert 'torch not installed' in taidpt('--version').stdout
    assert taidpt('--help').returncode == 0
    assert taidpt('tag', file, photo, '--out', 'tags.csv').returncode == 0
    assert (tmp_path/'tags.csv').exists()
    (tmp_path/'labels.tsv').write_text(f'image\tlabels\n{photo}\tcat\n')
    lines = [
        ['train', '--classes', 'cat,dog', '--out', 'x.safetensors'],
        ['evaluate', file, '--labels', 'labels.tsv'],
        ['tag', 'x.safetensors', photo], ['tag', 'cat,dog', photo],
        ['export', 'cat,dog', '--out', 'x.onnx'], ['demo'],
    ]
    for words in lines:
        done = taidpt('-q', *words)
        assert done.returncode == 1
        [line] = done.stdout.splitlines()
        assert line.endswith(f"error: No module named 'torch': pip install \"taidpt @ {HOME}\"")


@pytest.mark.parametrize(('module', 'name', 'extra'), [
    ('safetensors', 'a.safetensors', ''), ('onnxruntime', 'a.onnx', '[onnx]')])
def test_what_is_missing_is_said(module, name, extra, capsys, monkeypatch):
    "On one line, with what to type"
    monkeypatch.setitem(sys.modules, module, None)
    assert main(['tag', name, ROOT/'taidpt/data/coco_demo/images/000000011149.jpg']) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert module in line and line.endswith(f': pip install "taidpt{extra} @ {HOME}"')


@pytest.mark.parametrize('missing', ['jupyter_core', 'nbformat', 'voila'])
def test_what_the_explorer_needs_is_said(missing, capsys, monkeypatch):
    import taidpt.apps.explorer

    class Finder:
        def find_spec(self, name, *_):
            if name == missing: raise ModuleNotFoundError(f'No module named {name!r}', name=name)

    for name in [*sys.modules]:
        if name.split('.')[0] == missing: monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'meta_path', [Finder(), *sys.meta_path])
    monkeypatch.setattr(taidpt.apps.explorer, 'socket', None)       # so that nothing is served
    assert main(['app', '--no-browser']) == 1
    assert capsys.readouterr().err.endswith(f': pip install "taidpt[app] @ {HOME}"\n')
