"""Images that are something else than they seem: what opens them, and what counts as the same
image. SECURITY.md promises it."""
import io
import os
import sys
import zipfile
from pathlib import Path
from unittest import mock

import fsspec
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from taidpt.encode import encode_images
from taidpt.clip import load_clip
from taidpt.encoders import images as pictures_page
from taidpt.encoders.images import (
    FORMATS, UnreadableImage, as_images, image_identity, limit_megapixels, open_rgb, read_pixels)
from taidpt.visualize import show_heatmaps
from taidpt.zeroshot import ZeroShotCLIP

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8))


def saved(photo: Image.Image, kind: str, **kwargs) -> bytes:
    "An image's file"
    file = io.BytesIO()
    photo.save(file, kind, **kwargs)
    return file.getvalue()


def test_an_image_runs_no_program(tmp_path, monkeypatch):
    "Only formats of a list are opened, whatever a file is called: PostScript is a program"
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', mock.Mock(side_effect=AssertionError))
    path = tmp_path/'postscript.jpg'
    path.write_bytes(saved(PHOTO, 'EPS'))
    Image.open(path).close()                                    # Pillow would
    with pytest.raises(OSError, match='cannot identify'): open_rgb(path)


def test_a_listed_name_opens_no_other_file():
    "In a bucket, too, an image may be called as a chain of URLs"
    fs = fsspec.filesystem('memory')
    fs.pipe(dict.fromkeys(['/photos/a.jpg', '/photos/b.jpg::memory://c.jpg'], b''))
    for place in ('memory://photos', 'memory://photos/*.jpg*'):
        with pytest.warns(UserWarning, match='1 left out: ::'):
            assert as_images(place) == ['memory:///photos/a.jpg']


def test_a_chain_of_urls_is_one_image(tmp_path):
    "Names in an archive are a stranger's, so none of them is read off a list"
    archive = tmp_path/'s.zip'
    with zipfile.ZipFile(archive, 'w') as opened:
        opened.writestr('photos/a.jpg', saved(PHOTO, 'JPEG'))
        opened.writestr(f'x.jpg::file://{tmp_path}/private.jpg', b'')
    [image] = as_images(f'zip://photos/a.jpg::{archive}')
    assert open_rgb(image).size == PHOTO.size
    for several in ('', '*.jpg', 'photos'):
        with pytest.raises(ValueError, match='names one image'):
            as_images(f'zip://{several}::{archive}')


def test_the_web_needs_a_package(monkeypatch):
    "The error says which line to type, in a chain, too"
    monkeypatch.setitem(sys.modules, 'fsspec.implementations.http', None)
    line = r"pip install 'taidpt\[http\]'"
    with pytest.raises(ValueError, match=line): open_rgb('https://example.org/a.jpg')
    chain = 'zip://a.jpg::https://example.org/b.zip'
    with pytest.raises(ValueError, match=line): as_images(chain)


def test_pictures_of_phones_need_a_package(tmp_path, monkeypatch):
    "Without it, a folder's are counted, and one alone raises an error; both say the line to type"
    monkeypatch.setattr(pictures_page, 'FORMATS', ['JPEG'])
    monkeypatch.setattr(pictures_page, 'IMAGE_ENDINGS', {'.jpg'})
    for name in ('a.heic', 'b.HEIF', 'c.jpg', '.d.heic'): (tmp_path/name).touch()
    line = r"pip install 'taidpt\[heif\]'"
    with pytest.warns(UserWarning, match=f'2 left out: HEIC .*{line}'):
        assert as_images(tmp_path) == [tmp_path/'c.jpg']
    with pytest.raises(UnreadableImage, match=line):
        read_pixels([tmp_path/'a.heic'], 0, np.asarray)


def test_raw_files_are_named(tmp_path):
    "In a folder those of each camera are counted; one alone says what helps"
    for name in ('a.NEF', 'b.nef', 'c.CR2', 'd.jpg', 'd.txt'): (tmp_path/name).touch()
    with pytest.warns(UserWarning) as notes: assert as_images(tmp_path) == [tmp_path/'d.jpg']
    assert [str(note.message).partition(': ')[2] for note in notes] == [
        f'{count} is a RAW format, which is not read: export it as JPEG'
        for count in ('1 left out: .cr2', '2 left out: .nef')]
    with pytest.raises(UnreadableImage, match='.nef is a RAW format'):
        read_pixels([tmp_path/'a.NEF'], 0, np.asarray)


@pytest.mark.parametrize('place', ['.', '**/*.jpg'])
def test_thumbnails_of_a_nas_are_no_photos(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path('2024/@eaDir/a.jpg').mkdir(parents=True)
    for name in ('2024/a.jpg', '2024/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg'): Path(name).touch()
    assert as_images(place) == [Path('2024/a.jpg')]


def test_a_photo_of_too_many_pixels_says_what_allows_it(monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 900)
    file = saved(PHOTO, 'PNG')
    message = r'1920 pixels.* exceeds limit of 1800 pixels: .*--max-megapixels N.* allows more\. on'
    with pytest.raises(UnreadableImage, match=message): read_pixels([file], 0, np.asarray)
    with limit_megapixels(.00384): assert open_rgb(file).size == PHOTO.size
    with pytest.raises(ValueError): open_rgb(file)


def test_formats_of_phones_and_cameras_are_opened():
    "The list has what cameras and browsers write, and no format that contains others"
    second = {'save_all': True, 'append_images': [PHOTO]}       # of MPO and of an animation
    for kind in FORMATS: assert open_rgb(saved(PHOTO, kind)).size == PHOTO.size
    for kind in ('MPO', 'GIF', 'WEBP', 'TIFF'):
        assert open_rgb(saved(PHOTO, kind, **second)).size == PHOTO.size
    for kind in ('PPM', 'ICO', 'TGA', 'EPS'):
        with pytest.raises(OSError, match='cannot identify'): open_rgb(saved(PHOTO, kind))


def test_any_unreadable_image_can_be_skipped(tmp_path):
    "Whatever Pillow raises, `on_error='skip'` goes on; NaN on disk is an error without it"
    clip = load_clip(device='cpu')
    odd = [PHOTO, tmp_path/'missing.jpg', saved(PHOTO, 'JPEG')[:900], b'', PHOTO]

    def encode(**options): return encode_images(clip, odd, progress=False, **options)

    with pytest.warns(UserWarning, match='Skipped'):
        store = encode(path=tmp_path/'features', on_error='skip')
    assert store.global_.isnan().all(1).tolist() == [False, True, True, True, False]
    with pytest.raises(ValueError, match='lacks images'): encode(path=tmp_path/'features')
    with pytest.raises(UnreadableImage, match=r'missing\.jpg'): encode()
    for kind in (SyntaxError, KeyError, EOFError, MemoryError, Image.DecompressionBombError):
        broken = mock.patch.object(Image, 'open', side_effect=kind('some'))
        with broken, pytest.raises(ValueError, match='some'): open_rgb(b'some')


def test_what_one_sees_makes_an_image(tmp_path):
    "Another note on how to turn it, or other sides, make another image"
    exif = Image.Exif()
    exif[0x0112] = 3                                            # upside down
    turned = Image.open(io.BytesIO(saved(PHOTO, 'PNG', exif=exif)))
    assert np.array_equal(np.asarray(open_rgb(turned)), np.asarray(PHOTO)[::-1, ::-1])
    wide = np.zeros((2, 6, 3), np.uint8)
    path = tmp_path/'a.png'
    path.write_bytes(b'one')
    before = image_identity(path)
    path.write_bytes(b'other')
    different = [PHOTO, turned, wide, wide.reshape(6, 2, 3), b'']
    keys = {before, image_identity(path), *map(image_identity, different)}
    assert len(keys) == len(different) + 2


def test_a_grey_image_of_one_colour():
    "It is black where nothing is brighter, also below 0; NaN is an error"
    for value in (0, -3):
        assert not np.asarray(open_rgb(np.full((2, 2), value, np.float32))).any()
    with pytest.raises(ValueError, match='NaN'): open_rgb(np.float32([[0, np.nan]]))


def test_arrays_are_one_image_or_many():
    "An array's sides say which"
    a = np.asarray(PHOTO)
    for given, count in ((a, 1), (a[None], 1), (np.stack([a, a]), 2), (a[..., 0], 1), ([a, a], 2)):
        images = as_images(given)
        assert len(images) == count and open_rgb(images[0]).size == (48, 40)
        assert open_rgb(as_images(images)[0]).size == (48, 40)
    assert as_images(np.array(['a.jpg', 'b.jpg'])).tolist() == ['a.jpg', 'b.jpg']


@pytest.mark.skipif(os.name == 'nt', reason='links need a privilege there')
def test_linked_folders_are_listed_once(tmp_path):
    "Links to folders are followed, without circles, and an image that is there counts once"
    folder = tmp_path/'photos'
    for name in ('photos/z/1.jpg', 'other/2.jpg', 'other/.hidden/4.jpg'):
        (tmp_path/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/name).touch()
    (folder/'linked').symlink_to(tmp_path/'other')
    (tmp_path/'other/back').symlink_to(folder)
    names = [str(path.relative_to(folder)) for path in as_images(folder)]
    assert names == ['linked/2.jpg', 'z/1.jpg']


def test_a_heat_map_names_its_file(tmp_path):
    PHOTO.save(tmp_path/'photo.png')
    figure = show_heatmaps(ZeroShotCLIP(load_clip(device='cpu'), ['cat']), tmp_path/'photo.png')
    assert figure.alt.startswith('photo.png as the model sees it')
