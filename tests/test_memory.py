"""Features of many pictures: on disk, and not in memory."""
import sys
from pathlib import Path

import pytest
from conftest import run

SCRIPT = '''
import sys, threading, time, torch
from pathlib import Path
from PIL import Image
from taidpt.classes import ClassSet
from taidpt.clip import FrozenCLIP, encode_pictures, load_clip
from taidpt.baselines.dualcoop import DualCoOp

torch.set_num_threads(1)
clip, folder, N = load_clip(device='cpu'), Path(sys.argv[1]), 2000
used = lambda: int(Path('/proc/self/status').read_text().split('VmRSS:')[1].split()[0]) / 1024

class Quick(FrozenCLIP):
    def encode_maps(self, pixels, pos_embed=False): return torch.randn(len(pixels), self.dim), torch.randn(len(pixels), 14, 14, self.dim)

quick = Quick(clip.model, clip.tokenizer, lambda im: torch.zeros(3, 4, 4))
Image.new('RGB', (8, 8)).save(folder/'a.png')
classes, labels = ClassSet('two', ['cat', 'dog']), torch.rand(N, 2) < .5
start, peak = used(), 0
def watch():
    global peak
    while True:
        peak = max(peak, used())
        time.sleep(.01)
threading.Thread(target=watch, daemon=True).start()
features = encode_pictures(quick, [folder/'a.png']*N, folder/'features.safetensors', progress=False)
DualCoOp(quick, classes, epochs=1).fit(features, labels, progress=False).predict(features, progress=False)
print(round(features.nbytes / 2**20), round(peak - start))
'''


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs Linux, which tells how much memory a process holds')
def test_features_on_disk_are_not_in_memory(tmp_path):
    "Encoded, learned from and scored: 192 MB of features, on top of what learning takes"
    done = run(sys.executable, '-c', SCRIPT, tmp_path)
    assert done.returncode == 0
    size, grown = map(int, done.stdout.split()[-2:])
    assert size > 180 and grown < 250                       # 167 without them
