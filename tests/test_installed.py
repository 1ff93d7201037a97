"""What is packaged is whole: a wheel, built from the source archive, works in an empty folder."""
import re
import shutil
import sys
import zipfile
from pathlib import Path

from conftest import ROOT, run

PROGRAM = '''
import sys, taidpt
from pathlib import Path
assert Path(taidpt.__file__).is_relative_to(sys.argv[1]), taidpt.__file__
from taidpt.all import *
clip = load_clip()
h, H, mask = clip.encode_text(clip.tokenize(['a dog on a sofa']))
labeled = NounFilter(VOC2007).label(['Two puppies near a couch.', 'Nothing at all.'])
named = [n for n, l in zip(labeled.classes.names, labeled.labels[0]) if l]
assert named == ['dog', 'sofa'] and len(labeled) == 1, named
print('a caption:', next(iter(bundled_captions())))
'''
LEFT_OUT = shutil.ignore_patterns('.*', 'build', 'dist', '_build', '*.egg-info', '__pycache__')


def build_wheel(tmp_path: Path) -> Path:
    "A source archive, and from that a wheel"
    tree = shutil.copytree(ROOT, tmp_path/'tree', ignore=LEFT_OUT)
    dist = tmp_path/'dist'
    done = run(sys.executable, '-m', 'build', '--no-isolation', '--outdir', dist, tree)
    assert done.returncode == 0
    [wheel] = dist.glob('*.whl')
    return wheel


def package_files() -> set[str]:
    "The files of the package, as they are to be in the wheel"
    paths = [path for path in (ROOT/'taidpt').rglob('*') if '__pycache__' not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in paths if path.is_file()}


def check_content(wheel: Path):
    "It holds the package with all its data and its licences, and nothing else"
    archive = zipfile.ZipFile(wheel)
    names = set(archive.namelist())
    dist_info = {name.split('.dist-info/')[1]: name for name in names if '.dist-info/' in name}
    folders = {name.split('/')[0] for name in names - set(dist_info.values())}
    assert folders == {'taidpt'}
    missing = sorted(package_files() - names)
    assert not missing, f'not in the wheel: {missing}'
    assert dist_info.keys() >= {'licenses/LICENSE', 'licenses/LICENSES.md'}
    metadata = archive.read(dist_info['METADATA']).decode()
    relative = re.search(r'(?:\]\(|src="|srcset=")(?!https?:|#)', metadata)
    assert not relative, 'PyPI shows the README elsewhere: its links must be whole'


def install(wheel: Path, folder: Path):
    "Install a wheel by itself: what it requires is this environment's"
    alone = ['--quiet', '--no-deps', '--no-compile', '--target', folder]
    done = run(sys.executable, '-m', 'pip', 'install', *alone, wheel)
    assert done.returncode == 0


def test_wheel(tmp_path):
    "In one test, so that the wheel is built once, in whatever process"
    wheel = build_wheel(tmp_path)
    check_content(wheel)
    installed = tmp_path/'installed'
    install(wheel, installed)

    # it works without network and NLTK's data
    empty = tmp_path/'empty'
    empty.mkdir()
    env = dict(PYTHONPATH=str(installed), NLTK_DATA=str(empty), HOME=str(empty))
    done = run(sys.executable, '-c', PROGRAM, installed, cwd=empty, **env)
    assert done.returncode == 0
    assert 'a caption:' in done.stdout

    # and so does its command
    explain = ['label', '--classes', 'cat,dog', '--explain', 'a puppy']
    done = run(installed/'bin/taidpt', *explain, cwd=empty, **env)
    assert done.returncode == 0
    assert "'puppy' -> dog" in done.stdout
