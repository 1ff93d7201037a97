"""What the pages of this folder run on: photos that this project develops with, or else the bundled
ones."""
import json
import os
import tempfile
import warnings
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from IPython.display import display
from taidpt.clip import load_clip
from taidpt.datasets.labelled import LabeledImages, bundled_photos, few_shot, read_labels
from taidpt.ensemble import ensemble_scores
from taidpt.learner import TaIDPT
from taidpt.metrics import Interval, Measured
from taidpt.nounfilter import NounFilter
from taidpt.paper.study import Run, Study, data_digest, draw
from taidpt.evaluate import markdown_table
from taidpt.texts import template_sentences
from taidpt.text.captions import bundled_captions
from taidpt.training import PUBLISHED
from taidpt.zeroshot import ZeroShotCLIP

warnings.filterwarnings('ignore', '.*labels that are no class')     # of COCO, beside VOC2007's

# The paper's recipe, where the embedded CLIP recommends others: chosen on photos of these pages
PAPER = {name: getattr(PUBLISHED, name) for name in ('lr', 'epochs', 'warmup_lr', 'scale')}


def shared_data():
    """The folder of the photos, beside the checkout or in the environment's TAIDPT_SHARED; None
    where there is none."""
    places = [parent/'shared' for parent in Path.cwd().resolve().parents]
    if 'TAIDPT_SHARED' in os.environ: places = [Path(os.environ['TAIDPT_SHARED'])]
    for place in places:
        data = place/'data'
        if (data/'coco_dev').is_dir() and (data/'flickr8k').is_dir(): return data
    return None


def page_captions():
    """The bundled captions; without the photos, where a page shows no more than that it runs, the
    first 1,500."""
    captions = list(bundled_captions())
    return captions if shared_data() else captions[:1500]


def miniature(folder='coco_dev', min_photos=1, **kwargs):
    """A study on the embedded CLIP, in a temporary folder: on photos of `shared_data` without rare
    classes, or on the bundled ones."""
    def photos(name):
        images = read_labels(shared_data()/folder/'labels.tsv', name)
        common = images.labels.sum(0) >= min_photos
        return replace(images, labels=images.labels & common)
    if shared_data(): kwargs['photos'] = photos
    return Study(load_clip(device='cpu'), tempfile.mkdtemp(), **kwargs)


def quick_prompts(study, classes, limit=3000):
    """TaI-DPT of each seed, as `Scene` takes it: by the paper's recipe, and as the embedded CLIP
    recommends. It learns from some of the bundled captions that name a class, at random, or from
    all (COCO val2017, CC BY 4.0)."""
    labelled = NounFilter(classes).label(page_captions(), progress=False)
    order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(0))
    train = labelled[order[:limit]]
    texts = (train + template_sentences(classes)).texts
    def prompts(seed, recipe):
        model = TaIDPT(study.clip, classes, seed=seed, **recipe)
        def learn():
            return model.fit(train, features=study.sentence_features(texts), progress=False)
        return Run(model, learn, data_digest(train))
    paper = PAPER if shared_data() else PAPER | {'epochs': 2}
    by_paper = [prompts(seed, paper) for seed in study.seeds]
    recommended = [prompts(seed, {}) for seed in study.seeds]
    return by_paper, recommended


def bundled_split(names=('person', 'chair', 'dining table', 'banana'), shots=2):
    """Some of the 36 bundled photos to learn from, a few of each of these classes of COCO, and the
    others to be tested on."""
    photos = bundled_photos().with_classes(names)
    drawn = few_shot(photos.labels, shots, classes=photos.classes)
    others = ~torch.isin(torch.arange(len(photos)), drawn)
    return photos[drawn], photos[others]


def flickr8k(split, classes):
    "Photos of Flickr8k ('train', 'dev' or 'test') labelled with what their five captions name."
    folder = shared_data()/'flickr8k'
    reader = NounFilter(classes)
    names = (folder/f'{split}_images.txt').read_text().split()
    row = {name: i for i, name in enumerate(names)}
    labels = torch.zeros(len(names), len(classes), dtype=torch.bool)
    for line in (folder/'captions.tsv').read_text(encoding='utf-8').splitlines():
        name, sentence = line.split('\t', 1)
        if name in row: labels[row[name], list(reader.columns(sentence))] = True
    return LabeledImages([folder/'images'/name for name in names], labels, classes)


def joined(*sets):
    "Labelled images of the same classes as one set."
    images = []
    for photos in sets: images += photos.images
    return LabeledImages(images, torch.cat([photos.labels for photos in sets]), sets[0].classes)


def photos_to_test(classes, halve=False):
    """Photos of COCO and VOC2012 to be tested on, and the bundled ones.

    With `halve`, a random half of COCO's and of VOC2012's comes first, to be learned from, which is
    else empty."""
    folders = ['coco_dev']
    if classes.name == 'voc2007': folders.append('voc2012_dev')
    learn = []
    test = [bundled_photos(classes)]
    for folder in folders:
        photos = read_labels(shared_data()/folder/'labels.tsv', classes)
        count = len(photos)//2 if halve else 0
        drawn = draw(len(photos), count)
        learn.append(photos[drawn])
        test.append(photos[~drawn])
    return joined(*learn), joined(*test)


def miniature_photos(classes, min_shots, names=None, least=2):
    """Photos of Flickr8k to learn from, `min_shots` of each class; of COCO and VOC2012 to be tested
    on. A class takes part if `least` test photos show it."""
    _, test = photos_to_test(classes)
    pool = flickr8k('train', classes)
    enough = (pool.labels.sum(0) >= min_shots) & (test.labels.sum(0) >= least)
    names = [name for name in names or classes.names if enough[classes.index(name)]]
    pool = pool.with_classes(names)
    return pool[few_shot(pool.labels, min_shots, classes=pool.classes)], test.with_classes(names)


def halved_photos(classes, least=5):
    """Halves of the photos of COCO and VOC2012, with their own labels, to learn from and to be
    tested on. A class takes part if `least` photos of both show it."""
    learn, test = photos_to_test(classes, halve=True)
    enough = (learn.labels.sum(0) >= least) & (test.labels.sum(0) >= least)
    names = [name for name, shown in zip(classes.names, enough) if shown]
    return [learn.with_classes(names), test.with_classes(names)]


def zero_shot(scene):
    """mAP of zero-shot CLIP on an experiment's test photos, alone and with DPT, by method and 0
    shots."""
    scores = {}
    for name, local in (('zero-shot CLIP', False), ('zero-shot CLIP with DPT', True)):
        model = ZeroShotCLIP(scene.study.clip, scene.test.classes, local=local)
        cell = scene.study.cell(scene.test, Run(model, source='no training'))
        scores[name, 0] = [cell.both]
    return scene.measured(scores)


def ensemble(first, second, weight):
    "mAP of two methods together, run by run; a method that has one run takes part in all."
    n = max(len(first.runs), len(second.runs))
    pairs = zip(cycle(first.runs), cycle(second.runs))
    scores = [ensemble_scores(pair, [weight, 1 - weight]) for pair in islice(pairs, n)]
    return Measured(first.labels, scores, first.names)


def with_tuned(results, scene, tuned, weight):
    """Results, also with prompts from sentences that learn as the embedded CLIP recommends (†):
    alone, and with each method that `results` has with TaI-DPT."""
    results = dict(results)
    cells = replace(scene, prompts=tuned).sentences()
    for method, branch in (('TaI', 'alone'), ('TaI-DPT', 'both')):
        scores = [getattr(cell, branch) for cell in cells]
        if (method, 0) in results: results |= scene.measured({(f'{method} †', 0): scores})
    for method, k in [*results]:
        if method.endswith(' + TaI-DPT'):
            member = results[method.removesuffix(' + TaI-DPT'), k]
            results[f'{method} †', k] = ensemble(member, results['TaI-DPT †', 0], weight)
    return results


def nulls(results, member, k, weight):
    """Ensembles in which a member from images, or TaI-DPT, gives its place to one that learned
    nothing, or to its own like, by name."""
    tai, zero = results['TaI-DPT', 0], results['zero-shot CLIP with DPT', 0]
    few = results[member, k]
    def with_scores(runs): return Measured(tai.labels, runs, tai.names)
    noise = with_scores(np.random.default_rng(0).normal(size=tai.runs.shape))
    other_seeds = with_scores(np.roll(tai.runs, 1, 0))
    other_draws = with_scores(np.roll(few.runs, 1, 0))
    return {
        'random scores + TaI-DPT': ensemble(noise, tai, weight),
        'zero-shot CLIP + TaI-DPT': ensemble(zero, tai, weight),
        'two seeds of TaI-DPT': ensemble(other_seeds, tai, weight),
        f'{member} + zero-shot CLIP': ensemble(few, zero, weight),
        f'two draws of {member}': ensemble(few, other_draws, weight)}


def gain_text(gain):
    "A gain as text, with its interval; in bold if that excludes 0."
    text = f'{gain.value:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})'
    return f'**{text}**' if gain.low > 0 or gain.high < 0 else text


def by_column(results, columns, title='method'):
    """mAP and its interval as a table: a row for each method, a column for each number of images
    or share of labels."""
    rows = []
    for method in dict.fromkeys(m for m, _ in results):
        row = [method]
        for k in columns:
            text = ''
            if (method, k) in results:
                value, low, high = results[method, k].map()
                text = f'{value:.1f} ({low:.1f} to {high:.1f})'
            row.append(text)
        rows.append(row)
    return markdown_table([title, *columns.values()], rows, 1)


def published_rows(numbers, columns):
    "A published table as Markdown, with the same rows and columns."
    rows = []
    for method in dict.fromkeys(m for m, _ in numbers):
        rows.append([method, *(str(numbers.get((method, k), '')) for k in columns)])
    return markdown_table(['Guo et al., CVPR 2023', *columns.values()], rows, 1)


def how_many(test):
    "A line on an experiment's test photos."
    return f'{len(test):,} test photos, {len(test.classes)} classes'


NUMBERS = 'application/vnd.taidpt.numbers+json'


def show_with_numbers(text, numbers, kind='text/markdown'):
    """Show a table, or lines (`kind` 'text/plain'), and keep beside it what it rounds: intervals by
    name, for the pages that judge them."""
    exact = {name: list(map(float, interval)) for name, interval in numbers.items()}
    display({kind: text, 'text/plain': text, NUMBERS: exact}, raw=True)


def stored_numbers(page, cell):
    "The intervals that a cell of another page keeps beside its output, by name."
    place = Path(__file__).parent/f'{page}.ipynb'
    cells = json.loads(place.read_text(encoding='utf-8'))['cells']
    outputs = next(c['outputs'] for c in cells if c.get('id') == cell)
    kept = next(o['data'][NUMBERS] for o in outputs if NUMBERS in o.get('data', {}))
    return {name: Interval(*numbers) for name, numbers in kept.items()}


ANIMALS = 'dog', 'cat', 'horse', 'cow', 'sheep'         # each photo of VOC2012 here shows one


def part_of(measured, photos, classes):
    "Measured scores on some photos, N bool, and some classes, C bool."
    at = np.ix_(photos, classes)
    return Measured(measured.labels[at], [run[at] for run in measured.runs])


def of_animals(measured, yes=True):
    "Measured scores on the five animals, or else on the other classes."
    classes = np.isin(measured.names, ANIMALS) == yes
    return part_of(measured, np.ones(len(measured.labels), bool), classes)
