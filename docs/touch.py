"""A notebook's numbers as a figure that moves on the site (`_static/touch.js`), and that is words everywhere else."""
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image
from torch import Tensor

from taidpt.losses import ranking_loss
from taidpt.plots import as_jpeg, where_highest

TAUS = (.001, .002, .003, .005, .007, .01, .015, .02, .025, .03, .04, .05, .07, .1, .15, .2, .3, .5, .7, 1.)


@dataclass
class TouchFigure:
    "A figure that moves on the site; everywhere else, a photo and words."
    kind: str                               # which figure of touch.js: 'places', 'pooling', 'margin' or 'weight'
    data: dict                              # the numbers that it needs
    words: str                              # what it shows
    photo: Image.Image | None = None        # as `model_view` gives it
    credit: dict | None = None              # an entry of `photo_credits`

    def __repr__(self): return self.words

    def _repr_html_(self):
        numbers = json.dumps(self.data, ensure_ascii=False, allow_nan=False, separators=(',', ':'))
        numbers = escape(numbers, quote=False).replace("'", '&#39;')
        parts = [f"<div class=\"taidpt-touch\" data-kind=\"{self.kind}\" data-figure='{numbers}'>"]
        if self.photo:
            alt = f'Photo of {", ".join(self.credit["labels"])}' if self.credit else ''
            content = base64.b64encode(as_jpeg(self.photo, quality=80, optimize=True)).decode()
            parts.append(f'<img src="data:image/jpeg;base64,{content}" alt="{escape(alt)}" width="{self.photo.width}" height="{self.photo.height}">')
        parts.append(f'<p>{escape(self.words)}</p>')
        if self.credit:
            source, licence = escape(self.credit['source']), escape(self.credit['license_url'])
            parts.append(f'<p class="credit">Photo: <a href="{source}">COCO {int(self.credit["coco_id"])}</a>, '
                         f'<a href="{licence}">{escape(self.credit["license"])}</a>, downscaled and cropped.</p>')
        return '\n'.join([*parts, '</div>'])


def decimals(x: Tensor) -> list: return x.detach().cpu().double().round(decimals=6).tolist()

def pooled(P: Tensor, tau: float) -> Tensor:
    "Cosines, … × positions, pooled with weights softmax(P / tau) (Eq. 6)"
    return ((P / tau).softmax(-1) * P).sum(-1)

def best_three(names: Sequence[str], scores: Tensor) -> list[str]:
    "The best classes with their scores, in words"
    return [f'{names[c]} {scores[c]:.2f}' for c in scores.topk(min(3, len(scores))).indices]


def touch_places(photo, maps, words, P, names, tau_image=0.025, tau_text=0.02, credit=None) -> TouchFigure:
    "Point at a class to see where it looks, or at a place or token to see its classes. maps: C × h × w; P: tokens × C"
    here, there = pooled(maps.flatten(1), tau_image), pooled(P.T, tau_text)
    data = dict(names=[*names], grid=[*maps.shape[1:]], photo=decimals(maps.flatten(1)),
                words=[*words], sentence=decimals(P.T), tau=[tau_image, tau_text])
    found = [f'{told} {where_highest(maps[c])}' for told, c in zip(best_three(names, here), here.topk(3).indices)]
    read = [f'{told} at “{words[P[:, c].argmax()]}”' for told, c in zip(best_three(names, there), there.topk(3).indices)]
    said = (f'The best classes with their local scores, and where each scores highest. '
            f'In the photo: {"; ".join(found)}. In the sentence: {"; ".join(read)}.')
    return TouchFigure('places', data, said, photo, credit)


def touch_pooling(photo, maps, names, tau=0.025, credit=None, taus=TAUS) -> TouchFigure:
    "Slide the temperature of Eq. 6, one of `taus`. maps: C × h × w"
    P = maps.flatten(1)
    data = dict(names=[*names], grid=[*maps.shape[1:]], maps=decimals(P), taus=[*taus], tau=tau)
    told = '; '.join(f'at {t:g}: {", ".join(best_three(names, pooled(P, t)))}' for t in (taus[0], tau, taus[-1]))
    return TouchFigure('pooling', data, f'The best classes with their local scores, by temperature: {told}.', photo, credit)


def touch_margin(sentences, scores, labels, names, margin=1., scale=4.) -> TouchFigure:
    "Slide margin and scale of Eq. 7. scores, labels: sentences × C"
    told = []
    for sentence, s, y in zip(sentences, scale*scores, labels):
        pairs = int((margin - s[y][:, None] + s[~y] > 0).sum())
        told.append(f'“{sentence}” {pairs} of {int(y.sum()*(~y).sum())} pairs, loss {ranking_loss(s[None], y[None], margin):.2f}.')
    data = dict(names=[*names], sentences=[*sentences], scores=decimals(scores), labels=labels.tolist(), margin=margin, scale=scale,
                margins=[k/20 for k in range(41)], scales=[float(k) for k in range(1, 17)])
    return TouchFigure('margin', data, f'Active pairs at a margin of {margin:g} and a scale of {scale:g}. {" ".join(told)}')


def touch_weight(weights, ap, names, members, start) -> TouchFigure:
    "Slide the weight of an ensemble's second member (Sec. 3.5). ap: weights × C, in percent"
    weights, total = [*weights], ap.mean(1)
    data = dict(names=[*names], weights=weights, map=decimals(total), ap=decimals(ap), members=[*members], start=start)
    k, best = weights.index(start), int(total.argmax())
    said = (f'mAP of {members[0]} alone {total[0]:.2f}, of {members[1]} alone {total[-1]:.2f}; '
            f'together {total[k]:.2f} with a weight of {start:g} for {members[1]}, '
            f'and at most {total[best]:.2f}, at {weights[best]:g}.')
    return TouchFigure('weight', data, said)
