"""The drawings of the front page are what their script writes, and are told in words."""
import base64
import html
import io
import re
from xml.etree import ElementTree

import nbformat
import pytest
from conftest import ROOT, docs_module
from PIL import Image

IMAGES, SVG = ROOT/'docs/images', '{http://www.w3.org/2000/svg}'


def test_the_idea_is_what_its_script_draws():
    idea = docs_module('idea')
    for name, svg in idea.drawings().items():
        assert (IMAGES/name).read_text(encoding='utf-8') == svg, 'docs/idea.py has changed: run it'
    assert idea.ABOUT in (ROOT/'nbs/tutorials/learn.ipynb').read_text(encoding='utf-8')


@pytest.mark.parametrize('name', ['idea', 'found'])
def test_drawing_is_told_in_words(name):
    [alt] = re.findall(rf'<img src="docs/images/{name}.svg"[^>]* alt="([^"]+)">', (ROOT/'README.md').read_text(encoding='utf-8'))
    for file in IMAGES.glob(f'{name}*.svg'): assert html.unescape(alt) == ElementTree.parse(file).getroot().find(f'{SVG}desc').text


def test_photos_are_jpegs():
    "On a dark page, charts are turned dark and photos are not: charts are PNG"
    for path in sorted((ROOT/'nbs').rglob('*.ipynb')):
        for cell in nbformat.read(path, 4).cells:
            for out in cell.get('outputs', []):
                if data := out.get('data', {}).get('image/png'):
                    colours = Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB').getcolors(5000)
                    assert colours, f'a figure with a photo in {path.name}: set_matplotlib_formats("jpeg")\n{cell.source}'
