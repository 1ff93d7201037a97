"""How large and how fast an embedded CLIP is with either tower:

    python time_towers.py

writes `evidence/tower.json`. Neither size nor time depends on what the weights hold, so the larger
CLIP is made with random ones. One photo is encoded from its file on one core, by both CLIPs
alternately in one process. The time is the processor's, the median of 30; the ratio is that of each
pair of times, with its quartiles."""
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from taidpt.classes import VOC2007
from taidpt.clip import FrozenCLIP, load_clip
from taidpt.datasets.labelled import bundled_photos
from taidpt.encode import encode_images
from taidpt.files import DATA

from evidence import FOLDER

WEIGHTS, CONFIG = 'open_clip_model.safetensors', 'open_clip_config.json'
TIMES = 30


def random_clip(tower: str, folder: Path):
    "The embedded CLIP with another tower and random weights, as a folder of open_clip"
    config = json.loads((DATA/'mini_clip'/CONFIG).read_text(encoding='utf-8'))
    config['model_cfg']['vision_cfg']['timm_model_name'] = tower
    (folder/CONFIG).write_text(json.dumps(config), encoding='utf-8')
    clip = open_clip.CLIP(**config['model_cfg']).half()
    save_file(clip.state_dict(), folder/WEIGHTS)


def seconds(clip: FrozenCLIP, photo: Path) -> float:
    "Of the processor, to encode a photo from its file"
    start = time.process_time()
    encode_images(clip, [photo], progress=False)
    return time.process_time() - start


def main():
    torch.set_num_threads(1)
    photo = bundled_photos(VOC2007).images[0]
    with tempfile.TemporaryDirectory() as name:
        larger = Path(name)
        random_clip('tf_efficientnet_lite1', larger)
        folders = {'original': DATA/'mini_clip', 'tower': larger}
        clips = {clip: load_clip(folder, device='cpu') for clip, folder in folders.items()}
        times = {clip: [] for clip in clips}
        for _ in range(TIMES + 1):
            for clip, model in clips.items(): times[clip].append(seconds(model, photo))
        measured = {}
        for clip, folder in folders.items():
            del times[clip][0]                                      # which warms up
            measured[clip] = {
                'parameters': sum(p.numel() for p in clips[clip].model.parameters()),
                'megabytes': round((folder/WEIGHTS).stat().st_size/1e6, 1),
                'milliseconds': round(1000*float(np.median(times[clip])), 1)}
    ratios = np.divide(times['tower'], times['original'])
    measured['ratio'] = np.quantile(ratios, (.25, .5, .75)).round(2).tolist()
    text = json.dumps(measured, indent=1)
    (FOLDER/'tower.json').write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__': main()
