"""Nothing heavy is loaded before it is needed, and features of many pictures are on disk and not in memory."""
import sys
from pathlib import Path

import pytest
from conftest import run

HEAVY = 'open_clip', 'torchvision', 'timm', 'sklearn', 'scipy', 'pandas', 'nltk', 'matplotlib', 'pyarrow', 'huggingface_hub', 'fsspec'
LOADED = 'import sys; print(*sorted(m for m in sys.modules if m in sys.argv[1].split()))'
FEATURES = '''
import sys, torch
from pathlib import Path
from PIL import Image
from taidpt.all import ClassSet, DualCoOp, FrozenCLIP, encode_pictures, load_clip

torch.set_num_threads(1)
clip, folder, N = load_clip(device='cpu'), Path(sys.argv[1]), 1200

class Quick(FrozenCLIP):
    def encode_maps(self, pixels, pos_embed=False): return torch.randn(len(pixels), self.dim), torch.randn(len(pixels), 14, 14, self.dim)

quick = Quick(clip.model, clip.tokenizer, lambda im: torch.zeros(3, 4, 4))
Image.new('RGB', (8, 8)).save(folder/'a.png')
classes, labels = ClassSet('two', ['cat', 'dog']), torch.rand(N, 2) < .5
megabytes = lambda what: int(Path('/proc/self/status').read_text().split(what)[1].split()[0]) / 1024
start = megabytes('VmRSS:')
features = encode_pictures(quick, [folder/'a.png']*N, folder/'features.safetensors', progress=False)
DualCoOp(quick, classes, epochs=1).fit(features, labels, progress=False).predict(features, progress=False)
print(round(features.nbytes / 2**20), round(megabytes('VmHWM:') - start))
'''


def loaded(program: str, names) -> list[str]:
    "Which of these modules a program loads, and what it prints, if anything"
    return run(sys.executable, '-c', f'{program}\n{LOADED}', ' '.join(names)).stdout.splitlines()


def test_importing_all_loads_little():
    assert loaded('import taidpt.all', ['torch', *HEAVY]) == ['torch']


def test_explaining_needs_no_torch():
    args = ['label', '--quiet', '--explain', "Two men's dogs can't see a cat; it's gonna hide.", '--classes']
    program = f'from taidpt.apps.cli import main\nfor c in ("voc2007", "coco", "nuswide", "cat,dog,fire truck"): main([*{args}, c])'
    *said, modules = loaded(program, ['torch', 'numpy', *HEAVY])
    assert modules == '' and sum("'dogs' ->" in line and 'dog' in line.split('->')[1] for line in said) == 4


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs Linux, which tells how much memory a process holds')
def test_features_on_disk_are_not_in_memory(tmp_path):
    "Encoded, learned from and scored: 115 MB of features, on top of what learning takes"
    done = run(sys.executable, '-c', FEATURES, tmp_path)
    assert done.returncode == 0
    size, grown = map(int, done.stdout.split()[-2:])
    assert size > 110 and grown < 230                       # 167 without them
