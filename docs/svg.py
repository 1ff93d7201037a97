"""Figures of notebooks as the site needs them: light SVG, with names for what keeps its colour on
dark pages (`as-is`) and for the panels that a phone stacks.

    IPYTHONDIR=docs/ipython jupyter nbconvert --to notebook --execute --inplace nbs/04_scores.ipynb

stores such figures in a page: docs/ipython holds the startup file that calls `install`.
"""
import base64
import io
import re

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from PIL import Image

from taidpt.plots import as_jpeg


def is_grey(colour) -> bool: return np.ptp(to_rgb(colour)) < .15


def maps(fig: Figure) -> list:
    "The artists that colour numbers"
    artists = fig.findobj(lambda artist: isinstance(artist, ScalarMappable))
    return [artist for artist in artists if artist.get_array() is not None]


def keys(fig: Figure) -> list:
    "Patches in a colour of a map that has few, as a legend shows them"
    few = [artist.cmap for artist in maps(fig) if artist.cmap.N <= 20]
    colours = {to_hex(cmap(i)) for cmap in few for i in range(cmap.N)}
    return [patch for patch in fig.findobj(Patch) if to_hex(patch.get_facecolor()) in colours]


def labels(fig: Figure) -> list:
    "Grey texts and lines that lie on a picture or on a coloured patch"
    patches = [patch for patch in fig.findobj(Patch)
               if patch.get_fill() and not is_grey(patch.get_facecolor())]
    grounds = [ground.get_window_extent() for ground in fig.findobj(AxesImage) + patches]
    inks = []
    for ink in (ink for ax in fig.findobj(Axes) for ink in (*ax.lines, *ax.texts)):
        box = ink.get_window_extent().padded(-1)
        patch = getattr(ink, 'get_bbox_patch', lambda: None)()
        on_patch = patch is not None and patch.get_fill() and not is_grey(patch.get_facecolor())
        on = on_patch or any(ground.containsx(box.x0) and ground.containsx(box.x1) and
                             ground.containsy(box.y0) and ground.containsy(box.y1)
                             for ground in grounds)
        if on and is_grey(ink.get_color()): inks.append(ink)
    return inks


def panels(fig: Figure, frame) -> list[float]:
    """Name the axes of each panel; the panels' edges in inches, none for a figure of one panel, or
    one that fits a phone"""
    bars = {artist.colorbar.ax for artist in maps(fig) if artist.colorbar is not None}
    groups, end = [], -np.inf
    for ax in sorted(fig.axes, key=lambda ax: ax.get_tightbbox().x0):
        box = ax.get_tightbbox()
        shared = groups and ax.get_shared_y_axes().joined(ax, groups[-1][0])
        bare = not ax.yaxis.get_tick_params().get('labelleft', True)
        if groups and (box.x0 < end or ax in bars or shared and bare): groups[-1].append(ax)
        else: groups.append([ax])
        end = max(end, box.x1)
    if fig.texts or fig.legends or len(groups) < 2 or frame.width < 5.6: return []
    lefts, rights = [], []
    for group in groups:
        boxes = [ax.get_tightbbox() for ax in group]
        lefts.append(min(box.x0 for box in boxes)/fig.dpi)
        rights.append(max(box.x1 for box in boxes)/fig.dpi)
    edges = [frame.x0, *np.add(rights[:-1], lefts[1:])/2, frame.x1]
    if min(np.diff(edges)) < 1.2: return []
    for k, group in enumerate(groups):
        for i, ax in enumerate(group): ax.set_gid(f'panel-{k}-{i}')
    return [edge - frame.x0 for edge in edges]


def light_picture(match: re.Match) -> str:
    "The address of a PNG; as JPEG if it has many colours and no gaps"
    picture = Image.open(io.BytesIO(base64.b64decode(match[1]))).convert('RGBA')
    solid = (np.asarray(picture)[2:-2, 2:-2, 3] == 255).all()       # an edge may be soft
    if not solid or picture.getcolors(256): return match[0]
    content = base64.b64encode(as_jpeg(picture, 75, optimize=True)).decode()
    return f'"data:image/jpeg;base64,{content}"'


def drawing(fig: Figure) -> str|None:
    "A figure as SVG, None for an empty one"
    if not (fig.axes or fig.lines): return None
    fig.draw_without_rendering()
    frame = fig.get_tightbbox().padded(.05)
    for kind, artists in {'map': maps(fig), 'key': keys(fig), 'label': labels(fig)}.items():
        for i, artist in enumerate(artists): artist.set_gid(f'as-is-{kind}-{i}')
    edges = ' '.join(f'{72*edge:.1f}' for edge in panels(fig, frame))
    out = io.StringIO()
    with rc_context({'svg.hashsalt': 'taidpt', 'svg.fonttype': 'path'}):
        fig.savefig(out, format='svg', dpi=110, bbox_inches=frame)
    svg = out.getvalue()
    svg = svg[svg.index('<svg'):].replace('<svg ', f'<svg data-panels="{edges}" ', 1)
    svg = re.sub(r'<metadata>.*?</metadata>|<!--.*?-->', '', svg, flags=re.DOTALL)
    svg = re.sub(r'"data:image/png;base64,([^"]*)"', light_picture, svg)
    svg = re.sub(r'(?<= )(?:d|x|y)="[^"]*"', lambda m: re.sub(r'(\.\d\d)\d+', r'\1', m[0]), svg)
    return re.sub(r'\s*\n\s*', '\n', svg)


def install() -> None:
    "Draw the figures of this kernel so, once its page asks for SVG"
    from IPython.core import pylabtools
    usual = pylabtools.print_figure

    def print_figure(fig, fmt='png', **options):
        return drawing(fig) if fmt == 'svg' else usual(fig, fmt, **options)

    pylabtools.print_figure = print_figure
