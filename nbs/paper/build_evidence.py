"""Build the folder `evidence` from photos: python build_evidence.py SHARED

SHARED/data has the photos in the folders voc2012_dev, voc2012_test, coco_dev and flickr8k,
SHARED/reference the scores of the authors' models, and SHARED/golden the labels that their code
gives to the bundled captions. The README of the folder says how the photos were scaled."""
import gzip
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from taidpt.classes import COCO, NUSWIDE, VOC2007, ClassSet
from taidpt.clip import load_clip
from taidpt.datasets.labelled import LabeledImages, bundled_photos, read_labels
from taidpt.encode import encode_images
from taidpt.files import DATA, join_labels, save_tensors
from taidpt.nounfilter import NounFilter

from evidence import FOLDER, photo_table
from development import few_photos

SETS = {'voc2012_dev': [VOC2007], 'voc2012_test': [VOC2007],
        'coco_dev': [VOC2007, COCO, NUSWIDE], 'coco_demo': [VOC2007, COCO, NUSWIDE]}
COMPONENTS = 128


def label_texts(photos: LabeledImages) -> list[str]:
    return [join_labels(photos.names(i)) for i in range(len(photos))]


def with_sizes(table: dict[str, list], images: list[Path]) -> pd.DataFrame:
    "A table with the width and height of each photo"
    sizes = [Image.open(image).size for image in images]
    width, height = zip(*sizes)
    names = [image.name for image in images]
    return pd.DataFrame({'image': names, 'width': width, 'height': height} | table)


def labelled(name: str, folder: Path, classes: ClassSet) -> LabeledImages:
    if name == 'coco_demo': return bundled_photos(classes)
    return read_labels(folder/'labels.tsv', classes, folder/'images')


def photo_set(name: str, folder: Path) -> tuple[pd.DataFrame, list[Path]]:
    "The table of a set with labels of its own, and its files"
    sets = {classes.name: labelled(name, folder, classes) for classes in SETS[name]}
    images = next(iter(sets.values())).images
    texts = {classes: label_texts(photos) for classes, photos in sets.items()}
    return with_sizes(texts, images), images


def caption_labels(sentences: list[str], reader: NounFilter, least: int = 1) -> str:
    "The classes that `least` captions of a photo or more name"
    counts = Counter()
    for sentence in sentences: counts.update(set(reader.columns(sentence)))
    named = [reader.classes.names[c] for c in sorted(counts) if counts[c] >= least]
    return join_labels(named)


def read_flickr8k(folder: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    "Captions and split of each photo"
    captions, split = {}, {}
    for line in (folder/'captions.tsv').read_text(encoding='utf-8').splitlines():
        name, sentence = line.split('\t', 1)
        captions.setdefault(name, []).append(sentence)
    for name in ('train', 'dev', 'test'):
        for image in (folder/f'{name}_images.txt').read_text().split(): split[image] = name
    return captions, split


def flickr8k(folder: Path) -> tuple[pd.DataFrame, list[Path]]:
    """Flickr8k: the classes that a photo's captions name, all five of them, the first two and the
    last three"""
    captions, split = read_flickr8k(folder)
    columns = {'split': list(split.values())}
    for classes in (VOC2007, COCO):
        reader = NounFilter(classes)
        parts = {classes.name: slice(None)}
        if classes is VOC2007:
            parts |= {'voc2007_two': slice(2), 'voc2007_three': slice(2, None)}
        for column, part in parts.items():
            columns[column] = [caption_labels(captions[image][part], reader) for image in split]
    images = [folder/'images'/image for image in split]
    return with_sizes(columns, images), images


def flickr8k_test(folder: Path) -> pd.DataFrame:
    "Flickr8k's test photos: the classes that two of a photo's five captions name"
    captions, split = read_flickr8k(folder)
    tested = [image for image, name in split.items() if name == 'test']
    reader = NounFilter(VOC2007)
    labels = [caption_labels(captions[image], reader, least=2) for image in tested]
    return with_sizes({VOC2007.name: labels}, [folder/'images'/image for image in tested])


def packed(vectors: torch.Tensor) -> dict[str, torch.Tensor]:
    "Unit vectors, N × 50 × D: their first principal components in steps of 1/127 of the largest"
    flat = vectors.flatten(0, 1)
    mean = flat.mean(0)
    _, axes = torch.linalg.eigh((flat - mean).T @ (flat - mean))    # the largest last
    axes = axes.flip(1)[:, :COMPONENTS].T.contiguous()
    components = (vectors - mean) @ axes.T
    steps = (components.abs().amax(-1)/127).half()
    codes = (components/steps.float()[..., None]).round().clamp(-127, 127).to(torch.int8)
    return {'mean': mean, 'axes': axes, 'codes': codes, 'steps': steps}


def write_published_labels(golden: Path, name: str):
    "Labels of the bundled captions, in their order, as bits"
    raw = (DATA/'captions'/'coco_captions_val2017.json.gz').read_bytes()
    bundled = [caption['id'] for caption in json.loads(gzip.decompress(raw))['annotations']]
    file = f'published_labels_{name}.npz'
    with np.load(golden/file) as z:
        if z['ids'].tolist() != bundled:
            raise ValueError(f'{golden/file} must have the bundled captions, in their order')
        np.savez_compressed(FOLDER/file, ids=z['ids'], labels=z['labels'], classes=z['classes'])


def main(shared: Path):
    data = shared/'data'
    tables = {name: photo_set(name, data/name) for name in SETS}
    tables['flickr8k'] = flickr8k(data/'flickr8k')
    FOLDER.joinpath('photos').mkdir(parents=True, exist_ok=True)
    written = {name: table for name, (table, _) in tables.items()}
    written['flickr8k_test'] = flickr8k_test(data/'flickr8k')
    for name, table in written.items():
        table.to_csv(FOLDER/'photos'/f'{name}.tsv', sep='\t', index=False, lineterminator='\n')

    drawn = few_photos()                            # of Flickr8k, to learn from
    files = [file for name in SETS for file in tables[name][1]]
    split = photo_table('flickr8k')['split']
    for file, part in zip(tables['flickr8k'][1], split):
        if part == 'test' or file.name in drawn: files.append(file)

    clip = load_clip(device='cpu')
    store = encode_images(clip, files, pos_embed=(False, True))
    f = store.global_[:, 0].float()
    places = store.local.float().unflatten(0, (len(f), -1))
    vectors = F.normalize(torch.cat([f[:, None], places], 1), dim=-1)
    recipe = clip.feature_recipe(pos_embed=False)
    save_tensors(FOLDER/'features.safetensors', packed(vectors),
                 {'images': [file.name for file in files], 'recipe': recipe})

    with np.load(shared/'reference'/'voc2007_test_scores.npz') as z:
        scores = {name: torch.from_numpy(z[name]) for name in z}
    scores = {name: t.half() if t.is_floating_point() else t for name, t in scores.items()}
    save_tensors(FOLDER/'voc2007_authors.safetensors', scores,
                 {'source': 'https://github.com/guozix/TaI-DPT', 'photos': 'VOC2007 test'})
    for name in ('voc2007', 'coco'): write_published_labels(shared/'golden', name)


if __name__ == '__main__': main(Path(sys.argv[1]))
