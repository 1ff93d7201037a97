"""`predict` on a folder of photos beside the bare image encoder on pixels that are decoded already, a second set of prompts, and zero-shot
CLIP with learned prompts, which want two forms of f, from one look at each photo and from two.

    python benchmarks/pictures.py [rounds] [photos] [pictures a batch]
"""
import logging
import shutil
import sys
import tempfile
import warnings
from importlib.resources import files
from pathlib import Path

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from common import compare, interleave, record, show, spread
from taidpt.support.pictures import list_pictures
from taidpt.classes import COCO
from taidpt.clip import FrozenCLIP
from taidpt.learner import TaIDPT
from taidpt.support.scorefiles import score_in_shards
from taidpt.zeroshot import ZeroShotCLIP


def rn50() -> FrozenCLIP:
    "The paper's model with random weights from a seed, as speed does not depend on them."
    torch.manual_seed(0)
    logging.disable(logging.WARNING)
    model = open_clip.create_model("RN50-quickgelu")
    logging.disable(logging.NOTSET)
    return FrozenCLIP(model, open_clip.get_tokenizer("RN50"), image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False))


def main(rounds: int = 5, photos: int = 72, batch_size: int = 4):
    warnings.filterwarnings("ignore")
    clip = rn50()
    model = TaIDPT(clip, COCO)
    model._start()  # prompts as they are before learning: scores take as long
    with tempfile.TemporaryDirectory() as d:
        folder, cache = Path(d) / "photos", Path(d) / "cache"
        folder.mkdir()
        bundled = list_pictures(files("taidpt") / "data" / "coco_demo" / "images")
        for i in range(photos): shutil.copy(bundled[i % len(bundled)], folder / f"{i:04}.jpg")

        pixels = torch.stack([clip.preprocess(Image.open(p).convert("RGB")) for p in list_pictures(folder)])

        @torch.no_grad()
        def bare():
            for batch in pixels.split(batch_size): clip.model.encode_image(batch)

        def predict(): model.predict(folder, batch_size=batch_size, progress=False)

        bare(), predict()
        taken = interleave(dict(bare=bare, predict=predict), rounds)
        more = spread([p / b - 1 for p, b in zip(taken["predict"], taken["bare"])])
        first = interleave({"first": lambda: model.predict(folder, progress=False, cache=cache)}, 1)

        def another(use):
            "Use of prompts that are new, whose class embeddings are not there yet"
            def run():
                model._start()
                use()
            return run

        second = interleave({"second": another(lambda: model.predict(folder, progress=False, cache=cache)), "prompts": another(model.embeddings)}, rounds)
        models = dict(learned=model, zero=ZeroShotCLIP(clip, COCO))

        def apart():
            for m in models.values(): m.predict_branches(folder, batch_size=batch_size, progress=False)

        def together(): score_in_shards(models, list_pictures(folder), batch_size=batch_size, progress=False)

        forms = compare(interleave({"two looks": apart, "one look": together}, rounds), "one look", "two looks")
    figures = dict(photos=photos, batch_size=batch_size, size=list(pixels.shape[-2:]), rounds=rounds, seconds={n: spread(t) for n, t in (taken | first | second).items()}, overhead=more, **{"both forms": forms})
    print(f"{photos} photos: bare encoder {figures['seconds']['bare']['median']:.2f} s, predict {figures['seconds']['predict']['median']:.2f} s, "
          f"{more['median']:+.1%} (from {more['low']:+.1%} to {more['high']:+.1%}); a second set of prompts {figures['seconds']['second']['median']:.2f} s, "
          f"{figures['seconds']['prompts']['median']:.2f} s of it for the embeddings of the prompts")
    show("zero-shot CLIP and learned prompts", forms)
    record("pictures", figures)


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
