"""Draw a photo with its tags and the places that the tags were given for; the front page calls it
with what it has computed.

The drawing follows the light or dark colours that the reader prefers; it has no ground of its own.
"""
import base64

from learning import text

from taidpt.plots import as_jpeg

STYLE = '''
  text { fill: #1c2430; } .soft { fill: #566171; }
  .right { fill: #1d6b38; font-weight: 600; } .wrong { fill: #a8281f; font-weight: 600; } \
.missed { fill: #7a5600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8ecf2; } .soft { fill: #adb7c4; }
    .right { fill: #86d79c; } .wrong { fill: #ff9a8f; } .missed { fill: #e8c063; }
  }'''
HEAD = '''<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 358 136" \
font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" role="img" \
aria-labelledby="title about">
<title id="title">A photo with its tags by TaI-DPT</title>
<desc id="about">{about}</desc>
<style>{style}
</style>'''


def image(x, picture):
    "A picture as a JPEG within the drawing"
    content = as_jpeg(picture.resize((170, 170)), quality=78, optimize=True)
    data = base64.b64encode(content).decode()
    place = f'x="{x}" y="20" width="114" height="114"'
    return f'<image {place} href="data:image/jpeg;base64,{data}"/>'


def tag(name, score, right):
    "A tag with its score, marked as right or wrong"
    look, mark = ('right', '✓') if right else ('wrong', '✗')
    return f'<tspan class="{look}">{mark} {name}</tspan> <tspan class="soft">{score:.2f}</tspan>'


def draw(
    about: str,  # all that it shows, in words
    photo,       # as the model sees it
    missed: str, # the label without a tag
    maps: list,  # of two tags: (class, score, right?, map over the photo)
) -> str:        # an SVG
    parts = [HEAD.format(about=about, style=STYLE)]
    parts += [text(0, 13, f'missed: {missed}', 'missed', 12), image(0, photo)]
    for x, (name, score, right, over) in zip((122, 244), maps):
        parts += [text(x, 13, tag(name, score, right), '', 12), image(x, over)]
    return '\n'.join([*parts, '</svg>\n'])
