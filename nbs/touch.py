"""A notebook's numbers as a figure that moves on the site (`docs/_static/touch.js`), and that is
words everywhere else."""
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from taidpt.losses import ranking_loss
from taidpt.plots import as_jpeg, where_highest

TAUS = (
    .001, .002, .003, .005, .007, .01, .015, .02, .025, .03, .04, .05, .07, .1, .15, .2, .3, .5,
    .7, 1.)


def photo_tag(photo: Image.Image, credit: dict|None) -> str:
    "A photo in HTML, with its labels as words"
    alt = f'Photo of {", ".join(credit["labels"])}' if credit else ''
    content = base64.b64encode(as_jpeg(photo, quality=80, optimize=True)).decode()
    size = f'width="{photo.width}" height="{photo.height}"'
    return f'<img src="data:image/jpeg;base64,{content}" alt="{escape(alt)}" {size}>'


def credit_tag(credit: dict) -> str:
    "Where a photo is from, in HTML"
    source = f'<a href="{escape(credit["source"])}">COCO {int(credit["coco_id"])}</a>'
    licence = f'<a href="{escape(credit["license_url"])}">{escape(credit["license"])}</a>'
    return f'<p class="credit">Photo: {source}, {licence}, downscaled and cropped.</p>'


@dataclass
class TouchFigure:
    "A figure that moves on the site; everywhere else, a photo and words."
    kind: str                    # of touch.js: 'places', 'pooling', 'margin' or 'weight'
    data: dict                   # the numbers that it needs
    words: str                   # what it shows
    photo: Image.Image|None = None   # as `model_view` gives it
    credit: dict|None = None     # an entry of `photo_credits`

    def __repr__(self): return self.words

    def _repr_html_(self):
        numbers = json.dumps(
            self.data, ensure_ascii=False, allow_nan=False, separators=(',', ':'))
        numbers = escape(numbers, quote=False).replace("'", '&#39;')
        kind = f'class="taidpt-touch" data-kind="{self.kind}"'
        parts = [f"<div {kind} data-figure='{numbers}'>"]
        if self.photo: parts.append(photo_tag(self.photo, self.credit))
        parts.append(f'<p>{escape(self.words)}</p>')
        if self.credit: parts.append(credit_tag(self.credit))
        return '\n'.join([*parts, '</div>'])


def decimals(x: Tensor) -> list:
    "Numbers with six digits, as lists"
    return x.detach().cpu().double().round(decimals=6).tolist()


def pooled(P: Tensor, tau: float) -> Tensor:
    "Cosines, … × positions, pooled with weights softmax(P / tau) (Eq. 6)"
    return ((P / tau).softmax(-1) * P).sum(-1)


def best_three(scores: Tensor) -> Tensor:
    "The columns of the best classes"
    return scores.topk(min(3, len(scores))).indices


def with_scores(names: Sequence[str], scores: Tensor) -> list[str]:
    "The best classes with their scores, in words"
    best = best_three(scores)
    return [f'{names[c]} {score:.2f}' for c, score in zip(best, scores[best].tolist())]


def touch_places(
    photo,                # as the model sees it
    maps: Tensor,         # its cosines, C × h × w
    words: Sequence[str], # tokens of a sentence
    P: Tensor,            # their cosines, tokens × C
    names: Sequence[str], # classes
    tau_image=0.025,      # temperature of Eq. 6 for a picture
    tau_text=0.02,        # and for a sentence
    credit=None,          # of the photo
) -> TouchFigure:
    "Point at a class to see where it looks, or at a place or token to see its classes"
    of_photo = pooled(maps.flatten(1), tau_image)
    of_sentence = pooled(P.T, tau_text)
    data = dict(
        names=[*names], grid=[*maps.shape[1:]], photo=decimals(maps.flatten(1)),
        words=[*words], sentence=decimals(P.T), tau=[tau_image, tau_text])
    seen = []
    for scored, c in zip(with_scores(names, of_photo), best_three(of_photo)):
        seen.append(f'{scored} {where_highest(maps[c])}')
    read = []
    for scored, c in zip(with_scores(names, of_sentence), best_three(of_sentence)):
        read.append(f'{scored} at “{words[P[:, c].argmax()]}”')
    text = (
        f'The best classes with their local scores, and where each scores highest. '
        f'In the photo: {"; ".join(seen)}. In the sentence: {"; ".join(read)}.')
    return TouchFigure('places', data, text, photo, credit)


def touch_pooling(
    photo,                # as the model sees it
    maps: Tensor,         # its cosines, C × h × w
    names: Sequence[str], # classes
    tau: ArrayLike=0.025, # where the figure starts
    credit=None,          # of the photo
    taus=TAUS,            # where one can slide to
) -> TouchFigure:
    "Slide the temperature of Eq. 6"
    P = maps.flatten(1)
    data = dict(names=[*names], grid=[*maps.shape[1:]], maps=decimals(P), taus=[*taus], tau=tau)
    lines = []
    for t in (taus[0], tau, taus[-1]):
        lines.append(f'at {t:g}: {", ".join(with_scores(names, pooled(P, t)))}')
    text = f'The best classes with their local scores, by temperature: {"; ".join(lines)}.'
    return TouchFigure('pooling', data, text, photo, credit)


def touch_margin(
    sentences: Sequence[str], # captions
    scores: Tensor,           # sentences × C
    labels: Tensor,           # sentences × C, bool
    names: Sequence[str],     # classes
    margin=1.,                # where the figure starts
    scale=4.,                 # and the factor of all scores
) -> TouchFigure:
    "Slide margin and scale of Eq. 7"
    scores, labels = scores.cpu(), labels.cpu()
    lines = []
    for sentence, s, y in zip(sentences, scale*scores, labels):
        active = int((margin - s[y][:, None] + s[~y] > 0).sum())
        pairs = int(y.sum()*(~y).sum())
        loss = ranking_loss(s[None], y[None], margin)
        lines.append(f'“{sentence}” {active} of {pairs} pairs, loss {loss:.2f}.')
    data = dict(
        names=[*names], sentences=[*sentences], scores=decimals(scores), labels=labels.tolist(),
        margin=margin, scale=scale, margins=[k/20 for k in range(41)],
        scales=[float(k) for k in range(1, 17)])
    start = f'Active pairs at a margin of {margin:g} and a scale of {scale:g}.'
    return TouchFigure('margin', data, ' '.join([start, *lines]))


def touch_weight(
    weights: Sequence[float], # of the second member
    ap: Tensor,               # weights × C, in percent
    names: Sequence[str],     # classes
    members: Sequence[str],   # names of both
    start: float,             # the weight at which the figure starts
) -> TouchFigure:
    "Slide the weight of an ensemble's second member (Sec. 3.5)"
    weights = [*weights]
    total = ap.mean(1)
    data = dict(
        names=[*names], weights=weights, map=decimals(total), ap=decimals(ap), members=[*members],
        start=start)
    at_start = total[weights.index(start)]
    best = int(total.argmax())
    first, second = members
    text = (
        f'mAP of {first} alone {total[0]:.2f}, of {second} alone {total[-1]:.2f}; '
        f'together {at_start:.2f} with a weight of {start:g} for {second}, '
        f'and at most {total[best]:.2f}, at {weights[best]:g}.')
    return TouchFigure('weight', data, text)
