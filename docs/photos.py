"""Draw photos with their tags and the places that the tags were given for; the front page calls it with what it has computed.

Each drawing has two files: one for a desk, with the photos side by side, and one for a phone, with a photo a row. They follow
the light or dark colours that the reader prefers, and have no ground of their own.
"""
import base64
import io

from idea import images, text

STYLE = '''
  text { fill: #1c2430; } .soft { fill: #566171; } .bold { font-weight: 600; }
  .right { fill: #1d6b38; font-weight: 600; } .wrong { fill: #a8281f; font-weight: 600; } .missed { fill: #7a5600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8ecf2; } .soft { fill: #adb7c4; }
    .right { fill: #86d79c; } .wrong { fill: #ff9a8f; } .missed { fill: #e8c063; }
  }'''
HEAD = '''<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" role="img" aria-labelledby="title about">
<title id="title">{title}</title>
<desc id="about">{about}</desc>
<style>{style}
</style>'''
SIGNS = {'right': '✓', 'wrong': '✗', 'missed': '○'}


def image(x, y, side, picture, pixels):
    "A picture as a JPEG within the drawing"
    out = io.BytesIO()
    picture.resize((pixels, pixels)).save(out, 'JPEG', quality=78, optimize=True)
    data = base64.b64encode(out.getvalue()).decode()
    return f'<image x="{x}" y="{y}" width="{side}" height="{side}" href="data:image/jpeg;base64,{data}"/>'


def said(x, y, name, score, how, size=13, anchor='start'):
    "A class, its score, and whether it is right"
    return text(x, y, f'<tspan class="{how}">{SIGNS[how]} {name}</tspan> <tspan class="soft">{score:.2f}</tspan>', '', size, anchor)


def labelled(x, y, labels):
    "The labels of a photo; those that got no tag have a sign"
    mark = lambda name, missed: f'<tspan class="missed">{SIGNS["missed"]} {name}</tspan>' if missed else name
    return text(x, y, f'<tspan class="soft">shows</tspan> {", ".join(mark(*label) for label in labels)}')


def wide(shown):
    "The photos side by side, each with two maps under it"
    parts = []
    for k, (photo, labels, maps) in enumerate(shown):
        x = 248*k
        parts += [labelled(x, 14, labels), image(x, 24, 232, photo, 224)]
        for j, (name, score, how, over) in enumerate(maps):
            parts += [said(x + 118*j, 278, name, score, how, 11.5), image(x + 118*j, 286, 114, over, 150)]
    return 728, 402, parts


def tall(shown):
    "A photo a row, with two maps beside it"
    parts = []
    for k, (photo, labels, maps) in enumerate(shown):
        y = 168*k
        parts += [labelled(0, y + 14, labels), image(0, y + 42, 114, photo, 170)]
        for j, (name, score, how, over) in enumerate(maps):
            parts += [said(122 + 122*j, y + 34, name, score, how, 12), image(122 + 122*j, y + 42, 114, over, 150)]
    return 358, 168*len(shown) - 12, parts


def draw(
    name: str,  # of the files
    title: str,  # what they show, in a few words
    about: str,  # all that they show, in words
    shown: list,  # of each photo: itself, (label, missed) of its labels, up to two of (class, score, 'right' or 'wrong' or 'missed', map)
):
    "Write docs/images/NAME.svg and docs/images/NAME-tall.svg"
    for end, layout in (('', wide), ('-tall', tall)):
        w, h, parts = layout(shown)
        svg = '\n'.join([HEAD.format(w=w, h=h, title=title, about=about, style=STYLE), *parts, '</svg>\n'])
        (images/f'{name}{end}.svg').write_text(svg, encoding='utf-8')
