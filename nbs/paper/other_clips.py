"""Further miniature CLIPs, to be compared with the embedded one:

    python other_clips.py VARIANT DATA FOLDER

runs the code of `train_mini_clip.ipynb`, from its settings to the file of weights, with the
settings of a variant. DATA has the data sets that the notebook names. The CLIP is written into
FOLDER/VARIANT, what takes long into FOLDER/caches, where other variants find it."""
import json
import sys
import time
from pathlib import Path

import matplotlib

PAGE = Path(__file__).parent/'train_mini_clip.ipynb'
FIRST_RESULT = 'tr-032'                         # the cell after the weights
SETTINGS = 'tr-settings'

VARIANTS = {
    'seed': dict(SEED=1),
    'captions': dict(WITH_COCO=False),
    'tower': dict(TOWER='lite1')}


def code_cells():
    "Name and source of each code cell before the results"
    for cell in json.loads(PAGE.read_text(encoding='utf-8'))['cells']:
        if cell['id'] == FIRST_RESULT: return
        if cell['cell_type'] == 'code': yield cell['id'], ''.join(cell['source'])


def make(variant: str, data: Path, folder: Path):
    "Train a variant, and write it into a folder of its name"
    folder.mkdir(parents=True, exist_ok=True)
    paths = dict(data=data, work=folder/'caches', out=folder/variant)
    namespace = {'__name__': '__main__'}
    for name, source in code_cells():
        start = time.time()
        exec(compile(source, name, 'exec'), namespace)
        if name == SETTINGS: namespace |= paths | VARIANTS[variant]
        print(f'{name}: {time.time() - start:.0f} s', flush=True)


if __name__ == '__main__':
    matplotlib.use('Agg')
    make(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
