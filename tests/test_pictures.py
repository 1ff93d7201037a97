"""Pictures that are something else than they seem: what opens them, what they cost, and what counts
as the same picture. SECURITY.md promises it."""
import errno
import io
import os
import struct
import sys
import zlib
from functools import partial
from unittest import mock

import numpy as np
import pytest
from conftest import ROOT, run
from made import clip, picture, tagger
from PIL import EpsImagePlugin, Image

from taidpt.apps.onnx import Tagger
from taidpt.clip import encode_pictures
from taidpt.encoders.pictures import (
    _FORMATS, as_pictures, decoded, list_pictures, open_rgb, picture_identity)

pytestmark = pytest.mark.xdist_group('pictures')
PICTURES = Path(__file__).parent/'corpus'/'pictures'


def saved(photo: Image.Image, kind: str, **kwargs) -> bytes:
    "A picture's file"
    file = io.BytesIO()
    photo.save(file, kind, **kwargs)
    return file.getvalue()


# What is opened

@pytest.mark.parametrize('name', ['postscript.jpg', 'wrapped.jpg'])
def test_a_picture_runs_no_program(name, monkeypatch):
    "Only formats of a list are opened; IPTC opens what is in it, and PostScript is a program"
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', mock.Mock(side_effect=AssertionError))
    path = PICTURES/name
    Image.open(path).close()                                    # Pillow would
    with pytest.raises(OSError, match='cannot identify it as JPEG, PNG, WEBP'): open_rgb(path)


def test_formats_of_phones_and_cameras_are_opened():
    "The list has what cameras and browsers write, and no format that contains others"
    photo = open_rgb(picture('PNG'))
    second = {'save_all': True, 'append_images': [photo]}       # of MPO and of an animation
    for kind in _FORMATS: assert decoded(saved(photo, kind)).size == photo.size
    for kind in ('MPO', 'GIF', 'WEBP', 'TIFF'):
        assert decoded(saved(photo, kind, **second)).size == photo.size
    for kind in ('PPM', 'ICO', 'TGA', 'EPS'):
        with pytest.raises(OSError, match='cannot identify'): decoded(saved(photo, kind))


# What it costs

def tiled(side: int, tile: bytes) -> bytes:
    "A TIFF of 10 × 10 pixels in one tile of side × side"
    tags = {256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side}
    tags |= {324: 8 + 2 + 12*10 + 4, 325: len(tile)}
    entries = [struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags.items()]
    start = struct.pack('<2sHIH', b'II', 42, 8, len(tags))
    return start + b''.join(entries) + bytes(4) + tile


@pytest.mark.parametrize('name', ['tile.tif', 'tile-long.tif', 'tile-twice.tif', 'scans.tif'])
def test_what_is_unpacked_has_limits(name, monkeypatch):
    "A tile has a limit, in whatever way a file names it, and so have the scans of a JPEG in it"
    monkeypatch.setattr(Image.Image, 'load', mock.Mock(side_effect=AssertionError))
    content = (PICTURES/name).read_bytes()
    says = 'pixels in a tile|tiles is unclear|scans of a JPEG'
    with pytest.raises(ValueError, match=says): decoded(content)


def test_tiles_count_as_pixels():
    "Ordinary tiles are read; those of a narrow picture may be much larger than it"
    side = 256
    content = tiled(side, zlib.compress(bytes(side*side)))
    assert decoded(content).size == (10, 10)
    narrow = content.replace(struct.pack('<HHII', 257, 4, 1, 10),
                             struct.pack('<HHII', 257, 4, 1, 10**6))
    with pytest.raises(ValueError, match='its tiles have 256 × 1000192 pixels'): decoded(narrow)


ERRORS = [SyntaxError, struct.error, KeyError, EOFError, MemoryError, Image.DecompressionBombError]


def test_any_unreadable_picture_can_be_skipped(tmp_path):
    "Whatever Pillow raises, `on_error='skip'` goes on"
    path = tmp_path/'a.onnx'
    path.write_bytes(tagger())
    look = Tagger(path, threads=1)
    odd = [*PICTURES.glob('*'), picture('PNG')]
    with pytest.warns(UserWarning, match='Skipped'):
        scores = look.predict(odd, on_error='skip')
    assert np.isnan(scores).all(1).tolist() == [True]*(len(odd) - 1) + [False]
    refused = pytest.raises(ValueError, match='cannot be decoded.*some')
    for kind in ERRORS:
        with mock.patch.object(Image, 'open', side_effect=kind('some')), refused: open_rgb(b'some')


# What is the same picture

def test_colours_make_a_picture_not_indices(tmp_path):
    "Another palette, or another note on how to turn it, is another picture"
    one = open_rgb(picture('PNG')).quantize(8)
    other = one.copy()
    other.putpalette(one.getpalette()[::-1])
    photo = open_rgb(picture('PNG'))
    exif = Image.Exif()
    exif[0x0112] = 3                                            # upside down
    turned = Image.open(io.BytesIO(saved(photo, 'PNG', exif=exif)))
    wide = np.zeros((2, 6, 3), np.uint8)
    different = [one, other, photo, turned, wide, wide.reshape(6, 2, 3), b'']
    assert len(set(map(picture_identity, different))) == len(different)
    assert picture_identity(one) == picture_identity(one.copy())
    path = tmp_path/'f.safetensors'
    encode_pictures(clip(), [one], path, progress=False)
    encode_pictures(clip(), [one.copy()], path, progress=False)
    with pytest.raises(ValueError, match='was made from other pictures'):
        encode_pictures(clip(), [other], path, progress=False)


# Grey pictures

RAMP = np.tile(np.linspace(0, 1, 64), (4, 1))
GREYS = {
    '8 bits in 16': (RAMP * 255).astype(np.uint16),
    '12 bits in 16': (RAMP * 4095).astype(np.uint16),
    '16 bits': (RAMP * 65535).astype(np.uint16),
    '12 bits in 32': (RAMP * 4095).astype(np.int32),
    '32 bits': (RAMP * (2**31 - 1)).astype(np.int32),
    'Hounsfield': (RAMP*4000 - 1000).astype(np.int32),
    '0 to 1': RAMP.astype(np.float32),
    '0 to 1.02': (RAMP * 1.02).astype(np.float32),
    '0 to 255': (RAMP * 255).astype(np.float32),
    '-1 to 1': (RAMP*2 - 1).astype(np.float32),
    'below 0': (RAMP*5 - 9).astype(np.float32),
    'huge': ((RAMP - .5) * 6e38).astype(np.float32),
}


@pytest.mark.parametrize('kind', GREYS)
def test_a_grey_picture_is_not_black(kind):
    "A ramp from black to white stays one, whatever its numbers"
    for photo in (Image.fromarray(GREYS[kind]), saved(Image.fromarray(GREYS[kind]), 'TIFF')):
        seen = np.asarray(open_rgb(photo))[..., 0]
        assert np.abs(seen - RAMP*255).max() <= 1.5


def test_a_grey_picture_of_one_colour():
    "It is black where nothing is brighter, also below 0"
    for value in (0, -3):
        photo = Image.fromarray(np.full((2, 2), value, np.float32))
        assert not np.asarray(open_rgb(photo)).any()


# Where pictures are

@pytest.mark.skipif(os.name == 'nt', reason='links need a privilege there')
def test_linked_folders_are_listed_once(tmp_path):
    "Links to folders are followed, without circles, and a picture that is there counts once"
    folder = tmp_path/'photos'
    for name in ('photos/z/1.jpg', 'other/2.jpg', 'other/deep/3.jpg', 'other/.hidden/4.jpg'):
        (tmp_path/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/name).touch()
    other = tmp_path/'other'
    links = {'a': folder/'z', 'circle': folder, 'linked': other, '.dot': other}
    for name, target in links.items(): (folder/name).symlink_to(target)
    (other/'back').symlink_to(folder)
    names = [str(path.relative_to(folder)) for path in list_pictures(folder)]
    assert names == ['linked/2.jpg', 'linked/deep/3.jpg', 'z/1.jpg']


def test_home_is_home_for_files_too(tmp_path, monkeypatch):
    "~ is the home folder in the name of a file, in a list, and in a `Path`"
    for variable in ('HOME', 'USERPROFILE'): monkeypatch.setenv(variable, str(tmp_path))
    path = tmp_path/'a.png'
    path.write_bytes(picture('PNG'))
    name = os.path.join('~', 'a.png')
    for given in (name, [name], np.array([name]), '~', os.path.join('~', '*.png')):
        assert [str(found) for found in as_pictures(given)] == [str(path)]
    assert open_rgb(type(path)(name)).size == open_rgb(name).size == (48, 40)
    assert picture_identity(name) == picture_identity(path)


def test_open_files_are_pictures(tmp_path):
    "Alone and in a list, also where one of them is skipped"
    path = tmp_path/'a.png'
    path.write_bytes(picture('PNG'))
    with open(path, 'rb') as one, open(path, 'rb') as two:
        given = [*as_pictures(one), *as_pictures([two, io.BytesIO(b'torn')])]
    assert given == [path.read_bytes()]*2 + [b'torn']
    with pytest.warns(UserWarning, match='Skipped picture 3'):
        store = encode_pictures(clip(), [path, *map(io.BytesIO, given)], on_error='skip')
    rows = np.asarray(store.global_)
    assert (rows[0] == rows[1]).all() and np.isnan(rows[3]).all()
    with open(path, encoding='latin-1') as text, pytest.raises(TypeError, match="'rb'"):
        as_pictures(text)


def test_on_error_holds_for_closed_folders_of_any_model(tmp_path):
    "Root may read every folder, so the system says no in a mock"
    for name in ('a.png', 'closed/b.png'):
        (tmp_path/name).parent.mkdir(exist_ok=True)
        (tmp_path/name).write_bytes(picture('PNG'))
    listed = os.scandir

    def closed(place):
        if str(place).endswith('closed'):
            raise PermissionError(errno.EACCES, 'Permission denied', str(place))
        return listed(place)

    (tmp_path/'my.onnx').write_bytes(tagger())
    encode = partial(encode_pictures, clip())
    with mock.patch.object(os, 'scandir', closed):
        for read in (Tagger(tmp_path/'my.onnx').predict, encode):
            with pytest.raises(OSError, match="closed: Permission denied. Pass on_error='skip'"):
                read(tmp_path)
            with pytest.warns(UserWarning, match='Skipped the folder .*closed: Permission'):
                assert len(read(tmp_path, on_error='skip')) == 1


HEIF = """
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

class HeifImageFile(BmpImageFile): format = 'HEIF'

def register_heif_opener():
    "As that of pillow-heif does"
    Image.register_open('HEIF', HeifImageFile, lambda start: start[:2] == b'BM')
"""
READS = """
import sys
from taidpt.encoders.pictures import PICTURE_ENDINGS, _FORMATS, list_pictures
print('HEIF' in _FORMATS, '.heic' in PICTURE_ENDINGS, len(list_pictures(sys.argv[1])))
"""


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path):
    "A module that stands in for it registers the format; without it the ending is unknown"
    photos = tmp_path/'photos'
    photos.mkdir()
    for name in ('a.heic', 'b.jpg'): (photos/name).touch()
    installed = tmp_path/'installed'
    installed.mkdir()
    (installed/'pillow_heif.py').write_text(HEIF)
    path = os.pathsep.join([str(installed), str(ROOT)])
    done = run(sys.executable, '-c', READS, photos, PYTHONPATH=path)
    assert done.stdout.split() == ['True', 'True', '2']
