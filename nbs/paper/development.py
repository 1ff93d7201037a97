"""Photos that this project develops with, for the pages of this folder: ../shared has them, the package does not."""
import torch
from taidpt.datasets.labelled import LabeledPictures, bundled_photos, read_labels, with_classes
from taidpt.datasets.samples import few_shot
from taidpt.nounfilter import NounFilter
from taidpt.paper.study import shared_data


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
    def photos_of(name):
        return read_labels(shared_data()/name/'labels.tsv', classes, shared_data()/name/'images')
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
