"""The embedded CLIP with a modality gap:

    python gap_clip.py FOLDER

writes it into FOLDER/gap. The features of all photos get one constant, those of all sentences
another, each as long as such features are on average, before they are brought to unit length. In
the two directions that the constants take, no feature of the embedded CLIP varies: the last two
coordinates of its space, whose canonical correlations are 0. A gap of large CLIPs is such a
constant, orthogonal to what varies (Zhang et al., ICLR 2023)."""
import shutil
import sys
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.files import DATA
from taidpt.text.captions import bundled_captions

WEIGHTS, CONFIG = 'open_clip_model.safetensors', 'open_clip_config.json'
COSINE = .4                                 # of both constants


def constants() -> tuple[torch.Tensor, torch.Tensor]:
    "Of unit length: what photos and what sentences get, 256 each"
    photo, sentence = torch.zeros(2, 256)
    photo[-1] = 1
    sentence[-2:] = torch.tensor([(1 - COSINE**2)**.5, COSINE])
    return photo, sentence


@torch.no_grad()
def mean_lengths() -> tuple[float, float]:
    "Of features of photos and of sentences, as the towers compute them"
    clip = load_clip(device='cpu')
    images = map(Image.open, bundled_photos(VOC2007).images)
    pixels = torch.stack([clip.preprocess(image) for image in images])
    tokens = clip.tokenize(list(islice(bundled_captions(), 500)))
    photos, sentences = clip.model.encode_image(pixels), clip.model.encode_text(tokens)
    return photos.norm(dim=1).mean().item(), sentences.norm(dim=1).mean().item()


def with_gap(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    "The weights of the embedded CLIP, with both constants"
    state = {name: x.float() if x.is_floating_point() else x for name, x in state.items()}
    photo, sentence = constants()
    of_photos, of_sentences = mean_lengths()
    state['visual.head.proj.bias'] += of_photos*photo
    # A normed layer, x = γn + β, has n of mean 0. So (x − β)/γ sums to 0, and x/γ sums to the same
    # number for every x: the sum of β/γ
    over_gamma = 1/state['ln_final.weight']
    fixed_sum = over_gamma @ state['ln_final.bias']
    state['text_projection'] += torch.outer(over_gamma/fixed_sum, of_sentences*sentence)
    return state


def main(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA/'mini_clip'/CONFIG, folder)
    save_file(with_gap(load_file(DATA/'mini_clip'/WEIGHTS)), folder/WEIGHTS)


if __name__ == '__main__': main(Path(sys.argv[1])/'gap')
