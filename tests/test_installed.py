"""What is packaged is whole: a wheel, built from the source archive, works from an empty folder."""
import re
import shutil
import sys
import zipfile

from conftest import ROOT, run

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
print('a caption:', next(iter(bundled_captions())))
'''


def test_wheel(tmp_path):
    "In one test, so that the wheel is built once, in whatever process"
    left_out = shutil.ignore_patterns('.*', 'build', 'dist', '_build', '*.egg-info', '__pycache__')
    tree = shutil.copytree(ROOT, tmp_path/'tree', ignore=left_out)
    dist, installed, empty = tmp_path/'dist', tmp_path/'installed', tmp_path/'empty'
    empty.mkdir()

    # a source archive, and from that a wheel
    assert run(sys.executable, '-m', 'build', '--no-isolation', '--outdir', dist, tree).returncode == 0
    wheel, = dist.glob('*.whl')

    # it holds the package with all its data, and nothing else
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split('/')[0] for n in names if '.dist-info/' not in n} == {'taidpt'}
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT/'taidpt').rglob('*')
            if p.is_file() and '__pycache__' not in p.parts}
    assert ours <= set(names), f'not in the wheel: {sorted(ours - set(names))}'
    assert {n.split('.dist-info/')[1] for n in names if '.dist-info/' in n} >= {'licenses/LICENSE', 'licenses/LICENSES.md'}
    metadata = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith('.dist-info/METADATA'))).decode()
    assert not re.search(r'(?:\]\(|src="|srcset=")(?!https?:|#)', metadata), 'PyPI shows the README elsewhere: its links must be whole'

    # installed by itself (what it requires is this environment's), it works without network and NLTK's data
    assert run(sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-compile', '--target', installed, wheel).returncode == 0
    env = dict(cwd=empty, PYTHONPATH=str(installed), NLTK_DATA=str(empty), HOME=str(empty))
    done = run(sys.executable, '-c', imported, installed, **env)
    assert done.returncode == 0 and 'a caption:' in done.stdout

    # and so does its command
    done = run(installed/'bin/taidpt', 'label', '--classes', 'cat,dog', '--explain', 'a puppy', **env)
    assert done.returncode == 0 and "'puppy' -> dog" in done.stdout
