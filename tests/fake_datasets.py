"""The layouts of the paper's data sets in small: the bundled photos and captions under the names of
the originals. A run on the real data takes hours; a wrong path shows here in seconds.

    python tests/fake_datasets.py DIR
"""
import json
import shutil
import sys
from itertools import islice
from pathlib import Path

from taidpt.all import COCO, NUSWIDE, VOC2007, bundled_captions, bundled_photos

GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # numbers up to 90 without a category of COCO
NARRATIVES = 'open_images_train_v6_captions.jsonl'


def write_lines(path: Path, lines):
    "A text file, and its folder"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def copy_photos(folder: Path, names: list[str]):
    "The bundled photos under other names, perhaps with a folder"
    for photo, name in zip(bundled_photos().images, names):
        copy = folder/name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, copy)


def write_voc(home: Path):
    "VOC2007: one table a class"
    photos = bundled_photos(VOC2007)
    numbers = [photo.stem[-6:] for photo in photos.images]
    copy_photos(home/'JPEGImages', [f'{n}.jpg' for n in numbers])
    lists = home/'ImageSets'/'Main'
    for split in ('test', 'trainval'):
        write_lines(lists/f'{split}.txt', numbers)
        for name, column in zip(VOC2007.names, photos.signed().T.tolist()):
            rows = [f'{n} {label:2d}' for n, label in zip(numbers, column)]
            write_lines(lists/f'{name}_{split}.txt', rows)


def instances(files: list[str]) -> dict:
    "The content of COCO's file of instances: one for all classes, with gaps in their numbers"
    numbers = [i for i in range(1, 91) if i not in GAPS]
    notes = [
        {'image_id': i, 'category_id': numbers[c], 'iscrowd': 0, 'bbox': [0, 0, 9, 9]}
        for i, c in bundled_photos().labels.nonzero().tolist()]
    return {
        'images': [{'id': i, 'file_name': file} for i, file in enumerate(files)],
        'categories': [{'id': i, 'name': name} for i, name in zip(numbers, COCO.names)],
        'annotations': notes}


def write_coco(home: Path):
    "MS-COCO without captions"
    for split in ('val2014', 'train2014'):
        files = [f'COCO_{split}_{photo.name}' for photo in bundled_photos().images]
        copy_photos(home/split, files)
        write_lines(home/'annotations'/f'instances_{split}.json', [json.dumps(instances(files))])


def write_nuswide(home: Path):
    "NUS-WIDE: one column a concept, and paths of Windows"
    photos = bundled_photos(NUSWIDE)
    files = [f'{"zoo" if i % 2 else "actor"}/{p.name}' for i, p in enumerate(photos.images)]
    copy_photos(home/'Flickr', files)
    write_lines(home/'Concepts81.txt', NUSWIDE.names)
    for split in ('Train', 'Test'):
        listed = [file.replace('/', '\\') for file in files]
        write_lines(home/'ImageList'/f'{split}Imagelist.txt', listed)
        for name, column in zip(NUSWIDE.names, photos.labels.T.int().tolist()):
            write_lines(home/'TrainTestLabels'/f'Labels_{name}_{split}.txt', column)


def write_miniature(root, captions: int = 600):
    "The layouts of all data sets, with some of the bundled captions; an error if the folder exists"
    root = Path(root)
    root.mkdir(parents=True)
    write_voc(root/'VOCdevkit'/'VOC2007')
    write_coco(root/'COCO')
    write_nuswide(root/'NUSWIDE')
    annotations = [{'id': i, 'caption': text}
                   for i, text in enumerate(islice(bundled_captions(), captions))]
    coco = root/'COCO'/'annotations'/'captions_train2017.json'
    write_lines(coco, [json.dumps({'annotations': annotations})])
    write_lines(root/'OpenImages'/'captions'/NARRATIVES, map(json.dumps, annotations))


if __name__ == '__main__': write_miniature(sys.argv[1])
