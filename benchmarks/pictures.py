"""`predict` on a folder of photos beside the bare image encoder on pixels that are decoded already, a second set of
prompts, and zero-shot CLIP with learned prompts, which want two forms of f, from one look at each photo and from two.

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
from taidpt.classes import COCO
from taidpt.clip import FrozenCLIP
from taidpt.learner import TaIDPT
from taidpt.prompts import PromptLearner
from taidpt.support.pictures import list_pictures
from taidpt.support.scorefiles import score_in_shards
from taidpt.zeroshot import ZeroShotCLIP


def rn50() -> FrozenCLIP:
    "The paper's model with random weights from a seed, as speed does not depend on them."
    torch.manual_seed(0)
    logging.disable(logging.WARNING)
    model = open_clip.create_model("RN50-quickgelu")
    logging.disable(logging.NOTSET)
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    return FrozenCLIP(model, open_clip.get_tokenizer("RN50"), preprocess)


def fresh_prompts(model: TaIDPT):
    "Prompts as they are before learning: scores take as long, and their class embeddings are not there yet."
    model.prompts_ = PromptLearner(model.clip, model.classes.names, model.n_ctx, seed=0)


def copies(photos: int, folder: Path) -> Path:
    "A folder of so many photos, the bundled ones again and again."
    folder.mkdir()
    bundled = list_pictures(files("taidpt") / "data" / "coco_demo" / "images")
    for i in range(photos): shutil.copy(bundled[i % len(bundled)], folder / f"{i:04}.jpg")
    return folder


def beside_the_encoder(model: TaIDPT, folder: Path, rounds: int, batch_size: int) -> dict[str, list[float]]:
    "Seconds of `predict` on files, and of the encoder alone on pixels."
    clip = model.clip
    pixels = torch.stack([clip.preprocess(Image.open(p).convert("RGB")) for p in list_pictures(folder)])

    @torch.no_grad()
    def bare():
        for batch in pixels.split(batch_size): clip.model.encode_image(batch)

    def predict(): model.predict(folder, batch_size=batch_size, progress=False)

    bare(), predict()
    return interleave(dict(bare=bare, predict=predict), rounds)


def another_set_of_prompts(model: TaIDPT, folder: Path, cache: Path, rounds: int) -> dict[str, list[float]]:
    "Seconds of the first look at the photos, of a second set of prompts on the kept features, and of its embeddings."
    def predict(): model.predict(folder, progress=False, cache=cache)

    def second():
        fresh_prompts(model)
        predict()

    def prompts():
        fresh_prompts(model)
        model.embeddings()

    return interleave(dict(first=predict), 1) | interleave(dict(second=second, prompts=prompts), rounds)


def both_forms(model: TaIDPT, folder: Path, rounds: int, batch_size: int) -> dict:
    "Learned prompts and zero-shot CLIP, each by itself and together."
    models = dict(learned=model, zero=ZeroShotCLIP(model.clip, COCO))

    def apart():
        for m in models.values(): m.predict_branches(folder, batch_size=batch_size, progress=False)

    def together(): score_in_shards(models, list_pictures(folder), batch_size=batch_size, progress=False)

    return compare(interleave({"two looks": apart, "one look": together}, rounds), "one look", "two looks")


def main(rounds: int = 5, photos: int = 72, batch_size: int = 4):
    warnings.filterwarnings("ignore")
    model = TaIDPT(rn50(), COCO)
    fresh_prompts(model)
    with tempfile.TemporaryDirectory() as d:
        folder = copies(photos, Path(d) / "photos")
        taken = beside_the_encoder(model, folder, rounds, batch_size)
        cached = another_set_of_prompts(model, folder, Path(d) / "cache", rounds)
        forms = both_forms(model, folder, rounds, batch_size)
    more = spread([p / b - 1 for p, b in zip(taken["predict"], taken["bare"])])
    seconds = {n: spread(t) for n, t in (taken | cached).items()}
    median = {n: s["median"] for n, s in seconds.items()}
    print(f"{photos} photos: bare encoder {median['bare']:.2f} s, predict {median['predict']:.2f} s, "
          f"{more['median']:+.1%} (from {more['low']:+.1%} to {more['high']:+.1%}); a second set of prompts "
          f"{median['second']:.2f} s, {median['prompts']:.2f} s of it for the embeddings of the prompts")
    show("zero-shot CLIP and learned prompts", forms)
    size = model.clip.model.visual.image_size
    size = list(size) if isinstance(size, (tuple, list)) else [size, size]
    record("pictures", dict(photos=photos, batch_size=batch_size, size=size, rounds=rounds, seconds=seconds,
                            overhead=more, **{"both forms": forms}))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
