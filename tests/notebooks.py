"""Run a notebook as `nbdev_test` does, in a process that has imported what nearly all of them import.

Loading PyTorch and its company takes seconds, and there are many notebooks. So one process loads them, and is forked for
each notebook, which then starts at once and still has a process of its own.
"""
import multiprocessing
import os
import sys
from pathlib import Path

from conftest import ROOT

LOADED = ['torch', 'torchvision', 'torch.utils.data', 'open_clip', 'timm', 'sklearn.metrics', 'matplotlib.pyplot', 'nltk', 'pyarrow.parquet', 'hypothesis',
          'safetensors.torch', 'fastcore.test', 'nbdev.test', 'nbdev.showdoc', 'matplotlib_inline.backend_inline', 'taidpt.all', 'notebooks']


def run_here(path: Path, force_flags: list[str], log: Path):
    "The notebook's cells from top to bottom; ends the process, with 1 if one of them fails"
    from nbdev.config import get_config
    from nbdev.test import test_nb
    multiprocessing.set_start_method(None, force=True)                  # what a notebook would have without all this
    out = os.open(log, os.O_WRONLY | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr): os.dup2(out, stream.fileno())
    passed, _ = test_nb(path, skip_flags=get_config().tst_flags.split(), force_flags=force_flags, basepath=ROOT)
    for stream in (sys.stdout, sys.stderr): stream.flush()
    os._exit(not passed)


def run_forked(path: Path, log: Path, force_flags: list[str] = (), timeout: float = 900) -> bool:
    "Whether the notebook runs; what it printed is in `log`"
    os.environ |= dict(HF_HUB_OFFLINE='1', TQDM_DISABLE='1', MPLBACKEND='agg')     # the first call starts the process that is forked
    os.environ.setdefault('TAIDPT_SHARED', '/nowhere')                 # the pages' thousands of photos take minutes: name their folder to run on them
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(LOADED)
    process = context.Process(target=run_here, args=(path, list(force_flags), log))
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0
