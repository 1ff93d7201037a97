"""What the pages of this folder share: experiments on the photos of `evidence`, and tables."""
import copy
import tempfile
import warnings
from dataclasses import replace
from functools import cache
from itertools import cycle, islice

import numpy as np
import torch
from taidpt.classes import COCO, VOC2007, ClassSet
from taidpt.clip import load_clip
from taidpt.datasets.labelled import LASO_NOVEL, LabeledImages, few_shot
from taidpt.ensemble import ensemble_scores
from taidpt.evaluate import markdown_table
from taidpt.learner import TaIDPT
from taidpt.metrics import Measured
from taidpt.nounfilter import NounFilter
from taidpt.paper.study import Run, data_digest, draw
from taidpt.text.captions import bundled_captions
from taidpt.texts import template_sentences
from taidpt.training import PUBLISHED
from taidpt.zeroshot import ZeroShotCLIP

from evidence import StoredStudy, gain, photos

warnings.filterwarnings('ignore', '.*labels that are no class')     # of COCO, beside VOC2007's

# The paper's recipe, where the embedded CLIP recommends others: chosen on photos of these pages
PAPER = {name: getattr(PUBLISHED, name) for name in ('lr', 'epochs', 'warmup_lr', 'scale')}

def miniature(name='coco_dev', min_photos=1, **kwargs) -> StoredStudy:
    "A study on the embedded CLIP and a set of photos without rare classes, in a temporary folder"
    def labelled(data_set): return photos(name, ClassSet.published(data_set), min_photos)
    return StoredStudy(load_clip(), tempfile.mkdtemp(), photos=labelled, **kwargs)


def quick_prompts(study, classes, limit=3000):
    """TaI-DPT of each seed, as `Scene` takes it: by the paper's recipe, and as the embedded CLIP
    recommends. It learns from some of the bundled captions that name a class, at random, or from
    all (COCO val2017, CC BY 4.0)."""
    labelled = NounFilter(classes).label(list(bundled_captions()), progress=False)
    order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(0))
    train = labelled[order[:limit]]
    texts = (train + template_sentences(classes)).texts
    def prompts(seed, recipe):
        model = TaIDPT(study.clip, classes, seed=seed, **recipe)
        @cache
        def learn():
            features = study.sentence_features(texts)
            return copy.copy(model).fit(train, features=features, progress=False)
        return Run(model, learn, data_digest(train))
    by_paper = [prompts(seed, PAPER) for seed in study.seeds]
    recommended = [prompts(seed, {}) for seed in study.seeds]
    return by_paper, recommended


def joined(*sets: LabeledImages) -> LabeledImages:
    "Labelled images of the same classes as one set."
    images = []
    for labelled in sets: images += labelled.images
    return LabeledImages(images, torch.cat([labelled.labels for labelled in sets]),
                         sets[0].classes)


def photos_to_test(classes, halve=False):
    """Photos of COCO and VOC2012 to be tested on, and the bundled ones.

    With `halve`, a random half of COCO's and of VOC2012's comes first, to be learned from, which is
    else empty."""
    names = ['coco_dev']
    if classes.name == 'voc2007': names.append('voc2012_dev')
    learn = []
    test = [photos('coco_demo', classes)]
    for name in names:
        labelled = photos(name, classes)
        count = len(labelled)//2 if halve else 0
        drawn = draw(len(labelled), count)
        learn.append(labelled[drawn])
        test.append(labelled[~drawn])
    return joined(*learn), joined(*test)


def miniature_photos(classes, min_shots, names=None, least=2):
    """Photos of Flickr8k to learn from, `min_shots` of each class; of COCO and VOC2012 to be tested
    on. A class takes part if `least` test photos show it."""
    _, test = photos_to_test(classes)
    pool = photos('flickr8k', classes, split='train')
    enough = (pool.labels.sum(0) >= min_shots) & (test.labels.sum(0) >= least)
    names = [name for name in names or classes.names if enough[classes.index(name)]]
    pool = pool.with_classes(names)
    return pool[few_shot(pool.labels, min_shots, classes=pool.classes)], test.with_classes(names)


def novel_photos():
    "Photos of Table 2, of LaSO's novel classes: to learn from, to be tested on, to search on"
    novel = [name for name in COCO.names if name in LASO_NOVEL]
    train, test = miniature_photos(COCO, 10, novel)
    val = photos('flickr8k', COCO, split='dev').with_classes(train.classes.names)
    return train, test, val[few_shot(val.labels, 5)]


def pool_of_shots(classes, shots):
    "Flickr8k's photos to learn from, of the classes that twice as many photos show"
    pool = photos('flickr8k', classes, split='train')
    enough = pool.labels.sum(0) >= 2*shots
    return pool.with_classes([name for name, yes in zip(classes.names, enough) if yes])


def few_photos() -> set[str]:
    "File names of the photos of Flickr8k that the pages learn from or search on"
    train, _ = miniature_photos(VOC2007, 24)
    few, _, val = novel_photos()
    pool = pool_of_shots(VOC2007, 8)
    images = train.images + few.images + val.images
    for seed in (0, 1, 2):
        images += [pool.images[i] for i in few_shot(pool.labels, 8, seed)]
    return {image.name for image in images}


def halved_photos(classes, least=5):
    """Halves of the photos of COCO and VOC2012, with their own labels, to learn from and to be
    tested on. A class takes part if `least` photos of both show it."""
    learn, test = photos_to_test(classes, halve=True)
    enough = (learn.labels.sum(0) >= least) & (test.labels.sum(0) >= least)
    names = [name for name, shown in zip(classes.names, enough) if shown]
    return [learn.with_classes(names), test.with_classes(names)]


VERSIONS = '', ', centred'              # of a method's name


def versions(scene):
    "An experiment as published, and with centred class embeddings, by the ending of names"
    return dict(zip(VERSIONS, (scene, replace(scene, centre=True))))


def zero_shot(scene):
    """mAP of zero-shot CLIP on an experiment's test photos, alone and with DPT, as published and
    centred, by method and 0 shots."""
    scores = {}
    for name, local in (('zero-shot CLIP', False), ('zero-shot CLIP with DPT', True)):
        model = ZeroShotCLIP(scene.study.clip, scene.test.classes, local=local)
        for version, of_version in versions(scene).items():
            cell = of_version.ready(Run(model, source='no training'))
            scores[name + version, 0] = [cell.both]
    return scene.measured(scores)


def ensemble(first, second, weight):
    "mAP of two methods together, run by run; a method that has one run takes part in all."
    n = max(len(first.runs), len(second.runs))
    pairs = zip(cycle(first.runs), cycle(second.runs))
    scores = [ensemble_scores(pair, [weight, 1 - weight]) for pair in islice(pairs, n)]
    return Measured(first.labels, scores, first.names)


def with_tuned(results, scene, tuned, weight):
    """Results, also with prompts from sentences that learn as the embedded CLIP recommends (†):
    alone, and with each method that `results` has with TaI-DPT; as published and centred."""
    results = dict(results)
    for version, of_version in versions(replace(scene, prompts=tuned)).items():
        cells = of_version.sentences()
        scores = {}
        if ('TaI', 0) in results: scores[f'TaI †{version}', 0] = [cell.alone for cell in cells]
        scores[f'TaI-DPT †{version}', 0] = [cell.both for cell in cells]
        results |= scene.measured(scores)
        ending = f' + TaI-DPT{version}'
        for method, k in [*results]:
            if method.endswith(ending):
                member = method.removesuffix(ending)
                pair = results[member + version, k], results[f'TaI-DPT †{version}', 0]
                results[f'{member} + TaI-DPT †{version}', k] = ensemble(*pair, weight)
    return results


def nulls(results, member, k, weight, version=''):
    """Ensembles in which a member from images, or TaI-DPT, gives its place to one that learned
    nothing, or to its own like, by name; `version`: ', centred' for centred members."""
    tai, zero = results[f'TaI-DPT{version}', 0], results[f'zero-shot CLIP with DPT{version}', 0]
    few = results[member + version, k]
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


def gain_text(lead):
    "A gain as text, with its interval; in bold if that excludes 0."
    text = f'{lead.value:+.1f} ({lead.low:+.1f} to {lead.high:+.1f})'
    return f'**{text}**' if lead.low > 0 or lead.high < 0 else text


def marked_text(contrast):
    "A gain as text, with § if seeds dominate its interval, as the report marks it."
    mark = ' §' if contrast.seeds_dominate() else ''
    return gain_text(contrast) + mark


def heading(column):
    "A number of images, a share of labels in percent, or words."
    return f'{100*column:.0f}' if isinstance(column, float) else str(column)


def by_column(results, columns, title):
    """mAP and its interval as a table: two rows for each method, as published and centred, and a
    column for each number of images or share of labels."""
    rows = []
    for method in dict.fromkeys(name.removesuffix(', centred') for name, _ in results):
        for version in VERSIONS:
            row = [method + version]
            for k in columns:
                text = ''
                if (method + version, k) in results:
                    value, low, high = results[method + version, k].map()
                    text = f'{value:.1f} ({low:.1f} to {high:.1f})'
                row.append(text)
            rows.append(row)
    return markdown_table([title, *map(heading, columns)], rows, 1)


def leads(results, pairs, columns, title):
    """Gains of one method over another as a table, for pairs of methods, as published and below
    centred. A method that learns from no image is the same in each column."""
    rows = []
    for more, less in pairs:
        for version in VERSIONS:
            row = [f'{more} over {less}{version}']
            for k in columns:
                keys = [(more + version, k), (less + version, k)]
                both = [results.get(key, results.get((key[0], 0))) for key in keys]
                measured = any(key in results for key in keys) and None not in both
                row.append(marked_text(gain(*both)) if measured else '')
            rows.append(row)
    return markdown_table([title, *map(heading, columns)], rows, 1)


def published_rows(numbers, columns):
    "A published table as Markdown, with the same rows and columns."
    rows = []
    for method in dict.fromkeys(m for m, _ in numbers):
        rows.append([method, *(str(numbers.get((method, k), '')) for k in columns)])
    return markdown_table(['Guo et al., CVPR 2023', *columns.values()], rows, 1)


def how_many(measured):
    "A line on the test photos of what was measured."
    return f'{len(measured.labels):,} test photos, {len(measured.names)} classes'


def chosen_on_half(by_tau, reference):
    """For 100 random halves of the photos: the temperature that is best on one half, and what it
    gains over another, the reference, on the other half."""
    count, rng = len(by_tau[reference].labels), np.random.default_rng(0)

    def mean_map(tau, rows):
        measured = by_tau[tau]
        return np.mean(Measured(measured.labels[rows], measured.runs[:, rows]).map_by_run)

    chosen, gains = [], []
    for _ in range(100):
        one, other = np.array_split(rng.permutation(count), 2)
        best = max(by_tau, key=lambda tau: mean_map(tau, one))
        chosen.append(best)
        gains.append(mean_map(best, other) - mean_map(reference, other))
    return chosen, np.array(gains)


ANIMALS = 'dog', 'cat', 'horse', 'cow', 'sheep'         # each photo of VOC2012 here shows one


def part_of(measured, photos, classes):
    "Measured scores on some photos, N bool, and some classes, C bool."
    at = np.ix_(photos, classes)
    return Measured(measured.labels[at], [run[at] for run in measured.runs])


def of_animals(measured, yes=True):
    "Measured scores on the five animals, or else on the other classes."
    classes = np.isin(measured.names, ANIMALS) == yes
    return part_of(measured, np.ones(len(measured.labels), bool), classes)
