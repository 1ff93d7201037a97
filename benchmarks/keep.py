"""What a change of structure must not change: labels and mAP, beside those that `keep.json` holds.

    python benchmarks/keep.py            compare; ends with status 1 where something differs
    python benchmarks/keep.py --write    keep the figures of this checkout

Labels agree to the bit, mAP to two decimals. Photos for development and captions lie in the folder
that TAIDPT_SHARED names; what is not there is not compared: TAIDPT_SHARED=/nowhere is quick.
"""
import hashlib
import json
import sys
from functools import partial
from itertools import product
from pathlib import Path

from common import SHARED

from taidpt.all import (
    COCO, NUSWIDE, VOC2007, Attended, ClassSet, FrozenCLIP, NounFilter, TaIDPT, TextConcepts,
    TextLinear, ZeroShotCLIP, bundled_captions, bundled_photos, encode_images, encode_texts,
    load_clip, mean_average_precision, read_captions, read_labels, template_sentences)
from taidpt.datasets.labelled import LabeledImages

KEPT = Path(__file__).with_name("keep.json")
METHODS = {
    "zero-shot CLIP": partial(ZeroShotCLIP, local=False),
    "zero-shot CLIP with DPT": ZeroShotCLIP,
    "TaI": partial(TaIDPT, local=False),
    "TaI-DPT": TaIDPT,
    "concepts": TextConcepts,
    "concepts with attention": TextConcepts,
    "linear": partial(TextLinear, templates=True),
}
SETS = [("voc2012_dev", VOC2007), ("coco_dev", VOC2007), ("coco_dev", COCO)]


def corpora() -> dict[str, list[str]]:
    "Captions by the name of their source"
    captions = {"bundled": list(bundled_captions())}
    for path in sorted((SHARED/"captions").glob("*")):
        column = 1 if path.suffix == '.tsv' else None
        captions[path.name] = list(read_captions(path, column))[:5_000]
    return captions


def labels() -> dict[str, str]:
    "A digest of the labels of captions, by either rule of the noun filter"
    digests = {}
    kinds = product(corpora().items(), (VOC2007, COCO, NUSWIDE), ("careful", "published"))
    for (name, captions), classes, rules in kinds:
        kept = NounFilter(classes, rules=rules).label(captions, progress=False)
        content = kept.labels.numpy().tobytes() + "\n".join(kept.texts).encode()
        digest = hashlib.sha256(content).hexdigest()
        digests[f"{name}, {classes.name}, {rules}"] = digest[:16]
    return digests


def maps(clip: FrozenCLIP, photos: LabeledImages, classes: ClassSet) -> dict[str, float]:
    "mAP of each method on labelled photos, in percent"
    train = NounFilter(classes).label(bundled_captions(), progress=False)
    sentences = train + template_sentences(classes)
    features = encode_texts(clip, sentences.texts, progress=False)
    images = encode_images(clip, [str(path) for path in photos.images], progress=False)
    shown = (photos.labels == 1).any(0)
    results = {}
    for name, make in METHODS.items():
        model = make(clip, classes)
        if hasattr(model, "fit"): model.fit(train, features=features, progress=False)
        if "attention" in name: model = Attended(model, features)
        scores = model.predict(images, progress=False)
        ap = mean_average_precision(photos.labels[:, shown], scores[:, shown])
        results[name] = round(ap, 2)
    return results


def measured() -> dict[str, dict]:
    "The figures of this checkout"
    clip = load_clip()
    figures = {
        "labels": labels(),
        "coco_demo, voc2007": maps(clip, bundled_photos(VOC2007), VOC2007),
    }
    for name, classes in SETS:
        folder = SHARED/name
        if not folder.is_dir(): continue
        photos = read_labels(folder/"labels.tsv", classes, folder/"images")
        figures[f"{name}, {classes.name}"] = maps(clip, photos, classes)
    return figures


def differences(before: dict[str, dict], now: dict[str, dict]) -> list[str]:
    "What is not as it was, in words"
    wrong = []
    for part, figures in now.items():
        for name, value in figures.items():
            kept = before[part].get(name)
            if kept != value: wrong.append(f"{part}: {name}: {kept} before, {value} now")
    return wrong


def main(write: bool) -> bool:
    now = measured()
    if write: KEPT.write_text(json.dumps(now, indent=1) + "\n")
    wrong = differences(json.loads(KEPT.read_text()), now)
    print(*wrong, f"{len(wrong)} figures have changed", sep="\n")
    return bool(wrong)


if __name__ == "__main__": sys.exit(main("--write" in sys.argv))
