"""The picture tower in PyTorch, ONNX Runtime and OpenVINO, in turn: pictures a second on pixels, and `predict` on a folder of
photos of COCO's size. "Eager" is PyTorch with all cores on one batch after another; beside it what PyTorch itself gains from
other layouts, and from a batch a core, as `predict` works. So do the engines. With the table of labelled photos, also what
bfloat16 does to scores, best tags and average precision.

    python benchmarks/engines.py [--rounds 9] [--photos 144] [--labels ../shared/data/voc2012_dev/labels.tsv] [--compile]
"""
import argparse
import copy
import tempfile
import warnings
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import open_clip
import torch
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from common import SHARED, interleave, record, spread
from pictures import fresh_prompts, rn50
from taidpt.classes import COCO, VOC2007
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.datasets.labelled import read_labels
from taidpt.learner import TaIDPT
from taidpt.metrics import mean_average_precision
from taidpt.support.engines import ENGINES as PACKAGES
from taidpt.support.engines import EngineCLIP, PictureTower, picture_size, with_engine
from taidpt.support.picturefiles import list_pictures
from taidpt.support.pictures import as_pixels, batches_in_threads, side_by_side
from taidpt.zeroshot import ZeroShotCLIP

ENGINES = dict(onnx=("onnx", "float32"), openvino=("openvino", "float32"), bfloat16=("openvino", "bfloat16"))
ENGINES = {name: how for name, how in ENGINES.items() if find_spec(PACKAGES[how[0]])}          # those that are installed


def vit() -> FrozenCLIP:
    "ViT-B/32 with random weights from a seed."
    torch.manual_seed(0)
    return FrozenCLIP(open_clip.create_model("ViT-B-32"), open_clip.get_tokenizer("ViT-B-32"))


def folded(module: nn.Module) -> nn.Module:
    "The same with each batch norm that follows a convolution, by the order in which they are listed, folded into it."
    last = None, None
    for name, child in list(module.named_children()):
        before, conv = last
        if isinstance(child, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d) and child.num_features == conv.out_channels:
            setattr(module, before, fuse_conv_bn_eval(conv, child))
            rest = [getattr(child, n) for n in ("drop", "act") if hasattr(child, n)]         # timm's norm has its activation in it
            setattr(module, name, nn.Sequential(*rest) if rest else nn.Identity())
        else: folded(child)
        last = name, child
    return module


def variants(clip: FrozenCLIP, compiled: bool) -> dict[str, FrozenCLIP]:
    "The CLIP in PyTorch with its weights laid out in other ways. As it is, channels come last."
    def other(change):
        model = copy.deepcopy(clip.model)
        there = FrozenCLIP(model, clip.tokenizer, clip.preprocess)
        change(model)
        return there

    ways = {"channels first": other(lambda m: m.visual.to(memory_format=torch.contiguous_format)),
            "batch norms folded": other(lambda m: folded(m.visual))}
    if compiled:
        ways["compiled"] = there = other(lambda m: m)
        tower = torch.compile(PictureTower(there, picture_size(there)))
        there.encode_maps = torch.no_grad()(lambda pixels, pos_embed: [x[:, 0] if x.ndim == 3 else x for x in tower(pixels)])
    return ways


def on_pixels(clip: FrozenCLIP, cache: str, rounds: int, compiled: bool, batches: int = 4) -> dict[str, list[float]]:
    "Seconds a picture of each way, in batches of four."
    pixels, n = torch.randn(4, 3, *picture_size(clip)), torch.get_num_threads()
    one_by_one = dict(eager=clip, **variants(clip, compiled))
    a_core_each = {"a batch a core": clip}
    for name, how in ENGINES.items():
        one = with_engine(clip, *how, cache)
        a_core_each[name] = EngineCLIP(one, one.graph, *how, at_once=n)
    want = clip.encode_images(pixels)[0]

    def run(way):
        for _ in range(batches): found = way.encode_images(pixels)
        return found[0]

    def run_side_by_side(way): return list(side_by_side(way.encode_images, [pixels] * batches, n))[-1][0]

    ways = {name: lambda way=way: run(way) for name, way in one_by_one.items()}
    ways |= {name: lambda way=way: run_side_by_side(way) for name, way in a_core_each.items()}
    for name, way in ways.items():                                          # warm, and right
        far = (way() - want).norm(dim=-1).max() / want.norm(dim=-1).max()
        assert far < (.1 if name == "bfloat16" else 1e-3), (name, far)
    return {name: [t / batches / len(pixels) for t in times] for name, times in interleave(ways, rounds).items()}


def photos_of_coco(photos: int, folder: Path) -> Path:
    "A folder of so many photos with COCO's 640 pixels on the long side: the bundled ones, enlarged, again and again."
    folder.mkdir()
    bundled = list_pictures(files("taidpt") / "data" / "coco_demo" / "images")
    for i in range(photos):
        picture = Image.open(bundled[i % len(bundled)]).convert("RGB")
        factor = 640 / max(picture.size)
        picture.resize([round(x * factor) for x in picture.size], Image.Resampling.BICUBIC).save(folder / f"{i:04}.jpg", quality=92)
    return folder


class Decoded:
    "Pixels of files, decoded when they are asked for."
    def __init__(self, paths, clip): self.paths, self.clip = paths, clip
    def __len__(self): return len(self.paths)
    def __getitem__(self, i): return as_pixels(self.paths[i].read_bytes(), self.clip.preprocess)


@torch.no_grad()
def batch_after_batch(model: TaIDPT, folder: Path) -> torch.Tensor:
    "Scores as one would write it: all cores on one batch, and threads that decode the next one meanwhile."
    scorer, found = model.scorer(), []
    for batch in batches_in_threads(Decoded(list_pictures(folder), model.clip), 4):
        found.append(sum(scorer(*model.clip.encode_images(torch.stack(batch)))) / 2)
    return torch.cat(found)


def on_photos(folder: Path, cache: str, rounds: int, photos: int) -> dict[str, list[float]]:
    "Seconds a photo of `predict` with the embedded CLIP, from files to scores."
    model = TaIDPT(load_clip(device="cpu"), COCO)
    fresh_prompts(model)

    def predict(engine="torch", precision="float32"):
        clip = model.clip
        model.clip = with_engine(clip, engine, precision, cache)
        scores = model.predict(folder, progress=False)
        model.clip = clip
        return scores

    ways = {"eager": lambda: batch_after_batch(model, folder), "a batch a core": predict}
    ways |= {name: lambda how=how: predict(*how) for name, how in ENGINES.items()}
    want = ways["eager"]()
    for name, way in ways.items(): assert (way() - want).abs().max() < (.1 if name == "bfloat16" else 1e-3), name
    return {name: [t / photos for t in times] for name, times in interleave(ways, rounds).items()}


def beside_float32(table: Path, cache: str) -> dict:
    "What engines do to cosines, best tags and mAP of zero-shot CLIP with the embedded CLIP on labelled photos."
    folder = table.with_name("images")
    data, clip = read_labels(table, VOC2007.spelled_naturally(), folder), load_clip(device="cpu")

    def predict(clip): return ZeroShotCLIP(clip, data.classes).predict(data.pictures, progress=False) / clip.logit_scale

    plain, found = predict(clip), {}
    for name, how in ENGINES.items():
        scores = predict(with_engine(clip, *how, cache))
        found[name] = dict(largest=(scores - plain).abs().max().item(), typical=(scores - plain).abs().median().item(),
                           same_tag=(scores.argmax(1) == plain.argmax(1)).float().mean().item(),
                           mAP=mean_average_precision(data.labels, scores))
    return dict(photos=len(data.pictures), mAP=mean_average_precision(data.labels, plain), engines=found)


def ratios(taken: dict[str, list[float]]) -> dict:
    "Pictures a second of eager PyTorch, and round by round how many times as fast the others are."
    eager = taken["eager"]
    return dict(eager=spread([1 / t for t in eager]), rounds=len(eager),
                ratio={n: spread([e / t for e, t in zip(eager, times)]) for n, times in taken.items() if n != "eager"})


def show(name: str, case: dict):
    print(f"{name}: eager {case['eager']['median']:.1f} pictures/s; " + ", ".join(
        f"{n} {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for n, r in case["ratio"].items()), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--photos", type=int, default=144)
    p.add_argument("--labels", type=Path, default=SHARED / "voc2012_dev/labels.tsv")
    p.add_argument("--compile", action="store_true", help="torch.compile, too, which needs a C++ compiler and a minute a model")
    args = p.parse_args()
    warnings.filterwarnings("ignore")
    cases = {}
    with tempfile.TemporaryDirectory() as d:
        for name, clip in {"embedded": load_clip(device="cpu"), "RN50": rn50(), "ViT-B-32": vit()}.items():
            show(name, cases.setdefault(name, ratios(on_pixels(clip, d, args.rounds, args.compile))))
        folder = photos_of_coco(args.photos, Path(d) / "photos")
        show("predict on photos", cases.setdefault("predict", ratios(on_photos(folder, d, args.rounds, args.photos))))
        figures = dict(cases=cases, photos=args.photos)
        if args.labels.is_file():
            figures["scores"] = beside_float32(args.labels, d)
            print(figures["scores"])
    record("engines", figures)


if __name__ == "__main__": main()
