"""Two processes under torchrun learn and predict what one does."""
import sys

import torch
from conftest import ROOT, run
from safetensors.torch import load_file

SCRIPT = """
import sys, warnings
from pathlib import Path
import torch
from taidpt.all import *
from taidpt.baselines.dualcoop import DualCoOp
from taidpt.support.distributed import is_first, join_processes
warnings.simplefilter('ignore')
torch.set_num_threads(1)
join_processes()
out, names = Path(sys.argv[1]), ['cat', 'dog', 'bus', 'person', 'chair']
train = NounFilter(names).label(bundled_captions(), progress=False)[:400]
photos = sorted(Path(sys.argv[2]).iterdir())[:5]
for specific in (False, True):
    model = TaIDPT(load_clip(device='cpu'), names, n_ctx=4, epochs=2, batch_size=128, templates=False, class_specific=specific)
    model.fit(train, cache=out/'features.safetensors', checkpoint=out/f'{specific}.checkpoint.safetensors', progress=False)
    scores = model.predict(photos, progress=False)
    assert torch.allclose(model.predict(photos[:1], progress=False), scores[:1], atol=1e-5)       # fewer pictures than processes
    if is_first():
        model.save(out/f'{specific}.safetensors')
        torch.save(scores, out/f'{specific}.pt')
dual = DualCoOp(load_clip(device='cpu'), names, n_ctx=4, lr=.05, epochs=3, batch_size=5, class_specific=True, learn_scale=True)
dual.fit(photos, 2*torch.eye(5) - 1, progress=False)                                              # scale and temperature are no class's
if is_first(): dual.save(out/'dual.safetensors')
"""


def test_the_same_prompts(tmp_path):
    script = tmp_path/'train.py'
    script.write_text(SCRIPT)
    photos = ROOT/'taidpt/data/coco_demo/images'
    for n, launch in ((1, ()), (2, ('-m', 'torch.distributed.run', '--nproc-per-node', 2, '--master-port', 29517))):
        (tmp_path/str(n)).mkdir()
        assert run(sys.executable, *launch, script, tmp_path/str(n), photos, OMP_NUM_THREADS='1').returncode == 0
    for file in (False, True, 'dual'):
        alone, together = (load_file(tmp_path/n/f'{file}.safetensors') for n in '12')
        for name in alone:
            away = (together[name] - alone[name]).norm() / alone[name].norm()
            assert away <= 1e-5, f'{file}, {name}: {away}'
    assert len(alone) == 4
    for specific in (False, True):
        one, two = (torch.load(tmp_path/n/f'{specific}.pt') for n in '12')
        assert one.shape == (5, 5) and torch.allclose(one, two, rtol=1e-5, atol=1e-5)
