"""`predict` on a folder of photos beside the bare image encoder on pixels that are decoded already, a second set of
prompts, and zero-shot CLIP with learned prompts, which want two forms of f, from one look at each photo and from two.
Then photos of 12 megapixels, decoded at a fraction of their size and whole: pictures a second by the number of processes that
decode and by the number of cores, and how far scores move, beside what other filters would move them.

    python benchmarks/pictures.py [rounds] [photos] [pictures a batch]
"""
import logging
import os
import shutil
import sys
import tempfile
import warnings
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import Compose, InterpolationMode, Resize

from common import compare, interleave, record, show, spread
from taidpt.classes import COCO
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.learner import TaIDPT
from taidpt.prompts import PromptLearner
from taidpt.support.engines import ENGINES
from taidpt.support.picturefiles import list_pictures
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


def enlarge(paths: list[Path], folder: Path, megapixels: int = 12):
    "Photos as a phone would take them: bicubically enlarged, with a little noise, as JPEG."
    folder.mkdir()
    noise = np.random.default_rng(0)
    for path in paths:
        photo = Image.open(path).convert("RGB")
        longer = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
        photo = photo.resize([round(longer * side) for side in photo.size], Image.Resampling.BICUBIC)
        pixels = np.asarray(photo) + noise.normal(0, 4, (photo.height, photo.width, 1)).astype(np.float32)
        Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(folder / path.name, quality=90)


def by_workers(model, folders: dict[str, Path], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    "Pictures a second of `predict`, by the number of processes that decode."
    def predict(folder, draft, workers):
        model.clip.preprocess.draft = draft
        model.predict(folder, workers=workers, progress=False)

    kinds = {"small": ("small", True), "large": ("large", True), "large, whole": ("large", False)}
    ways = {(kind, n): partial(predict, folders[name], draft, n) for kind, (name, draft) in kinds.items() for n in (0, 1, 2, 4)}
    taken = interleave(ways, rounds)
    model.clip.preprocess.draft = True
    count = {name: len(list_pictures(folder)) for name, folder in folders.items()}
    return {kind: {str(n): spread([count[name] / t for t in taken[kind, n]]) for n in (0, 1, 2, 4)} for kind, (name, _) in kinds.items()}


def by_cores(model, folders: dict[str, Path], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    "Pictures a second of `predict` by the number of cores that the process may use, where the system lets one choose."
    if not hasattr(os, "sched_setaffinity"): return {}
    allowed, threads = sorted(os.sched_getaffinity(0)), torch.get_num_threads()

    def predict(folder, cores):
        os.sched_setaffinity(0, allowed[:cores])                            # threads that begin later keep to them, too
        torch.set_num_threads(cores)
        model.predict(folder, progress=False)

    steps = sorted({len(allowed) >> k for k in range(len(allowed).bit_length())} - {0})
    taken = interleave({(kind, n): partial(predict, folder, n) for kind, folder in folders.items() for n in steps}, rounds)
    os.sched_setaffinity(0, allowed)
    torch.set_num_threads(threads)
    return {kind: {str(n): spread([len(list_pictures(folder)) / t for t in taken[kind, n]]) for n in steps} for kind, folder in folders.items()}


def by_engine(model, folder: Path, rounds: int) -> dict[str, dict]:
    "Pictures a second of `predict` on large photos, decoded whole and encoded by PyTorch, or decoded at a fraction and encoded by an engine."
    def predict(draft, engine, precision="float32"):
        model.clip.preprocess.draft = draft
        model.predict(folder, progress=False, engine=engine, precision=precision)

    ways = {"whole, torch": partial(predict, False, "torch"), "torch": partial(predict, True, "torch")}
    ways |= {name: partial(predict, True, name) for name, package in ENGINES.items() if find_spec(package)}
    if find_spec("openvino") and torch.ops.mkldnn._is_mkldnn_bf16_supported(): ways["bfloat16"] = partial(predict, True, "openvino", "bfloat16")
    for way in ways.values(): way()
    taken, n = interleave(ways, rounds), len(list_pictures(folder))
    model.clip.preprocess.draft = True
    whole = taken["whole, torch"]
    return {name: dict(speed=spread([n / s for s in t]), ratio=spread([w / s for w, s in zip(whole, t)])) for name, t in taken.items()}


def no_antialias(picture: Image.Image, side: int = 224) -> Image.Image:
    "Bicubic between the nearest pixels, whatever lies between them."
    pixels = torch.tensor(np.asarray(picture)).permute(2, 0, 1)[None].float()
    size = [round(n * side / min(pixels.shape[2:])) for n in pixels.shape[2:]]
    small = F.interpolate(pixels, size, mode="bicubic", antialias=False)[0].clamp(0, 255).round().byte()
    return Image.fromarray(small.permute(1, 2, 0).numpy())


def moved_scores(clip: FrozenCLIP, folder: Path) -> dict[str, dict[str, float]]:
    "How far cosines of photos are from those of photos that are decoded whole and resized by CLIP's filter."
    side, steps = clip.preprocess.side, clip.preprocess.transforms[1:]
    ways = {"whole": clip.preprocess.transform, "draft": clip.preprocess,
            "lanczos": Compose([Resize(side, InterpolationMode.LANCZOS), *steps]),
            "box": Compose([Resize(side, InterpolationMode.BOX), *steps]),
            "bilinear": Compose([Resize(side, InterpolationMode.BILINEAR), *steps]),
            "no antialias": Compose([no_antialias, *steps])}
    found = {name: ZeroShotCLIP(FrozenCLIP(clip.model, clip.tokenizer, way), COCO).predict(folder, progress=False) / clip.logit_scale
             for name, way in ways.items()}
    whole = found.pop("whole")
    return {name: dict(mean=(s - whole).abs().mean().item(), largest=(s - whole).abs().max().item(),
                       same_best=(s.argmax(1) == whole.argmax(1)).float().mean().item()) for name, s in found.items()}


def large_photos(rounds: int = 3, times: int = 2):
    "Photos of 12 megapixels beside those that they were made of, on the embedded CLIP."
    clip = load_clip(device="cpu")
    bundled = list_pictures(files("taidpt") / "data" / "coco_demo" / "images")
    with tempfile.TemporaryDirectory() as d:
        folders = dict(small=Path(d) / "small", large=Path(d) / "large")
        enlarge(bundled, folders["large"])
        moved = moved_scores(clip, folders["large"])
        copies(times * len(bundled), folders["small"])
        for path in list_pictures(folders["large"]):
            for i in range(times - 1): shutil.copy(path, path.with_name(f"{i}-{path.name}"))
        size = sum(p.stat().st_size for p in list_pictures(folders["large"])) / (times * len(bundled))
        model = ZeroShotCLIP(clip, COCO)
        speed, cores = by_workers(model, folders, rounds), by_cores(model, folders, rounds)
        engines = by_engine(model, folders["large"], rounds)
    for kind, row in speed.items():
        print(f"{kind}: " + ", ".join(f"{r['median']:.0f} a second with {n} processes" for n, r in row.items()))
    for kind, row in cores.items(): print(f"{kind}: " + ", ".join(f"{r['median']:.0f} a second on {n} cores" for n, r in row.items()))
    for name, m in moved.items(): print(f"{name}: cosines {m['mean']:.4f} away, {m['largest']:.4f} at most, best tags {m['same_best']:.0%} the same")
    for name, e in engines.items(): print(f"{name}: {e['speed']['median']:.0f} a second, {e['ratio']['median']:.1f} times as fast as whole in PyTorch")
    record("large photos", dict(photos=times * len(bundled), bytes=size, rounds=rounds, speed=speed, cores=cores, engines=engines, moved=moved))


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
    large_photos(min(rounds, 3))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
