"""Nothing heavy is loaded before it is needed; features of many images are on disk and not in
memory, but for mapped pages, which the system drops when it needs the room."""
import sys
from pathlib import Path

import pytest
from conftest import run

HEAVY = [
    'open_clip', 'torchvision', 'timm', 'sklearn', 'scipy', 'pandas', 'nltk', 'matplotlib',
    'pyarrow', 'huggingface_hub', 'fsspec',
]
LOADED = '''
import sys
print(*sorted(name for name in sys.modules if name in sys.argv[1].split()))
'''
BAR = '''
import os, sys, taidpt
assert 'torch' not in sys.modules and os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'
from taidpt.files import progress_bar
list(progress_bar(range(3)))
os.isatty = lambda stream: True
list(progress_bar(range(3), 'seen'))
'''
EXPLAIN = '''
from taidpt.apps.cli import main
sentence = "Two men's dogs can't see a cat; it's gonna hide."
for classes in ("voc2007", "coco", "nuswide", "cat,dog,fire truck"):
    main(["label", "--quiet", "--explain", sentence, "--classes", classes])
'''
FEATURES = '''
import sys, torch
from pathlib import Path
from PIL import Image
from taidpt.all import ClassSet, DualCoOp, FrozenCLIP, encode_images, load_clip

torch.set_num_threads(1)
clip = load_clip(device='cpu')
folder = Path(sys.argv[1])
N = 1200

class Quick(FrozenCLIP):
    def encode_maps(self, pixels, pos_embed=False):
        return torch.randn(len(pixels), self.dim), torch.randn(len(pixels), 14, 14, self.dim)

def megabytes(what):
    status = Path('/proc/self/status').read_text()
    return int(status.split(what)[1].split()[0]) / 1024

quick = Quick(clip.model, clip.tokenizer, lambda image: torch.zeros(3, 4, 4))
Image.new('RGB', (8, 8)).save(folder/'a.png')
images = [folder/'a.png']*N
labels = torch.rand(N, 2) < .5
start = megabytes('RssAnon:')
features = encode_images(quick, images, folder/'features.safetensors', progress=False)
model = DualCoOp(quick, ClassSet('two', ['cat', 'dog']), epochs=1)
model.fit(features, labels, progress=False)
model.predict(features, progress=False)
print(round(features.nbytes / 2**20), round(megabytes('RssAnon:') - start))
'''


def loaded(program: str, names: list[str]) -> list[str]:
    "What a program prints, if anything, and which of these modules it loads"
    done = run(sys.executable, '-c', f'{program}\n{LOADED}', ' '.join(names))
    return done.stdout.splitlines()


def test_importing_all_loads_little():
    assert loaded('import taidpt.all', ['torch', *HEAVY]) == ['torch']


def test_bars_are_for_terminals_and_waiting_threads_sleep():
    assert run(sys.executable, '-c', BAR, TQDM_DISABLE='').stdout.strip().startswith('seen: ')


def test_explaining_needs_no_torch():
    *lines, modules = loaded(EXPLAIN, ['torch', *HEAVY])
    assert modules == ''
    of_dogs = [line.split('->')[1] for line in lines if "'dogs' ->" in line]
    assert sum('dog' in result for result in of_dogs) == 4


HAS_STATUS = Path('/proc/self/status').exists()


@pytest.mark.skipif(not HAS_STATUS, reason='needs Linux, which tells the memory of a process')
def test_features_on_disk_are_not_in_memory(tmp_path):
    "Encoded, learned from and scored: 115 MB of features, on top of what learning takes"
    done = run(sys.executable, '-c', FEATURES, tmp_path)
    size, grown = map(int, done.stdout.split()[-2:])
    assert size > 110
    assert grown < 100
