"""Draw the idea in one picture: docs/images/idea.svg for a desk, idea-tall.svg for a phone,
idea-poster.svg for a wall.

    python docs/idea.py

The first two are on the front page and in tutorials/learn; tutorials/teach links to the poster,
which is of size A1 and always light. The others follow the light or dark colours that the
reader prefers. The caption is one of the bundled ones; the photo, idea.jpg, is the square that the
embedded CLIP sees of 000000011149.jpg. The coloured places are the three best of each class, which
the front page looks up again when it is run.
"""
import base64
from pathlib import Path

images = Path(__file__).resolve().parent/'images'
CAPTION = 'One bicycle is parked next to many motorcycles.'
WORDS = {'bicycle': 'a', 'motorcycles': 'b'}        # the nouns, each with the look of its class
TAGS = {'bicycle': 'a', 'motorbike': 'b'}
PLACES = {                                          # row and column of 7 × 7
    'bicycle': [(3, 4), (3, 5), (3, 2)],
    'motorbike': [(5, 0), (4, 0), (3, 0)],
}
ABOUT = (
    'Learning: CLIP’s frozen text encoder turns “One bicycle is parked next to many '
    'motorcycles.” into h (whole) and H (words). Prompts, 16 learned vectors before a class '
    'name, become G and L, compared with h and H; the ranking loss moves the vectors. Use: a '
    'photo’s f and F (7 × 7 places) replace h and H. Tags: bicycle, motorbike.')

# What all drawings share: their ground and their text, on light and on dark pages
GROUND = '''
  .card { fill: #ffffff; }
  .panel { fill: #f3f5f8; }
  text { fill: #1c2430; }
  .soft { fill: #566171; }
  .bold { font-weight: 600; }
'''
GROUND_ON_DARK = '''  @media (prefers-color-scheme: dark) {
    .card { fill: #14181e; }
    .panel { fill: #1e242d; }
    text { fill: #e8ecf2; }
    .soft { fill: #adb7c4; }
'''
STYLE = GROUND + '''  .said { font-family: Georgia, 'DejaVu Serif', serif; font-style: italic; }
  .frozen { fill: #dbe9f8; stroke: #3b78b5; }
  .whole { fill: #f6c98f; stroke: #b3701a; }
  .part { fill: #a9d8b4; stroke: #33804a; }
  .loss { fill: #f7d4d4; stroke: #b64a4a; }
  .name { fill: #ffffff; stroke: #8994a3; }
  .word { fill: #ffffff; stroke: #33804a; }
  .a { fill: #ddd0f7; stroke: #6b3fc4; }
  .b { fill: #fbd2e4; stroke: #bf2a6c; }
  .cell.a { fill: #8a5ce0; }
  .cell.b { fill: #dc3f84; }
  .nouna { fill: #5a2fb4; }
  .nounb { fill: #a81e5b; }
  .nouna, .nounb { font-weight: bold; text-decoration: underline; }
  .line { fill: none; stroke: #566171; stroke-width: 1.5; }
  .tip { fill: #566171; }
  .back { fill: none; stroke: #b64a4a; stroke-width: 1.5; stroke-dasharray: 4 3; }
  .backtip { fill: #b64a4a; }
  .grid { fill: none; stroke: #ffffff; stroke-opacity: .55; stroke-width: .7; }
''' + GROUND_ON_DARK + '''    .frozen { fill: #1f3850; stroke: #6ea6dd; }
    .whole { fill: #84561a; stroke: #f0b567; }
    .part { fill: #2a643c; stroke: #7fcf96; }
    .loss { fill: #5a2a2c; stroke: #e58a8a; }
    .name { fill: #2a323d; stroke: #8b97a6; }
    .word { fill: #1e242d; stroke: #7fcf96; }
    .a { fill: #4a358a; stroke: #b9a0f5; }
    .b { fill: #7a2350; stroke: #f590bf; }
    .cell.a { fill: #9a72ea; }
    .cell.b { fill: #e0508f; }
    .nouna { fill: #c3aefa; }
    .nounb { fill: #f8a3ca; }
    .line { stroke: #adb7c4; }
    .tip { fill: #adb7c4; }
    .back { stroke: #e58a8a; }
    .backtip { fill: #e58a8a; }
  }'''
HEAD = '''<svg xmlns="http://www.w3.org/2000/svg"{size} viewBox="0 0 {w} {h}" \
font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" \
font-size="12.5" role="img" aria-labelledby="title about">
<title id="title">The idea: prompts for pictures, learned from sentences</title>
<desc id="about">{about}</desc>
<style>{style}
</style>
<defs>
  <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" markerHeight="6.5" \
orient="auto-start-reverse"><path class="tip" d="M0 0 8 4 0 8z"/></marker>
  <marker id="backtip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" markerHeight="6.5" \
orient="auto"><path class="backtip" d="M0 0 8 4 0 8z"/></marker>
</defs>
<rect class="card" width="{w}" height="{h}" rx="10"/>'''


# Parts of both drawings, by x and y of their upper left corner

def box(x, y, w, h, look, rx=5):
    "A rectangle with rounded corners"
    return f'<rect class="{look}" x="{x}" y="{y}" width="{w}" height="{h}" rx="{rx}"/>'


def text(x, y, words, look='', size=12.5, anchor='start'):
    "A line of text"
    place = f'x="{x}" y="{y}"'
    font = f'font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} class="{look}" {font}>{words}</text>'


def label(x, y, w, h, words, look, size=12.5):
    "A box with text in its middle"
    baseline = y + h/2 + .36*size
    return box(x, y, w, h, look) + text(x + w/2, baseline, words, '', size, 'middle')


def arrow(path, both=False):
    "A line with a tip at its end, or at both"
    start = ' marker-start="url(#tip)"' if both else ''
    return f'<path class="line" d="{path}" marker-end="url(#tip)"{start}/>'


def back(path):
    "What learning changes"
    return f'<path class="back" d="{path}" marker-end="url(#backtip)"/>'


def said(words):
    "A part of the caption, with its nouns marked"
    marked = []
    for word in words.split():
        look = WORDS.get(word.strip('.'))
        marked.append(f'<tspan class="noun{look}">{word}</tspan>' if look else word)
    return ' '.join(marked)


def prompt(x, y, look, name='class name'):
    "Learned vectors, then the name of a class"
    vectors = [box(x + 9*i, y, 7, 18, look, 2) for i in range(5)]
    width = 4 + 7*len(name)
    return ''.join(vectors) + label(x + 47, y, width, 18, name, 'name', 11)


def token_rows(x, y, widths):
    "A box for each word of the caption, four a row"
    out = []
    for i, word in enumerate(CAPTION.strip('.').split()):
        row, column = divmod(i, 4)
        left = x + sum(widths[4*row:i]) + 4*column
        look = WORDS.get(word, 'word')
        out.append(label(left, y + 24*row, widths[i], 20, word.lower(), look, 11.5))
    return ''.join(out)


def places(x, y, side, look):
    "The best places of both classes, as squares of a picture's 7 × 7"
    step = side/7
    size = f'width="{step:.1f}" height="{step:.1f}"'
    out = []
    for name, found in PLACES.items():
        for row, column in found:
            place = f'x="{x + step*column:.1f}" y="{y + step*row:.1f}"'
            out.append(f'<rect class="cell {TAGS[name]}" {place} {size}{look}/>')
    return ''.join(out)


def photo(x, y, side):
    "The photo under the lines of its places"
    data = base64.b64encode((images/'idea.jpg').read_bytes()).decode()
    place = f'x="{x}" y="{y}" width="{side}" height="{side}"'
    picture = f'<image {place} href="data:image/jpeg;base64,{data}"/>'
    lines = ''
    for i in range(1, 7):
        step = side*i/7
        lines += f'M{x + step:.1f} {y}v{side}M{x} {y + step:.1f}h{side}'
    cells = places(x, y, side, ' fill-opacity=".5"')
    return f'{picture}<path class="grid" d="{lines}"/>{cells}'


def grid(x, y, side):
    "A vector for each place: F"
    step = side/7
    size = round(step, 1)
    cells = ''
    for row in range(7):
        for column in range(7):
            left = round(x + step*column, 1)
            cells += box(left, round(y + step*row, 1), size, size, 'word', 0)
    return f'<g stroke-width=".7">{cells}{places(x, y, side, "")}</g>'


def tags(x, y):
    "The classes that are named, or found"
    bicycle = label(x, y, 62, 21, 'bicycle', 'a')
    return bicycle + label(x + 68, y, 78, 21, 'motorbike', 'b')


def dot(x, y):
    "Where a score leaves for the loss"
    return f'<circle class="tip" cx="{x}" cy="{y}" r="3"/>'


# For a desk: learning on the left, use on the right, and between them the prompts

def titles() -> list[str]:
    "Two panels, and what is in each column"
    return [
        box(8, 8, 252, 388, 'panel', 8),
        box(420, 8, 252, 388, 'panel', 8),
        text(20, 29, 'Learning', 'bold', 15.5),
        text(20, 47, 'sentences take the place of pictures', 'soft'),
        text(345, 29, 'Prompts', 'bold', 15.5, 'middle'),
        text(345, 47, 'all that learns', 'soft', 12.5, 'middle'),
        text(432, 29, 'Use', 'bold', 15.5),
        text(432, 47, 'the same prompts on a picture', 'soft'),
    ]


def caption() -> list[str]:
    "A sentence with its labels goes into the text encoder"
    return [
        text(20, 79, f'“{said("One bicycle is parked")}', 'said', 16),
        text(20, 101, f'{said("next to many motorcycles.")}”', 'said', 16),
        text(20, 132, 'its labels:', 'soft'),
        tags(96, 117),
        arrow('M134 145v18'),
        label(20, 168, 228, 26, 'CLIP’s text encoder, frozen', 'frozen'),
        arrow('M134 194v18'),
    ]


def prompts() -> list[str]:
    "Learned vectors and a class name go into the text encoder, too"
    return [
        prompt(287, 66, 'whole'),
        prompt(287, 92, 'part'),
        text(347, 132, '16 learned vectors', 'soft', 12.5, 'middle'),
        arrow('M347 145v18'),
        label(292, 168, 110, 26, 'text encoder', 'frozen'),
        arrow('M347 194v18'),
    ]


def picture_in() -> list[str]:
    "A photo goes into the image encoder"
    return [
        photo(498, 54, 96),
        arrow('M546 152v11'),
        label(432, 168, 228, 26, 'CLIP’s image encoder, frozen', 'frozen'),
        arrow('M546 194v18'),
    ]


def whole_scores() -> list[str]:
    "h and f, each compared with G"
    return [
        text(20, 237, 'the whole sentence', 'soft'),
        label(212, 218, 36, 30, 'h', 'whole', 15),
        arrow('M256 233h66', True),
        label(327, 218, 40, 30, 'G', 'whole', 15),
        arrow('M374 233h50', True),
        label(432, 218, 36, 30, 'f', 'whole', 15),
        text(478, 237, 'the whole picture', 'soft'),
    ]


def part_scores() -> list[str]:
    "H and F, each compared with L"
    return [
        text(20, 275, 'each word', 'soft'),
        text(248, 275, 'H', '', 15, 'end'),
        token_rows(20, 284, [34, 56, 24, 50, 40, 24, 44, 78]),
        arrow('M256 306h66', True),
        label(327, 291, 40, 30, 'L', 'part', 15),
        arrow('M374 306h50', True),
        grid(432, 262, 84),
        text(526, 275, 'F', '', 15),
        text(526, 296, 'each of 7 × 7 places', 'soft'),
    ]


def loss() -> list[str]:
    "Both scores go into the loss, which moves the prompts"
    return [
        label(20, 342, 228, 44, '', 'loss'),
        text(134, 360, 'ranking loss: the named classes', '', 12.5, 'middle'),
        text(134, 377, 'above all others', '', 12.5, 'middle'),
        dot(298, 233),
        dot(298, 306),
        arrow('M298 233V372H253'),
        text(308, 357, 'both scores', 'soft'),
        text(308, 376, 'go into the loss', 'soft'),
        back('M248 352h26V101h8'),
        back('M274 101V75h8'),
    ]


def result() -> list[str]:
    "The mean of both scores gives the tags"
    return [
        arrow('M474 348v17'),
        text(486, 362, 'mean of both scores', 'soft'),
        text(432, 385, 'Tags', 'bold', 14),
        tags(476, 370),
    ]


def wide() -> list[str]:
    "All parts of the drawing for a desk"
    return [
        *titles(), *caption(), *prompts(), *picture_in(), *whole_scores(), *part_scores(), *loss(),
        *result(),
    ]


# For a phone: learning above, use below, and between them the prompts

STRETCHED = 'textLength="324" lengthAdjust="spacingAndGlyphs"'


def tall_learning() -> list[str]:
    "A sentence goes into the text encoder"
    return [
        box(6, 6, 346, 148, 'panel', 8),
        box(6, 290, 346, 182, 'panel', 8),
        text(16, 25, '<tspan class="bold">Learning:</tspan> sentences take the place of pictures'),
        text(16, 50, f'<tspan {STRETCHED}>“{said(CAPTION)}”</tspan>', 'said', 13.5),
        arrow('M175 56v8'),
        label(16, 69, 326, 22, 'CLIP’s text encoder, frozen', 'frozen'),
        arrow('M31 91v8'),
        arrow('M200 91v8'),
        label(16, 104, 30, 30, 'h', 'whole', 15),
        text(52, 123, 'whole', 'soft'),
        text(112, 123, 'H', '', 15),
        token_rows(128, 104, [34, 56, 24, 50, 40, 24, 44, 80]),
    ]


def tall_prompts() -> list[str]:
    "The prompts, and the loss that moves them"
    return [
        arrow('M31 138v72', True),
        arrow('M300 154v56', True),
        dot(31, 174),
        dot(300, 174),
        arrow('M31 174h79'),
        arrow('M300 174h-78'),
        label(116, 162, 100, 24, 'ranking loss', 'loss'),
        back('M150 186v16h-74v11'),
        back('M182 186v16h40v11'),
        label(16, 214, 30, 30, 'G', 'whole', 15),
        prompt(54, 220, 'whole', 'name'),
        arrow('M31 250v66', True),
        label(285, 214, 30, 30, 'L', 'part', 15),
        prompt(200, 220, 'part', 'name'),
        arrow('M300 250v66', True),
        text(165, 264, 'Prompts, all that learns:', '', 12.5, 'middle'),
        text(165, 281, '16 vectors, then a class’s name', 'soft', 12, 'middle'),
    ]


def tall_use() -> list[str]:
    "A photo goes into the image encoder, and the scores give tags"
    return [
        text(50, 309, '<tspan class="bold">Use:</tspan> the same prompts on a picture'),
        label(16, 322, 30, 30, 'f', 'whole', 15),
        text(52, 341, 'whole', 'soft'),
        photo(126, 319, 80),
        text(248, 335, 'F', '', 15),
        grid(267, 322, 66),
        arrow('M166 400v8'),
        label(16, 413, 326, 22, 'CLIP’s image encoder, frozen', 'frozen'),
        arrow('M31 413V358'),
        arrow('M300 413V392'),
        text(16, 458, '<tspan class="bold">Tags</tspan>, by the mean of both:', '', 12),
        tags(188, 443),
    ]


def tall() -> list[str]:
    "All parts of the drawing for a phone"
    return [*tall_learning(), *tall_prompts(), *tall_use()]


# For a wall: the drawing for a desk, and what to say about it. A millimetre is two units

PLAIN_STYLE, _, _ = STYLE.partition('  @media')
COLUMNS = {                             # a heading, and lines of text under it
    '1  Sentences bring labels': [
        'A noun filter reads the classes',
        'off a caption: they are its',
        'positives, all others its',
        'negatives. Nobody labels',
        'a picture.'],
    '2  Prompts learn': [
        'Sixteen vectors before the',
        'name of a class learn; CLIP',
        'stays as it is. G is compared',
        'with whole sentences, L with',
        'their words.'],
    '3  Pictures take over': [
        'CLIP puts pictures and',
        'sentences into one space. So a',
        'picture replaces the sentence,',
        'and its places the words. The',
        'mean of both scores gives tags.'],
}
EQUATIONS = {
    'Scores': [
        'p<sub>i</sub> = ⟨h, G<sub>i</sub>⟩',
        'P<sub>ij</sub> = ⟨H<sub>j</sub>, L<sub>i</sub>⟩'],
    'Pooling': [
        'p′<sub>i</sub> = Σ<sub>j</sub> w<sub>ij</sub> P<sub>ij</sub>',
        'w<sub>ij</sub> ∝ exp(P<sub>ij</sub> / 0.02)'],
    'Loss': [
        'Σ<sub>i named</sub> Σ<sub>j not</sub>',
        'max(0, 1 − 4p<sub>i</sub> + 4p<sub>j</sub>)'],
}
REMARK = [
    'The ranking loss looks only at differences: a class that a caption forgets',
    'may be in the picture all the same, and need only score lower.',
]
SOURCES = [
    'Guo et al., Texts as Images in Prompt Tuning for Multi-Label Image Recognition, CVPR 2023, '
    'arxiv.org/abs/2211.12739',
    'Photo: COCO 000000011149, CC BY 2.0. Caption: COCO val2017, CC BY 4.0.',
    'Drawing and code: github.com/taidpt/taidpt, Apache License 2.0.',
]


def lowered(formula: str) -> str:
    "A formula with its indices set lower"
    start = '<tspan dy="7" font-size="20">'
    # what follows stands on the line again
    end = '</tspan><tspan dy="-7" font-size="30">\u200a</tspan>'
    return formula.replace('<sub>', start).replace('</sub>', end)


def columns(y: int, found: dict[str, list[str]], size: int, step: int) -> list[str]:
    "Three headings side by side, with their lines"
    parts = []
    for x, (heading, some) in zip((48, 430, 812), found.items()):
        parts.append(text(x, y, heading, 'bold', 24))
        for i, words in enumerate(some, 1): parts.append(text(x, y + 8 + step*i, words, '', size))
    return parts


def poster() -> list[str]:
    "All parts of the poster"
    formulas = {name: [*map(lowered, some)] for name, some in EQUATIONS.items()}
    drawn = '\n'.join(wide())
    return [
        text(48, 120, 'Texts as images', 'bold', 92),
        text(48, 178, 'Prompts for pictures, learned from sentences', 'soft', 42),
        f'<svg x="33" y="225" width="1122" height="667" viewBox="0 0 680 404">{drawn}</svg>',
        *columns(985, COLUMNS, 21, 36),
        *columns(1290, formulas, 30, 56),
        *[text(48, 1510 + 36*i, words, '', 25) for i, words in enumerate(REMARK)],
        *[text(48, 1600 + 26*i, words, 'soft', 17) for i, words in enumerate(SOURCES)],
    ]


def drawing(w, h, parts, style=STYLE, size=''):
    "The whole file"
    head = HEAD.format(w=w, h=h, about=ABOUT, style=style, size=size)
    return '\n'.join([head, *parts, '</svg>\n'])


def drawings() -> dict[str, str]:
    "What each file holds"
    a1 = ' width="594mm" height="841mm"'
    return {
        'idea.svg': drawing(680, 404, wide()),
        'idea-tall.svg': drawing(358, 478, tall()),
        'idea-poster.svg': drawing(1188, 1682, poster(), PLAIN_STYLE, a1),
    }


if __name__ == '__main__':
    for name, svg in drawings().items(): (images/name).write_text(svg, encoding='utf-8')
