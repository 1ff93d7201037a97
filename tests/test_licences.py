"""Whatever is data in this repository stands in LICENSES.md with its source and licence."""
import json
import re
from fnmatch import fnmatch

from conftest import ROOT

FOLDERS = ['taidpt/data', 'docs/images', 'docs/_static', 'nbs/tutorials/images', 'tests/golden']


def entries() -> dict[str, tuple[str, str]]:
    "Pattern of files -> what it is, licence"
    rows = re.findall(r'^\| (`.*?) \| (.+) \| (.+) \|$', (ROOT/'LICENSES.md').read_text(encoding='utf-8'), re.MULTILINE)
    return {pattern: (what, licence) for files, what, licence in rows for pattern in re.findall('`(.+?)`', files)}


def files() -> list[str]:
    return [p.relative_to(ROOT).as_posix() for folder in FOLDERS for p in sorted((ROOT/folder).rglob('*'))
            if p.is_file() and not {'__pycache__', '.ipynb_checkpoints'} & set(p.parts)]


def test_each_file_has_an_entry():
    missing = [f for f in files() if not any(fnmatch(f, pattern) for pattern in entries())]
    assert not missing, f'not in LICENSES.md: {missing}'


def test_each_entry_has_files():
    known = files()
    stale = [pattern for pattern in entries() if not any(fnmatch(f, pattern) for f in known) and pattern != 'nbs/']
    assert entries() and not stale, f'LICENSES.md names what is not there: {stale}'
    for pattern, (what, licence) in entries().items():
        assert re.search('Apache 2.0|MIT|CC BY|WordNet 3.0 licence', licence), f'{pattern}: {licence}'


def test_images_stand_in_these_folders():
    "A picture elsewhere would need an entry, too"
    endings = {'.jpg', '.jpeg', '.png', '.gif', '.svg', '.npz', '.safetensors', '.zip', '.gz', '.ttf', '.woff', '.woff2', '.js', '.css'}
    places = [ROOT/name for name in ('taidpt', 'nbs', 'docs', 'tests', 'benchmarks')]
    found = {p.relative_to(ROOT).as_posix() for place in places for p in place.rglob('*') if p.suffix in endings and p.is_file()}
    made = {f for f in found if re.search(r'(^|/)(_build|artifacts|\.ipynb_checkpoints)/', f)}
    assert found - made <= set(files())


def test_photos_are_credited_and_counted():
    credits = json.loads((ROOT/'taidpt/data/coco_demo/attribution.json').read_text(encoding='utf-8'))
    assert {c['image'] for c in credits} == {p.name for p in (ROOT/'taidpt/data/coco_demo/images').iterdir()}
    by = sum(c['license_url'].endswith('/by/2.0/') for c in credits)
    alike = sum(c['license_url'].endswith('/by-sa/2.0/') for c in credits)
    assert by + alike == len(credits)
    assert entries()['taidpt/data/coco_demo/images/*'][1].startswith(f'{by} under CC BY 2.0, {alike} under CC BY-SA 2.0')
