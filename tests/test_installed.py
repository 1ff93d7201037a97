"""What is packaged is whole: a wheel, built from the source archive, works from an empty folder with its data."""
import shutil
import sys
import zipfile

import pytest
from conftest import ROOT, run

pytestmark = pytest.mark.xdist_group('installed')       # one process builds the wheel, once

imported = '''
import sys, taidpt
from pathlib import Path
assert Path(taidpt.__file__).is_relative_to(sys.argv[1]), taidpt.__file__
from taidpt.all import *
clip = load_clip()
h, H, mask = clip.encode_texts(clip.tokenize(['a dog on a sofa']))
labeled = NounFilter(VOC2007).label(['Two puppies near a couch.', 'Nothing at all.'])
named = [n for n, l in zip(labeled.classes.names, labeled.labels[0]) if l]
assert named == ['dog', 'sofa'] and len(labeled) == 1, named
captions = bundled_captions()
print('a caption:', next(iter(captions)))
'''


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    "The wheel, built from a source archive, built from a copy of the tree"
    here = tmp_path_factory.mktemp('build')
    tree = shutil.copytree(ROOT, here/'tree', ignore=shutil.ignore_patterns('.*', 'build', 'dist', '_build', '*.egg-info', '__pycache__', 'demo'))
    assert run(sys.executable, '-m', 'build', '--no-isolation', '--outdir', here/'dist', tree).returncode == 0
    assert len(list((here/'dist').glob('*.tar.gz'))) == 1
    return next((here/'dist').glob('*.whl'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    "A folder into which the wheel is installed; what it requires is this environment's"
    folder = tmp_path_factory.mktemp('installed')
    assert run(sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, wheel).returncode == 0
    return folder


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split('/')[0] for n in names if not n.split('/')[0].endswith('.dist-info')} == {'taidpt'}
    tracked = {p.relative_to(ROOT).as_posix() for p in (ROOT/'taidpt').rglob('*') if p.is_file() and '__pycache__' not in p.parts}
    assert tracked <= set(names)


def test_imports_from_an_empty_folder(installed, tmp_path):
    "With no data of NLTK, no network and no reference data in reach"
    done = run(sys.executable, '-c', imported, installed, cwd=tmp_path, PYTHONPATH=str(installed), NLTK_DATA=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 0 and 'a caption:' in done.stdout


@pytest.mark.parametrize('command', ['', 'demo', 'train', 'predict', 'evaluate', 'label'])
def test_command_help(installed, command, tmp_path):
    done = run(installed/'bin/taidpt', *command.split(), '--help', cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0 and 'usage: taidpt' in done.stdout
