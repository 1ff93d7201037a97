"""Score photos with a second look and with tiles: python build_second_look.py SHARED

They need the photos themselves, in SHARED/data/coco_dev and SHARED/data/voc2012_dev. The page on
wrappers measures the scores."""
import sys
from pathlib import Path

import torch
from taidpt.baselines.concepts import TextConcepts
from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.datasets.labelled import LabeledImages, bundled_photos, read_labels
from taidpt.encode import encode_texts
from taidpt.files import save_tensors
from taidpt.learner import TaIDPT
from taidpt.nounfilter import NounFilter
from taidpt.predict import Model
from taidpt.text.captions import bundled_captions
from taidpt.texts import template_sentences
from taidpt.wrappers import Rescored, Tiled
from taidpt.zeroshot import ZeroShotCLIP

from controls import Elsewhere
from development import joined
from evidence import FOLDER

CLASSES = VOC2007.spelled_naturally()
ZERO = 'zero-shot CLIP with DPT'


def labelled(folder: Path) -> LabeledImages:
    return read_labels(folder/'labels.tsv', CLASSES, folder/'images')


def learned_models() -> dict[str, Model]:
    clip = load_clip(device='cpu')
    known = NounFilter(CLASSES).label(list(bundled_captions()), progress=False)
    features = encode_texts(clip, (known + template_sentences(CLASSES)).texts, progress=False)
    models = {ZERO: ZeroShotCLIP(clip, CLASSES)}
    for name, kind in (('TaI-DPT', TaIDPT), ('concepts', TextConcepts)):
        models[name] = kind(clip, CLASSES).fit(known, features=features, progress=False)
    return models


def main(data: Path):
    coco = joined(labelled(data/'coco_dev'), bundled_photos(CLASSES))
    voc2012 = labelled(data/'voc2012_dev')
    order = torch.randperm(len(voc2012), generator=torch.Generator().manual_seed(0))
    voc2012 = voc2012[order[300:600]]               # the first 300 served to tune settings
    tensors = {'COCO, labels': coco.labels, 'VOC2012, labels': voc2012.labels}
    for name, model in learned_models().items():
        looks = {'first': model, 'second': Rescored(model), 'elsewhere': Elsewhere(model),
                 'tiles': Tiled(model)}
        for look, looking in looks.items():
            scores = looking.predict(coco.images, progress=False)
            tensors[f'COCO, {name}, {look}'] = scores.half()
            if name == ZERO and look in ('first', 'second'):
                scores = looking.predict(voc2012.images, progress=False)
                tensors[f'VOC2012, {name}, {look}'] = scores.half()
    save_tensors(FOLDER/'scores'/'second_look.safetensors', tensors, {})


if __name__ == '__main__': main(Path(sys.argv[1])/'data')
