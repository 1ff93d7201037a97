"""Break runs in every way that machines break them; they must end as if nothing had happened.

    python tests/chaos.py --minutes 60 --seed 0              for an hour
    python tests/chaos.py --minutes 5 --jobs train,evaluate  only these commands

A trial takes one command and breaks it up to three times: killed at a random moment, killed before
or after its k-th step on the disk (a file opened for writing, synced, renamed, removed or laid
out), with a disk that is full, or with the same command beside it, which may be killed, too. Then
the command runs to its end, and all that it has written must equal what an unbroken run writes:
tensor for tensor and, where there are no tensors, byte for byte. Nothing may lie beside it, and a
full disk must be told in a sentence that names a file. The process that runs a command is a fork
of this one, and breaks itself.
"""
import argparse
import builtins
import importlib
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

os.environ |= dict(OMP_NUM_THREADS='1', TQDM_DISABLE='1', HF_HUB_OFFLINE='1', MPLBACKEND='agg')
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import torch
from safetensors import safe_open

from taidpt import clip, model_files, texts
from taidpt.all import NounFilter, bundled_captions, encode_sentences
from taidpt.apps.cli import main
from taidpt.baselines import concepts
from taidpt.paper import reproduce

# What the commands import when they need it, so that each fork has it
LATE = [
    'matplotlib.pyplot', 'onnx', 'onnxruntime', 'pyarrow.parquet', 'sklearn.linear_model',
    'sklearn.metrics', 'taidpt.apps.onnx', 'taidpt.apps.report', 'typer._adapters',
]
for module in LATE: importlib.import_module(module)

# One CLIP and a few sentences for all, as loading and encoding take longest
CLIP = clip.load_clip(device='cpu')
CAPTIONS = list(islice(bundled_captions(), 120))
texts.TEMPLATES = texts.TEMPLATES[:2]
concepts.bundled_captions = lambda: CAPTIONS
for module in (clip, model_files, reproduce): module.load_clip = lambda *args, **kwargs: CLIP
CLIP.reference_features()
for rules in ('careful', 'published'):
    NounFilter(['cat'], rules=rules).label(CAPTIONS, progress=False)

PHOTOS = sorted((ROOT/'taidpt/data/coco_demo/images').iterdir())[:6]
CLASSES = 'person,dog,cat,bus'
PROMPTS = f'train --method prompts --loss ranking --classes {CLASSES} --captions captions.txt'
JOBS = {
    'label': f'label captions.txt --classes {CLASSES} --out labelled.parquet',
    'encode': 'encode features.safetensors',
    'train': f'{PROMPTS} --out my.safetensors --cache features.safetensors'
             ' --epochs 3 --n-ctx 2 --batch-size 32 --quiet',
    'tag': 'tag --prompts prompts.safetensors pictures --out tags.csv',
    'evaluate': 'evaluate prompts.safetensors --pictures pictures --labels labels.tsv'
                ' --calibrate tuned.safetensors',
    'export': 'export --prompts prompts.safetensors --out my.onnx',
    'reproduce': 'reproduce table1 --datasets voc2007 --seeds 1 --limit 8 --out table',
}
WAYS = ('killed', 'step', 'step', 'full disk', 'two at once', 'two at once, one killed')


# A command in a fork of this process, with what is to happen to it

def watch(k: int, before: bool) -> list:
    """From now on, this process kills itself at its k-th step on the disk; 0: never.

    Gives a list that grows by each step."""
    steps = []

    def kill(): os.kill(os.getpid(), signal.SIGKILL)

    def around(function, counts=lambda *args, **kwargs: True):
        def call(*args, **kwargs):
            if not counts(*args, **kwargs): return function(*args, **kwargs)
            steps.append(function)
            here = len(steps) == k
            if here and before: kill()
            result = function(*args, **kwargs)
            if here: kill()
            return result
        return call

    def writes(file, mode='r', *args, **kwargs): return any(letter in mode for letter in 'wax+')

    builtins.open = io.open = around(open, writes)
    for name in ('fsync', 'replace', 'rename', 'unlink', 'mkdir', 'posix_fallocate'):
        if hasattr(os, name): setattr(os, name, around(getattr(os, name)))
    return steps


def work(command: str) -> int:
    "Run a command here; its exit status"
    what, *args = command.split()
    if what != 'encode': return main([what, *args])
    captions = Path('captions.txt').read_text().split('\n')
    try:
        encode_sentences(CLIP, captions, args[0], progress=False)
    except OSError as error:
        print(error)
        return 1
    return 0


def start(
        command: str,                         # what runs
        folder: Path,                         # where it runs
        log: Path,                            # gets what it says
        step: tuple[int, bool]|None = None,   # when it kills itself, see `watch`
        room: int|None = None,                # bytes that a file may have
        count: Path|None = None,              # gets its number of steps on the disk
) -> int:
    "The number of a process that runs a command in a folder"
    sys.stdout.flush()
    pid = os.fork()
    if pid: return pid
    status = 99
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2): os.dup2(out, stream)
        os.chdir(folder)
        if room is not None: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        steps = watch(*step) if step else []
        status = work(command)
        if count: count.write_text(str(len(steps)))
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try: stream.flush()
            except OSError: pass
        os._exit(status)


def end(pid: int) -> int:
    "Wait for a process: its exit status, negative if it was killed"
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


# What a run has written

class Tensors(NamedTuple):
    "What a file of tensors holds"
    tensors: dict[str, torch.Tensor]
    header: dict[str, str]


def without_times(content: bytes) -> bytes:
    "Scores of pictures, without the identities of the files, which are new in each trial"
    head, _, records = content.partition(b'\n')
    size = 16 + 4*int(head.split()[-1]) + 4                     # identity, scores, checksum
    each = [records[at:at + size] for at in range(0, len(records), size)]
    return head + b''.join(record[16:-4] for record in each)


def read(path: Path) -> Tensors|bytes:
    "Tensors and header of a file, or its bytes"
    if path.name.endswith('.scores'): return without_times(path.read_bytes())
    if path.suffix != '.safetensors' or '.part' in path.name: return path.read_bytes()
    with safe_open(path, 'pt') as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}
        return Tensors(tensors, dict(f.metadata() or {}))


def contents(folder: Path, given: set[str]) -> dict[str, Tensors|bytes]:
    "What is in each file of a folder, but for those that were given"
    found = {}
    for path in sorted(folder.rglob('*')):
        name = str(path.relative_to(folder))
        lock = name.endswith('.taidpt-lock')                     # an empty lock keeps nobody out
        if path.is_file() and name not in given and not lock: found[name] = read(path)
    return found


def difference(name: str, unbroken: Tensors|bytes|None, other: Tensors|bytes|None) -> str:
    "What differs between a file of an unbroken run and of another, '' for nothing"
    if unbroken is None: return f'{name} is left over'
    if other is None: return f'{name} is missing'
    if isinstance(unbroken, bytes) or isinstance(other, bytes):
        return '' if unbroken == other else f'{name} has other bytes'
    if unbroken.tensors.keys() != other.tensors.keys(): return f'{name} has other tensors'
    for key, tensor in unbroken.tensors.items():
        same = torch.equal(tensor.nan_to_num(7), other.tensors[key].nan_to_num(7))
        if not same: return f'{name}: {key} differs'
    words = sorted((unbroken.header.keys() | other.header.keys()) - {'checksum', 'seconds'})
    changed = [word for word in words if unbroken.header.get(word) != other.header.get(word)]
    return f'{name} has other words: {", ".join(changed)}' if changed else ''


# Trials

class Whole(NamedTuple):
    "A run to which nothing happened"
    contents: dict[str, Tensors|bytes]    # what it wrote
    seconds: float                        # how long it took
    steps: int                            # how many steps on the disk it made
    largest: int                          # bytes of its largest file


class Drawn(NamedTuple):
    "What is drawn for one break; each way to break uses some of it"
    step: int                 # on the disk, from 1
    before: bool              # is it killed before that step?
    room: int                 # bytes that a file may have
    moment: float             # seconds from the start


class Chaos:
    "Commands, what they write when nothing happens, and what happened in trials"
    def __init__(self, seed: int, folder: Path):
        self.random = random.Random(seed)
        self.folder = folder
        self.given = folder/'given'
        self.here = folder/'here'
        self.log = folder/'log'
        self.trials = 0
        self.failures = 0
        self.wrong = []                   # in this trial
        self.give()

    def give(self):
        "What lies in the folder before each run"
        (self.given/'pictures').mkdir(parents=True)
        for photo in PHOTOS: shutil.copy2(photo, self.given/'pictures')
        (self.given/'captions.txt').write_text('\n'.join(CAPTIONS))
        labels = ['person' if i % 2 else 'dog,cat' for i in range(len(PHOTOS))]
        rows = [f'{photo.name}\t{some}\n' for photo, some in zip(PHOTOS, labels)]
        (self.given/'labels.tsv').write_text(''.join(rows))
        train = f'{PROMPTS} --out prompts.safetensors --epochs 1 --n-ctx 2'
        status = end(start(train, self.given, self.log))
        if status: raise SystemExit(f'no prompts: {self.log.read_text()}')
        files = [path for path in self.given.rglob('*') if path.is_file()]
        self.names = {str(path.relative_to(self.given)) for path in files}

    def fresh(self):
        "The folder as it is before a run; paths and times of change are always the same"
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self.given, self.here)
        self.log.unlink(missing_ok=True)

    def start(self, job: str, **how) -> int:
        "The number of a process that runs a job"
        return start(JOBS[job], self.here, self.log, **how)

    def said(self) -> str:
        "What the last runs have said"
        return self.log.read_text(errors='replace')

    @cache
    def whole(self, job: str) -> Whole:
        "Run a job, and nothing happens"
        self.fresh()
        count = self.folder/f'steps of {job}'
        began = time.monotonic()
        status = end(self.start(job, step=(0, True), count=count))
        if status: raise SystemExit(f'{job} fails by itself: {self.said()}')
        seconds = time.monotonic() - began
        found = contents(self.here, self.names)
        steps = int(count.read_text())
        largest = max((self.here/name).stat().st_size for name in found)
        told = f'{job}: {len(found)} files in {seconds:.1f} s, {steps} steps on the disk'
        print(told, flush=True)
        return Whole(found, seconds, steps, largest)

    def expect(self, holds: bool, otherwise: str):
        if not holds: self.wrong.append(otherwise)

    def draw(self, job: str) -> Drawn:
        whole = self.whole(job)
        return Drawn(
            step=self.random.randint(1, whole.steps),
            before=self.random.random() < .5,
            room=int(2000 * (whole.largest/2000 + 1)**self.random.random()),
            moment=self.random.uniform(0, whole.seconds))

    def break_once(self, job: str, way: str) -> str:
        "Break a run in some way; in words"
        drawn = self.draw(job)
        if way == 'step': return self.killed_at_a_step(job, drawn)
        if way == 'full disk': return self.full_disk(job, drawn)
        if way == 'killed': return self.killed(job, drawn)
        return self.two_at_once(job, drawn, killed='killed' in way)

    def killed_at_a_step(self, job: str, drawn: Drawn) -> str:
        status = end(self.start(job, step=(drawn.step, drawn.before)))
        self.expect(status in (0, -signal.SIGKILL), f'status {status}')
        when = 'before' if drawn.before else 'after'
        return f'killed {when} step {drawn.step}'

    def full_disk(self, job: str, drawn: Drawn) -> str:
        self.log.unlink(missing_ok=True)
        status = end(self.start(job, room=drawn.room))
        self.expect(status in (0, 1), f'status {status} on a full disk')
        said = self.said()
        full = '(file too large|no space left on device)'      # ONNX Runtime does not say which
        with_name = rf"(\w+[.-]\w+.*: {full}|{full}.*'\S+')"
        told = re.search(with_name, said, re.IGNORECASE) and 'Traceback' not in said
        self.expect(status == 0 or told, 'a full disk is not told')
        return f'no file over {drawn.room:,} bytes'

    def kill_later(self, pid: int, moment: float):
        "Kill a process after a while, if it still runs"
        time.sleep(moment)
        try: os.kill(pid, signal.SIGKILL)
        except ProcessLookupError: pass

    def killed(self, job: str, drawn: Drawn) -> str:
        pid = self.start(job)
        self.kill_later(pid, drawn.moment)
        status = end(pid)
        allowed = {0, -signal.SIGKILL, self.refusal(job)}
        self.expect(status in allowed, f'statuses {[status]}')
        return f'killed after {drawn.moment:.2f} s'

    def two_at_once(self, job: str, drawn: Drawn, killed: bool) -> str:
        pids = [self.start(job), self.start(job)]
        if killed: self.kill_later(pids[0], drawn.moment)
        first, second = [end(pid) for pid in pids]
        allowed = {0, self.refusal(job)}
        for_first = allowed | {-signal.SIGKILL} if killed else allowed
        self.expect(first in for_first and second in allowed, f'statuses {[first, second]}')
        if killed: return f'two at once, one killed after {drawn.moment:.2f} s'
        self.expect(0 in (first, second), f'statuses {[first, second]}')
        return 'two at once'

    def refusal(self, job: str) -> int:
        "The status of a command that says that its file is in use; 0 if none has said so"
        return 1 if job == 'train' and 'in use' in self.said() else 0

    def trial(self, job: str, *ways: str):
        "Break a command in some ways, let it end, and compare"
        unbroken = self.whole(job).contents
        self.fresh()
        self.wrong = []
        done = [self.break_once(job, way) for way in ways]
        status = end(self.start(job))
        self.expect(status == 0, f'status {status} in the end')
        if status == 0: self.compare(unbroken, contents(self.here, self.names))
        self.trials += 1
        result = 'WRONG: ' + '; '.join(self.wrong) if self.wrong else 'the same'
        print(f'{job}: {"; ".join(done)}: {result}', flush=True)
        if self.wrong:
            self.failures += 1
            print(self.said()[-3000:], flush=True)

    def compare(self, unbroken: dict, found: dict):
        "Note what differs between two runs"
        for name in sorted(unbroken.keys() | found.keys()):
            differs = difference(name, unbroken.get(name), found.get(name))
            if differs: self.wrong.append(differs)


def run(minutes: float, seed: int, jobs: list[str]) -> int:
    "Trials for some minutes; how many failed"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(seed, Path(folder))
        last = time.monotonic() + 60*minutes
        for i, job in enumerate(cycle(jobs)):
            if i >= len(jobs) and time.monotonic() > last: break
            breaks = chaos.random.choice((1, 1, 2, 3))
            chaos.trial(job, *chaos.random.choices(WAYS, k=breaks))
    print(f'\nseed {seed}: {chaos.trials} trials, {chaos.failures} failures')
    return chaos.failures


if __name__ == '__main__':
    whole_text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=whole_text)
    parser.add_argument(
        '--minutes', type=float, default=2,
        help='how long (default: 2), but each command at least once')
    parser.add_argument(
        '--seed', type=int, default=0,
        help='of what is drawn (default: 0); moments depend on the machine all the same')
    parser.add_argument('--jobs', default=','.join(JOBS), help='commands (default: all)')
    asked = parser.parse_args()
    sys.exit(run(asked.minutes, asked.seed, asked.jobs.split(',')) > 0)
