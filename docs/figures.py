"""Drawings of the notebooks for light and dark pages.

`figures_as_svg` of `taidpt.plots` draws black on white. Here the ground becomes transparent, and
each colour gets a second one for dark pages: FILE.svg is for light pages, and FILE.svg#dark is the
same file with the second colours. Photos, maps and what is marked as `as-is` keep theirs, so that
a map still says what its key says.
"""
import re
from copy import deepcopy
from functools import cache
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np

SVG = '{http://www.w3.org/2000/svg}'
LINK = '{http://www.w3.org/1999/xlink}'
ElementTree.register_namespace('', 'http://www.w3.org/2000/svg')
ElementTree.register_namespace('xlink', 'http://www.w3.org/1999/xlink')
GROUND = '#131416'                      # of Furo's dark pages
HEX = re.compile('#[0-9a-f]{6}')


# Colours

TO_LMS = np.array([
    [.4122214708, .5363325363, .0514459929],
    [.2119034982, .6806995451, .1073969566],
    [.0883024619, .2817188376, .6299787005]])
TO_LAB = np.array([
    [.2104542553, .7936177850, -.0040720468],
    [1.9779984951, -2.4285922050, .4505937099],
    [.0259040371, .7827717662, -.8086757660]])


def linear(colour: str) -> np.ndarray:
    "Red, green and blue of a colour as amounts of light"
    rgb = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)])/255
    return np.where(rgb > .04045, ((rgb + .055)/1.055)**2.4, rgb/12.92)


def as_hex(light: np.ndarray) -> str:
    "The colour of amounts of light; what a screen cannot show is cut off"
    light = light.clip(0, 1)
    rgb = np.where(light > .0031308, 1.055*light**(1/2.4) - .055, 12.92*light)
    return '#' + ''.join(f'{round(255*part):02x}' for part in rgb)


def luminance(colour: str) -> float:
    "How bright a colour is, as the rules for contrast count it"
    return float(linear(colour) @ (.2126, .7152, .0722))


def contrast(one: str, other: str) -> float:
    "How far two colours stand apart: 1 for the same, 21 for black and white"
    low, high = sorted((luminance(one), luminance(other)))
    return (high + .05)/(low + .05)


def grey_on_dark(colour: str) -> np.ndarray:
    "A grey that stands out from the dark ground as the colour does from white"
    wanted = contrast(colour, '#ffffff')
    if wanted > 1.5: wanted = max(wanted, 3)                       # a mark, and no ground or grid
    if wanted > 8: wanted = 8 + (wanted - 8)*7/13                  # black becomes a soft white
    bright = wanted*(luminance(GROUND) + .05) - .05
    return linear(GROUND)*bright/luminance(GROUND) if wanted < 1.01 else np.full(3, bright)


def hue_on_dark(colour: str) -> np.ndarray:
    "The same hue, lighter where it is dark; different colours stay different"
    lab = TO_LAB @ np.cbrt(TO_LMS @ linear(colour))
    if lab[0] < .65: lab[0] = .65 - .35*(.65 - lab[0])
    return np.linalg.inv(TO_LMS) @ (np.linalg.inv(TO_LAB) @ lab)**3


@cache
def on_dark(colour: str) -> str:
    "A colour on dark pages: greys change places, hues stay, and pale tints lie between"
    rgb = [int(colour[i:i + 2], 16)/255 for i in (1, 3, 5)]
    hue = min(max((max(rgb) - min(rgb) - .1)/.05, 0), 1)
    return as_hex(hue*hue_on_dark(colour) + (1 - hue)*grey_on_dark(colour))


# Drawings

def inks(element, colours: set[str]):
    "Colours of what may change, each replaced by a variable with its name"
    if element.get('id', '').startswith('as-is'):
        # what has no colour of its own is black
        element.set('fill', '#000')
        return
    style = element.get('style', '')
    colours |= set(HEX.findall(style))
    if style: element.set('style', HEX.sub(lambda colour: f'var(--{colour[0][1:]})', style))
    for child in element: inks(child, colours)


def grounds(tree):
    "The white patches behind a figure and behind its axes, with the groups that hold them"
    for group in tree.iter(f'{SVG}g'):
        name = group.get('id', '')
        if not re.match('figure_|axes_|panel-', name): continue
        first = next((child for child in group if child.get('id', '').startswith('patch_')), None)
        if first is not None and 'fill: #ffffff' in first[0].get('style', ''): yield group, first


def for_pages(svg: str) -> str:
    "A drawing with a transparent ground and colours for light and dark pages"
    tree = ElementTree.fromstring(svg)
    for group, patch in list(grounds(tree)): group.remove(patch)
    colours = {'#000000'}
    inks(tree, colours)
    light = ''.join(f'--{colour[1:]}:{colour};' for colour in sorted(colours))
    dark = ''.join(f'--{colour[1:]}:{on_dark(colour)};' for colour in sorted(colours))
    style = ElementTree.Element(f'{SVG}style')
    style.text = f'svg{{{light}fill:var(--000000)}}svg:target{{{dark}}}'
    tree.insert(0, style)
    tree.set('id', 'dark')
    for side in ('width', 'height'):                                # of points, a pixel is 3/4
        tree.set(side, f"{float(tree.get(side).removesuffix('pt'))*4/3:.1f}")
    return ElementTree.tostring(tree, encoding='unicode')


def panels(svg: str) -> list[str]:
    """A wide drawing as one for each of its panels, which lie in a row on a desk and below each
    other on a phone"""
    tree = ElementTree.fromstring(svg)
    edges = [float(edge) for edge in tree.attrib.pop('data-panels', '').split()]
    if not edges: return [ElementTree.tostring(tree, encoding='unicode')]
    _, _, _, height = tree.get('viewBox').split()
    return [panel(tree, k, left, right, height) for k, (left, right) in enumerate(pairwise(edges))]


def others(tree, k: int):
    "The axes of other panels than this, each with the group that holds it"
    for group in tree.iter(f'{SVG}g'):
        for child in group:
            name = child.get('id', '')
            if name.startswith('panel-') and not name.startswith(f'panel-{k}-'): yield group, child


def panel(tree, k: int, left: float, right: float, height: str) -> str:
    "One panel of a drawing, without the axes of the others"
    part = deepcopy(tree)
    part.set('viewBox', f'{left:.1f} 0 {right - left:.1f} {height}')
    part.set('width', f'{right - left:.1f}pt')
    for group, other in list(others(part, k)):
        group.remove(other)
        for letters in other.iter(f'{SVG}defs'): part.append(letters)     # all panels use them
    without_unused(part)
    return ElementTree.tostring(part, encoding='unicode')


def without_unused(tree):
    "Leave out the letters and marks that no part of a drawing uses"
    used = {element.get(f'{LINK}href', '')[1:] for element in tree.iter(f'{SVG}use')}
    for letters in tree.iter(f'{SVG}defs'):
        for shape in list(letters):
            if shape.tag == f'{SVG}path' and shape.get('id') not in used: letters.remove(shape)
