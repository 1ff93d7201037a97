"""What a change of structure must not change: labels and mAP, beside those that `keep.json` holds.

    python benchmarks/keep.py            compare; ends with status 1 where something differs
    python benchmarks/keep.py --write    keep the figures of this checkout

Labels agree to the bit, mAP to two decimals. Photos for development and captions lie in the folder that TAIDPT_SHARED names; what
is not there is not compared, so that TAIDPT_SHARED=/nowhere is quick.
"""
import hashlib
import json
import sys
from functools import partial
from itertools import product
from pathlib import Path

from common import SHARED

from taidpt.all import (
    COCO, NUSWIDE, VOC2007, Attended, NounFilter, TaIDPT, TextConcepts, TextLinear, ZeroShotCLIP, bundled_captions,
    bundled_photos, encode_pictures, encode_sentences, load_clip, mean_average_precision, read_captions,
    read_labels, template_sentences)

KEPT = Path(__file__).with_name("keep.json")
METHODS = {
    "zero-shot CLIP": partial(ZeroShotCLIP, local=False), "zero-shot CLIP with DPT": ZeroShotCLIP,
    "TaI": partial(TaIDPT, local=False), "TaI-DPT": TaIDPT, "concepts": TextConcepts,
    "concepts with attention": TextConcepts, "linear": partial(TextLinear, templates=True)}


def labels() -> dict[str, str]:
    "A digest of the labels of captions, by either rule of the noun filter"
    found, corpora = {}, {"bundled": list(bundled_captions())}
    for path in sorted((SHARED/"captions").glob("*")): corpora[path.name] = list(read_captions(path))[:5_000]
    for name, classes, rules in product(corpora, (VOC2007, COCO, NUSWIDE), ("careful", "published")):
        kept = NounFilter(classes, rules=rules).label(corpora[name], progress=False)
        content = kept.labels.numpy().tobytes() + "\n".join(kept.texts).encode()
        found[f"{name}, {classes.name}, {rules}"] = hashlib.sha256(content).hexdigest()[:16]
    return found


def maps(clip, photos, classes) -> dict[str, float]:
    "mAP of each method on labelled photos, in percent"
    train = NounFilter(classes).label(bundled_captions(), progress=False)
    features = encode_sentences(clip, (train + template_sentences(classes)).texts, progress=False)
    pictures = encode_pictures(clip, [str(p) for p in photos.pictures], progress=False)
    seen, found = (photos.labels == 1).any(0), {}
    for name, make in METHODS.items():
        model = make(clip, classes)
        if hasattr(model, "fit"): model.fit(train, features=features, progress=False)
        if "attention" in name: model = Attended(model, features)
        scores = model.predict(pictures, progress=False)
        found[name] = round(mean_average_precision(photos.labels[:, seen], scores[:, seen]), 2)
    return found


def main(write: bool) -> bool:
    clip = load_clip()
    now = {"labels": labels(), "coco_demo, voc2007": maps(clip, bundled_photos(VOC2007), VOC2007)}
    for name, classes in (("voc2012_dev", VOC2007), ("coco_dev", VOC2007), ("coco_dev", COCO)):
        if not (folder := SHARED/name).is_dir(): continue
        now[f"{name}, {classes.name}"] = maps(clip, read_labels(folder/"labels.tsv", classes, folder/"images"), classes)
    if write: KEPT.write_text(json.dumps(now, indent=1) + "\n")
    before = json.loads(KEPT.read_text())
    wrong = [f"{part}: {name}: {before[part].get(name)} before, {value} now"
             for part, figures in now.items() for name, value in figures.items() if before[part].get(name) != value]
    print(*wrong, f"{len(wrong)} figures have changed", sep="\n")
    return bool(wrong)


if __name__ == "__main__": sys.exit(main("--write" in sys.argv))
