"""What a change of structure must not change: labels, features, prompts and mAP, beside those that `keep.json` holds.

    python benchmarks/keep.py            compare; ends with status 1 where something differs
    python benchmarks/keep.py --quick    labels, and what needs no photos but the package's
    python benchmarks/keep.py --write    keep the figures of this checkout

Labels agree to the bit, mAP to two decimals. Photos for development and captions lie in the folder that TAIDPT_SHARED names.
"""
import hashlib
import json
import sys
from pathlib import Path

import torch
from common import SHARED

from taidpt.all import (
    COCO, NUSWIDE, VOC2007, NounFilter, TaIDPT, ZeroShotCLIP, bundled_captions, bundled_photos, encode_pictures,
    encode_sentences, load_clip, mean_average_precision, read_captions, read_labels, template_sentences)
from taidpt.baselines.concepts import TextConcepts
from taidpt.baselines.linear import TextLinear

KEPT = Path(__file__).with_name("keep.json")
METHODS = {
    "zero-shot CLIP": lambda clip, classes: ZeroShotCLIP(clip, classes, local=False),
    "zero-shot CLIP with DPT": ZeroShotCLIP,
    "TaI": lambda clip, classes: TaIDPT(clip, classes, local=False),
    "TaI-DPT": TaIDPT,
    "concepts": TextConcepts,
    "concepts with attention": lambda clip, classes: TextConcepts(clip, classes, attention=.02),
    "linear": lambda clip, classes: TextLinear(clip, classes, templates=True),
}


def digest(*parts: bytes) -> str: return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def labels() -> dict[str, str]:
    "A digest of the labels of captions, by either rule of the noun filter"
    found = {}
    corpora = {"bundled": list(bundled_captions())}
    for path in sorted((SHARED/"captions").glob("*")):
        try: corpora[path.name] = list(read_captions(path))[:5_000]
        except ValueError: continue                                     # a licence
    for name, texts in corpora.items():
        for classes in (VOC2007, COCO, NUSWIDE):
            for rules in ("careful", "published"):
                kept = NounFilter(classes, rules=rules).label(texts, progress=False)
                found[f"{name}, {classes.name}, {rules}"] = digest(kept.labels.numpy().tobytes(), "\n".join(kept.texts).encode())
    return found


def maps(clip, photos, classes) -> dict[str, float]:
    "mAP of each method on labelled photos, in percent"
    train = NounFilter(classes).label(bundled_captions(), progress=False)
    texts = (train + template_sentences(classes)).texts
    features = encode_sentences(clip, texts, progress=False)
    pictures = encode_pictures(clip, [str(p) for p in photos.pictures], progress=False)
    seen = (photos.labels == 1).any(0)
    found = {}
    for name, make in METHODS.items():
        model = make(clip, classes)
        if hasattr(model, "fit"): model.fit(train, features=features, progress=False)
        scores = model.predict(pictures, progress=False)
        found[name] = round(mean_average_precision(photos.labels[:, seen], scores[:, seen]), 2)
    return found


def measured(quick: bool) -> dict:
    clip = load_clip()
    sets = {"coco_demo, voc2007": (bundled_photos(VOC2007), VOC2007)}
    if not quick and SHARED.is_dir():
        for name, classes in (("voc2012_dev", VOC2007), ("coco_dev", VOC2007), ("coco_dev", COCO)):
            sets[f"{name}, {classes.name}"] = read_labels(SHARED/name/"labels.tsv", classes, SHARED/name/"images"), classes
    return dict(labels=labels()) | {name: maps(clip, *them) for name, them in sets.items()}


def main(args: list[str]) -> int:
    torch.manual_seed(0)
    now = measured("--quick" in args)
    if "--write" in args: return KEPT.write_text(json.dumps(now, indent=1) + "\n") and 0
    before, wrong = json.loads(KEPT.read_text()), 0
    for part, figures in now.items():
        for name, value in figures.items():
            if before[part].get(name) == value: continue
            wrong += 1
            print(f"{part}: {name}: {before[part].get(name)} before, {value} now")
    print("nothing has changed" if not wrong else f"{wrong} figures have changed")
    return int(wrong > 0)


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
