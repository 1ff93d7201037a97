"""`predict` on a folder of photos beside the bare image encoder on pixels that are decoded already. Then photos of 12
megapixels, decoded at a fraction of their size and whole: pictures a second by the number of cores and by engine, and how far
scores move, beside what other filters would move them.

    python benchmarks/pictures.py [rounds] [photos]
"""
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import Compose, InterpolationMode, Resize

from common import interleave, record, spread
from taidpt.classes import COCO
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.encoders.pictures import list_pictures
from taidpt.learner import TaIDPT
from taidpt.prompts import PromptLearner
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


def copies(paths: list[Path], photos: int, folder: Path) -> Path:
    "A folder of so many photos, these again and again."
    folder.mkdir()
    for i in range(photos): shutil.copy(paths[i % len(paths)], folder / f"{i:04}.jpg")
    return folder


def beside_the_encoder(folder: Path, rounds: int) -> dict[str, list[float]]:
    "Seconds of `predict` on files with RN50, and of the encoder alone on pixels, four at a time."
    model = TaIDPT(rn50(), COCO)
    fresh_prompts(model)
    pixels = torch.stack([model.clip.preprocess(Image.open(p).convert("RGB")) for p in list_pictures(folder)])

    @torch.no_grad()
    def bare():
        for batch in pixels.split(4): model.clip.model.encode_image(batch)

    def predict(): model.predict(folder, progress=False)

    bare(), predict()
    return interleave(dict(bare=bare, predict=predict), rounds)


def enlarge(paths: list[Path], folder: Path, megapixels: float = 12) -> list[Path]:
    "Photos as a phone would take them: bicubically enlarged, with a little noise, as JPEG."
    folder.mkdir()
    noise = np.random.default_rng(0)
    for path in paths:
        photo = Image.open(path).convert("RGB")
        longer = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
        photo = photo.resize([round(longer * side) for side in photo.size], Image.Resampling.BICUBIC)
        pixels = np.asarray(photo) + noise.normal(0, 4, (photo.height, photo.width, 1)).astype(np.float32)
        Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(folder / path.name, quality=90)
    return list_pictures(folder)


def by_cores(clip: FrozenCLIP, folders: dict[str, Path], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    "Pictures a second of `predict` by the number of cores that the process may use, where the system lets one choose."
    if not hasattr(os, "sched_setaffinity"): return {}
    allowed, threads, model = sorted(os.sched_getaffinity(0)), torch.get_num_threads(), ZeroShotCLIP(clip, COCO)

    def predict(folder, cores):
        os.sched_setaffinity(0, allowed[:cores])                            # threads that begin later keep to them, too
        torch.set_num_threads(cores)
        model.predict(folder, progress=False)

    steps = sorted({len(allowed) >> k for k in range(len(allowed).bit_length())} - {0})
    taken = interleave({(kind, n): partial(predict, folder, n) for kind, folder in folders.items() for n in steps}, rounds)
    os.sched_setaffinity(0, allowed)
    torch.set_num_threads(threads)
    return {kind: {str(n): spread([len(list_pictures(folder)) / t for t in taken[kind, n]]) for n in steps} for kind, folder in folders.items()}


def by_engine(folder: Path, rounds: int) -> dict[str, dict]:
    "Pictures a second of `predict` on large photos, decoded whole by PyTorch's side, or at a fraction, with either engine."
    clips = {"whole, torch": load_clip(device="cpu", draft=False), "torch": load_clip(device="cpu"),
             "openvino": load_clip(device="cpu", engine="openvino"), "bfloat16": load_clip(device="cpu", engine="openvino", precision="bfloat16")}
    ways = {name: partial(ZeroShotCLIP(clip, COCO).predict, folder, progress=False) for name, clip in clips.items()}
    for way in ways.values(): way()
    taken, n = interleave(ways, rounds), len(list_pictures(folder))
    whole = taken["whole, torch"]
    return {name: dict(speed=spread([n / s for s in t]), ratio=spread([w / s for w, s in zip(whole, t)])) for name, t in taken.items()}


def moved_scores(clip: FrozenCLIP, folder: Path) -> dict[str, dict[str, float]]:
    "How far cosines of photos are from those of photos that are decoded whole and resized by CLIP's filter."
    side, steps = clip.preprocess.side, clip.preprocess.transforms[1:]
    ways = {"whole": clip.preprocess.transform, "draft": clip.preprocess}
    ways |= {mode.value: Compose([Resize(side, mode), *steps]) for mode in (InterpolationMode.LANCZOS, InterpolationMode.BOX, InterpolationMode.BILINEAR)}
    found = {name: ZeroShotCLIP(FrozenCLIP(clip.model, clip.tokenizer, way), COCO).predict(folder, progress=False) / clip.logit_scale
             for name, way in ways.items()}
    whole = found.pop("whole")
    return {name: dict(mean=(s - whole).abs().mean().item(), largest=(s - whole).abs().max().item(),
                       same_best=(s.argmax(1) == whole.argmax(1)).float().mean().item()) for name, s in found.items()}


def large_photos(rounds: int = 3, photos: int = 72):
    "Photos of 12 megapixels beside those that they were made of, on the embedded CLIP."
    clip, bundled = load_clip(device="cpu"), list_pictures(files("taidpt") / "data" / "coco_demo" / "images")
    with tempfile.TemporaryDirectory() as d:
        large = enlarge(bundled, Path(d) / "once")
        size = sum(p.stat().st_size for p in large) / len(large)
        moved = moved_scores(clip, Path(d) / "once")
        folders = dict(small=copies(bundled, photos, Path(d) / "small"), large=copies(large, photos, Path(d) / "large"))
        cores, engines = by_cores(clip, folders, rounds), by_engine(folders["large"], rounds)
    for name, found in dict(cores=cores, engines=engines, moved=moved).items(): print(f"{name}: {json.dumps(found)}")
    record("large photos", dict(photos=photos, bytes=size, rounds=rounds, cores=cores, engines=engines, moved=moved))


def main(rounds: int = 5, photos: int = 72):
    warnings.filterwarnings("ignore")
    bundled = list_pictures(files("taidpt") / "data" / "coco_demo" / "images")
    with tempfile.TemporaryDirectory() as d: taken = beside_the_encoder(copies(bundled, photos, Path(d) / "photos"), rounds)
    more, seconds = spread([p / b - 1 for p, b in zip(taken["predict"], taken["bare"])]), {n: spread(t) for n, t in taken.items()}
    print(f"{photos} photos: bare encoder {seconds['bare']['median']:.2f} s, predict {seconds['predict']['median']:.2f} s, "
          f"{more['median']:+.1%} (from {more['low']:+.1%} to {more['high']:+.1%})")
    record("pictures", dict(photos=photos, size=[224, 224], rounds=rounds, seconds=seconds, overhead=more))
    large_photos(min(rounds, 3))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
