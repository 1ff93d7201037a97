"""Draw ten seconds of learning from a run of forty steps: docs/images/learning.svg, which moves,
and learning-still.svg, the last step.

    python docs/learning.py         learn, note every step or two in learning.json, draw
    python docs/learning.py draw    draw what is noted

The front page and tutorials/learn show it; whoever prefers less motion sees the still. Five classes
are learned from bundled captions: points of sentences stay where they are, points of classes move,
the loss falls, and the map of a class over a photo changes. The photo is idea.jpg, the square that
the embedded CLIP sees of 000000011149.jpg (CC BY 2.0).
"""
import base64
import json
import sys
from pathlib import Path

images = Path(__file__).resolve().parent/'images'

NAMES = ['person', 'bicycle', 'motorbike', 'bus', 'dog']
SHOWN = 'bicycle'                       # the class whose map lies over the photo
STEPS = 40
NOTED = [*range(11), *range(12, 21, 2), *range(23, 39, 3), STEPS]
OF_A_CLASS = 12                         # sentences that are drawn
SECONDS = 10
LEARNING = .8                           # share of the time; then the last step stays
ABOUT = 'Forty steps: the loss falls from 6.1 to 1.7, and bicycle’s map brightens.'

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
STYLE = GROUND + '''  .c0 { fill: #6b3fc4; }
  .c1 { fill: #1f6fb2; }
  .c2 { fill: #b3560f; }
  .c3 { fill: #2b7a43; }
  .c4 { fill: #bf2a6c; }
  .sentence { fill-opacity: .35; }
  .path { fill: none; stroke: #8994a3; stroke-width: .8; }
  .loss { fill: none; stroke: #566171; stroke-width: 1.5; }
  .now { fill: #b64a4a; }
  .map { fill: #ffd23f; }
  .dim { fill: #10131a; fill-opacity: .45; }
''' + GROUND_ON_DARK + '''    .c0 { fill: #b9a0f5; }
    .c1 { fill: #7ab8ee; }
    .c2 { fill: #f0a868; }
    .c3 { fill: #7fcf96; }
    .c4 { fill: #f590bf; }
    .path { stroke: #6d7885; }
    .loss { stroke: #adb7c4; }
    .now { fill: #e58a8a; }
  }'''
HEAD = '''<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" \
font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" \
font-size="12" role="img" aria-labelledby="title about">
<title id="title">Prompts learn from sentences</title>
<desc id="about">{description}</desc>
<style>{style}{motion}
</style>
<rect class="card" width="{w}" height="{h}" rx="10"/>'''


def text(x, y, words, look='', size=12.5, anchor='start'):
    "A line of text"
    place = f'x="{x}" y="{y}"'
    font = f'font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} class="{look}" {font}>{words}</text>'


# The run

def single(labelled) -> list:
    "For each class, numbers of some sentences that name it and no other"
    alone = labelled.labels.sum(1) == 1
    chosen = []
    for column in range(len(NAMES)):
        rows = (labelled.labels[:, column] & alone).nonzero().flatten()
        chosen.append(rows[:OF_A_CLASS])
    return chosen


def plane(h, drawn):
    "The two directions in which the means of the classes' sentences differ most, and their centre"
    import torch
    means = torch.stack([h[rows].mean(0) for rows in drawn])
    centre = means.mean(0)
    _, _, directions = torch.linalg.svd(means - centre)
    return directions[:2].T, centre


def record(steps: int = STEPS) -> dict:
    "Learn so many steps, and note where classes are, the loss of all sentences and the map"
    import torch
    from PIL import Image
    from torch.nn.functional import normalize

    from taidpt.all import (
        NounFilter, PromptLearner, bundled_captions, bundled_photos, load_clip, ranking_loss,
    )
    from taidpt.encode import encode_texts
    from taidpt.scores import branch_scores, dense_scores
    clip = load_clip(device='cpu')
    labelled = NounFilter(NAMES).label(list(bundled_captions())[::20], progress=False)
    features = encode_texts(clip, labelled.texts, progress=False)
    h = normalize(torch.as_tensor(features.global_).float(), dim=-1)
    drawn = single(labelled)
    directions, centre = plane(h, drawn)
    photo = next(p for p in bundled_photos().images if p.name == '000000011149.jpg')
    _, F = clip.encode_image(clip.preprocess(Image.open(photo).convert('RGB'))[None])

    prompts = PromptLearner(clip, NAMES, n_ctx=16, seed=0)
    sgd = torch.optim.SGD(prompts.parameters(), lr=.003, momentum=.9)
    generator = torch.Generator().manual_seed(0)

    def loss_of(rows):
        u, U, mask = features.batch(rows)
        branches = branch_scores(u, U, G, L, .02, mask)
        return sum(ranking_loss(4*scores, labelled.labels[rows]) for scores in branches)

    noted = {'steps': [], 'classes': [], 'losses': [], 'maps': []}
    for step in range(steps + 1):
        G, L = prompts()
        if step in NOTED:
            with torch.no_grad():
                places = (normalize(G, dim=-1) - centre) @ directions
                seen = dense_scores(F, L)[0][:, NAMES.index(SHOWN)]
                noted['losses'].append(round(loss_of(range(len(h))).item(), 3))
            noted['steps'].append(step)
            noted['classes'].append(rounded(places))
            noted['maps'].append(rounded(seen))
        loss = loss_of(torch.randint(len(h), (32,), generator=generator))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    noted['sentences'] = [rounded((h[rows] - centre) @ directions) for rows in drawn]
    noted['learned_from'] = len(h)
    return noted


def rounded(numbers) -> list:
    "A tensor as nested lists of short numbers"
    if numbers.ndim > 1: return [rounded(row) for row in numbers]
    return [round(x, 3) for x in numbers.tolist()]


# The drawing: points at the upper left, the photo beside them, the loss below

WIDTH, HEIGHT = 358, 292
POINTS = (8, 28, 166)                   # x, y and side
PHOTO = (184, 28, 166)
LOSS = (36, 222, 306, 48)               # x, y, width and height
LEFT, TOP, ACROSS = -.82, .52, 1.36     # what is shown of the plane
LABELS = {                              # where a name stands, from its point
    'person': (8, 4, 'start'), 'bicycle': (-8, 2, 'end'), 'motorbike': (18, 15, 'end'),
    'bus': (8, 4, 'start'), 'dog': (8, 4, 'start'),
}
DARK = .1                               # a cosine that gets nothing of the map's colour


def on_plane(place) -> tuple[float, float]:
    "Where a point of the plane is drawn"
    left, top, side = POINTS
    x, y = place
    return round(left + side*(x - LEFT)/ACROSS, 1), round(top + side*(TOP - y)/ACROSS, 1)


def on_curve(step: int, loss: float, highest: float) -> tuple[float, float]:
    "Where a loss is drawn"
    left, top, width, height = LOSS
    return round(left + width*step/STEPS, 1), round(top + height*(1 - loss/highest), 1)


def brightness(cosine: float, highest: float) -> float:
    "How much of the map's colour lies over a place"
    return round(.85*max(0, cosine - DARK)/(highest - DARK), 2)


def frames(name: str, steps: list[int], states: list[str]) -> str:
    "What a part of the drawing does in the course of the run; the last state stays a while"
    kept = []
    for step, state in zip(steps, states):
        kept.append(f'{100*LEARNING*step/STEPS:g}%{{{state}}}')
    return f'@keyframes {name}{{{"".join(kept)}100%{{{states[-1]}}}}}'


def moved(place) -> str: return f'transform:translate({place[0]}px,{place[1]}px)'


def played(name: str) -> str: return f'.{name}{{animation:{name} {SECONDS}s linear infinite}}'


def line(points) -> str:
    "Points as a path"
    return 'M' + ' '.join(f'{x} {y}' for x, y in points)


def points(noted: dict) -> tuple[list[str], list[str]]:
    "Sentences, which stay, and classes, which move; and how"
    parts = [f'<rect class="panel" x="8" y="28" width="{POINTS[2]}" height="{POINTS[2]}" rx="6"/>']
    motion = []
    for column, places in enumerate(noted['sentences']):
        for place in places:
            x, y = on_plane(place)
            parts.append(f'<circle class="sentence c{column}" cx="{x}" cy="{y}" r="2.2"/>')
    for column, name in enumerate(NAMES):
        way = [on_plane(classes[column]) for classes in noted['classes']]
        parts.append(f'<path class="path" d="{line(way)}"/>')
        x, y = way[-1]
        right, down, anchor = LABELS[name]
        label = text(right, down, name, '', 11, anchor)
        dot = f'<circle class="c{column}" r="5"/>'
        parts.append(f'<g class="k{column}" transform="translate({x} {y})">{dot}{label}</g>')
        motion += [frames(f'k{column}', noted['steps'], [*map(moved, way)]), played(f'k{column}')]
    return parts, motion


def heat_map(noted: dict) -> tuple[list[str], list[str]]:
    "The photo under the places of its map; and how these change"
    left, top, side = PHOTO
    data = base64.b64encode((images/'idea.jpg').read_bytes()).decode()
    place = f'x="{left}" y="{top}" width="{side}" height="{side}"'
    parts = [
        f'<image {place} href="data:image/jpeg;base64,{data}"/>', f'<rect class="dim" {place}/>']
    motion = []
    size = round(side/7, 2)
    highest = max(max(cosines) for cosines in noted['maps'])
    for j in range(49):
        row, column = divmod(j, 7)
        states = [brightness(cosines[j], highest) for cosines in noted['maps']]
        where = f'x="{left + column*size:.1f}" y="{top + row*size:.1f}"'
        cell = f'{where} width="{size}" height="{size}" opacity="{states[-1]}"'
        parts.append(f'<rect class="map p{j}" {cell}/>')
        motion += [
            frames(f'p{j}', noted['steps'], [f'opacity:{state}' for state in states]),
            played(f'p{j}')]
    return parts, motion


def curve(noted: dict) -> tuple[list[str], list[str]]:
    "The loss, drawn as far as the run has come; and how it grows"
    left, top, width, height = LOSS
    losses = noted['losses']
    way = [on_curve(step, loss, losses[0]) for step, loss in zip(noted['steps'], losses)]
    x, y = way[-1]
    parts = [
        f'<path class="path" d="M{left} {top}v{height}h{width}"/>',
        f'<clipPath id="run"><rect class="run" x="0" y="{top - 5}" width="{width}" '
        f'height="{height + 10}" transform="translate({left} 0)"/></clipPath>',
        f'<path class="loss" clip-path="url(#run)" d="{line(way)}"/>',
        f'<circle class="now dot" r="4" transform="translate({x} {y})"/>',
        text(left - 4, top + 8, f'{losses[0]:.1f}', 'soft', 11, 'end'),
        text(left - 4, top + height, '0', 'soft', 11, 'end'),
        text(left, top + height + 14, 'step 0', 'soft', 11),
        text(left + width, top + height + 14, f'{STEPS}', 'soft', 11, 'end'),
        text(left + width, y - 9, f'{losses[-1]:.1f}', 'soft', 11, 'end'),
    ]
    start = f'transform:translate({left}px,0) scaleX(0)'
    end = f'transform:translate({left}px,0) scaleX(1)'
    motion = [
        frames('run', [0, STEPS], [start, end]), played('run'),
        frames('dot', noted['steps'], [*map(moved, way)]), played('dot')]
    return parts, motion


def drawing(noted: dict, moves: bool = True) -> str:
    "The whole file"
    parts = [
        text(10, 19, 'Classes and sentences', 'bold', 11.5),
        text(PHOTO[0], 19, f'Where “{SHOWN}” looks', 'bold', 11.5),
        text(10, 212, f'Loss of {noted["learned_from"]} sentences', 'bold', 11.5),
    ]
    motion = []
    for more_parts, more_motion in (points(noted), heat_map(noted), curve(noted)):
        parts += more_parts
        motion += more_motion
    rules = '\n'.join(motion)
    quietly = f'\n  @media (prefers-reduced-motion: no-preference) {{\n{rules}\n  }}'
    head = HEAD.format(
        w=WIDTH, h=HEIGHT, description=ABOUT, style=STYLE, motion=quietly if moves else '')
    return '\n'.join([head, *parts, '</svg>\n'])


def drawings() -> dict[str, str]:
    "What each file holds"
    noted = json.loads((images/'learning.json').read_text(encoding='utf-8'))
    return {'learning.svg': drawing(noted), 'learning-still.svg': drawing(noted, moves=False)}


def main():
    if sys.argv[1:] != ['draw']:
        kept = json.dumps(record()) + '\n'
        (images/'learning.json').write_text(kept, encoding='utf-8')
    for name, svg in drawings().items(): (images/name).write_text(svg, encoding='utf-8')


if __name__ == '__main__': main()
