"""What the pages of this folder run on: photos that this project develops with, or else the bundled ones."""
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from taidpt import texts
from taidpt.clip import load_clip
from taidpt.datasets.labelled import LabeledPictures, bundled_photos, read_labels, with_classes
from taidpt.datasets.samples import few_shot
from taidpt.learner import RANKING, TaIDPT
from taidpt.nounfilter import NounFilter
from taidpt.paper.study import Study
from taidpt.text.corpora import bundled_captions


def shared_data():
    "The folder of the photos, beside the checkout or in the environment's TAIDPT_SHARED; None where there is none."
    beside = [p/'shared' for p in Path.cwd().resolve().parents]
    if 'TAIDPT_SHARED' in os.environ: beside = [Path(os.environ['TAIDPT_SHARED'])]
    def whole(data): return (data/'coco_dev').is_dir() and (data/'flickr8k').is_dir()
    return next((p/'data' for p in beside if whole(p/'data')), None)


def hurry():
    "Without the photos a page shows no more than that it runs; few template sentences, captions and steps make that quick."
    if not shared_data():
        texts.TEMPLATES = texts.TEMPLATES[:4]
        TaIDPT.published['steps'] = 8
        RANKING.update(epochs=1, steps=4)
    return list(bundled_captions())[:None if shared_data() else 1500]


def miniature(folder='coco_dev', min_photos=1, **kwargs):
    "A study on the embedded CLIP, in a temporary folder: on photos of `shared_data` without rare classes, or on the bundled ones."
    def photos(name):
        found = read_labels(shared_data()/folder/'labels.tsv', name)
        return replace(found, labels=found.labels & (found.labels.sum(0) >= min_photos))
    if shared_data(): kwargs['photos'] = photos
    hurry()
    return Study(load_clip(device='cpu'), tempfile.mkdtemp(), **kwargs)


def quick_prompts(clip, classes, limit=3000, **settings):
    "TaI-DPT's prompts from some of the bundled captions that name a class, at random, or from all (COCO val2017, CC BY 4.0)."
    found = NounFilter(classes).label(hurry(), progress=False)
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    return TaIDPT(clip, classes, **settings).fit(found[order[:limit]], progress=False)


def bundled_split(names=('person', 'chair', 'dining table', 'banana'), shots=2):
    "Some of the 36 bundled photos to learn from, a few of each of these classes of COCO, and the others to be tested on."
    photos = with_classes(bundled_photos(), names)
    drawn = few_shot(photos.labels, shots, classes=photos.classes)
    return photos[drawn], photos[~torch.isin(torch.arange(len(photos)), drawn)]


def flickr8k(split, classes):
    "Photos of Flickr8k ('train', 'dev' or 'test') labelled with what their five captions name."
    folder, reader = shared_data()/'flickr8k', NounFilter(classes)
    names = (folder/f'{split}_images.txt').read_text().split()
    row = {name: i for i,name in enumerate(names)}
    labels = torch.zeros(len(names), len(classes), dtype=torch.bool)
    for line in (folder/'captions.tsv').read_text(encoding='utf-8').splitlines():
        name, sentence = line.split('\t', 1)
        if name in row: labels[row[name], list(reader.columns(sentence))] = True
    return LabeledPictures([folder/'images'/name for name in names], labels, classes)


def joined(*sets):
    "Labelled pictures of the same classes as one set."
    files = [p for s in sets for p in s.pictures]
    return LabeledPictures(files, torch.cat([s.labels for s in sets]), sets[0].classes)


def miniature_photos(classes, min_shots, names=None, halve=False):
    """Photos of Flickr8k to learn from, `min_shots` of each class; of COCO and VOC2012 to be tested on.

    With `halve`, half of COCO's are learned from, too. A class takes part if two test photos show it."""
    def photos_of(name): return read_labels(shared_data()/name/'labels.tsv', classes)
    coco, voc = photos_of('coco_dev'), [photos_of('voc2012_dev')]*(classes.name == 'voc2007')
    order, half = torch.arange(len(coco)), len(coco)//2*halve
    if halve: order = torch.randperm(len(coco), generator=torch.Generator().manual_seed(0))
    test = joined(coco[order[half:]], bundled_photos(classes), *voc)
    pool = flickr8k('train', classes)
    enough = (pool.labels.sum(0) >= min_shots) & (test.labels.sum(0) >= 2)
    names = [n for n in names or classes.names if enough[classes.index(n)]]
    pool = with_classes(pool, names)
    pool = pool[few_shot(pool.labels, min_shots, classes=pool.classes)]
    if halve: pool = joined(with_classes(coco[order[:half]], names), pool)
    return pool, with_classes(test, names)
