"""A training run that is killed between epochs and resumed ends with the same prompts as one that is not."""
import signal
import subprocess
import time
from itertools import islice

import torch
from conftest import run, tool
from safetensors import safe_open
from safetensors.torch import load_file
from taidpt.support.captions import bundled_captions


def test_killed_and_resumed(tmp_path):
    (tmp_path/'captions.txt').write_text('\n'.join(islice(bundled_captions(), 1500)))
    train = lambda out: [str(a) for a in (tool('taidpt'), 'train', '--classes', 'person,dog,cat,car,bus,train,horse,bird', '--captions', 'captions.txt', '--out', out, '--epochs', 6,
                                          '--batch-size', 256, '--n-ctx', 4, '--lr', 0.02, '--cache', 'features.safetensors')]
    env = dict(OMP_NUM_THREADS='1')
    assert run(*train('unbroken.safetensors'), cwd=tmp_path, **env).returncode == 0

    checkpoint, epochs = tmp_path/'broken.checkpoint.safetensors', 0
    for kill in range(2):                                             # twice, at different epochs
        p = subprocess.Popen(['env', 'OMP_NUM_THREADS=1', *train('broken.safetensors'), '--resume'], cwd=tmp_path, stderr=subprocess.DEVNULL)
        was = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        while p.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == was): time.sleep(0.01)
        p.send_signal(signal.SIGKILL)
        assert p.wait() == -signal.SIGKILL and not (tmp_path/'broken.safetensors').exists()
        with safe_open(checkpoint, 'pt') as f: done = f.metadata()['history'].count('"epoch"')
        assert epochs < done < 6
        epochs = done
    assert run(*train('broken.safetensors'), '--resume', cwd=tmp_path, **env).returncode == 0
    assert not checkpoint.exists()

    a, b = (load_file(tmp_path/f'{n}.safetensors') for n in ('unbroken', 'broken'))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
