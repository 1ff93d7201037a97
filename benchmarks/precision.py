"""What bfloat16 does to learning: TaI-DPT learned by the embedded CLIP in float32 and in bfloat16, sentences encoded in the same
precision, and both used on pictures in float32. mAP over seeds, and the difference with its interval over draws of the photos.

    python benchmarks/precision.py [seeds]    on the photos of coco_dev if they are at hand, or the bundled ones
"""
import sys

from common import SHARED, record, seconds
from taidpt.classes import COCO
from taidpt.clip import FrozenCLIP, encode_pictures, encode_sentences, load_clip
from taidpt.datasets.labelled import bundled_photos, read_labels
from taidpt.learner import TaIDPT
from taidpt.nounfilter import NounFilter
from taidpt.metrics import Measured
from taidpt.text.corpora import bundled_captions
from taidpt.texts import LabeledTexts, template_sentences
TABLE = SHARED / "coco_dev/labels.tsv"


def learned(clip: FrozenCLIP, train: LabeledTexts, seeds: int) -> tuple[list[TaIDPT], float]:
    "A model for each seed, and the seconds of it all."
    models = [TaIDPT(clip, train.classes, seed=seed) for seed in range(seeds)]
    def run():
        features = encode_sentences(clip, (train + template_sentences(train.classes)).texts, progress=False)
        for model in models: model.fit(train, features=features, progress=False)
    return models, seconds(run)


def on(clip: FrozenCLIP, model: TaIDPT) -> TaIDPT:
    "The same prompts on another CLIP."
    other = TaIDPT(clip, model.classes, seed=model.seed)
    other.take_tensors(model.tensors())
    return other


def main(seeds: int = 3):
    photos = read_labels(TABLE, COCO, TABLE.parent/"images") if TABLE.is_file() else bundled_photos(COCO)
    train = NounFilter(COCO).label(list(bundled_captions()), progress=False)
    clip, half = load_clip(device="cpu"), load_clip(device="cpu", precision="bfloat16")
    store, found, took = encode_pictures(clip, photos.pictures, progress=False), {}, {}
    for name, c in dict(float32=clip, bfloat16=half).items():
        models, took[name] = learned(c, train, seeds)
        found[name] = Measured(photos.labels, [on(clip, m).predict(store, progress=False) for m in models], draws=500)
    more = found["bfloat16"].gain(found["float32"])
    for name, m in found.items(): print(f"{name}: mAP {m.map()}, seeds {', '.join(f'{v:.2f}' for v in m.each)}, {took[name]:.0f} s")
    print(f"bfloat16 less float32: {more.value:+.2f} [{more.low:+.2f}, {more.high:+.2f}]")
    record("precision", dict(photos=len(photos), set=TABLE.parent.name if TABLE.is_file() else "the bundled photos", seeds=seeds,
                             map={name: m.map().value for name, m in found.items()}, each={name: m.each for name, m in found.items()},
                             difference=dict(value=more.value, low=more.low, high=more.high), seconds=took))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
