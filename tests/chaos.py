"""Break runs in every way that machines break them, and see that they end as if nothing had happened.

    python tests/chaos.py --minutes 60 --seed 0              for an hour
    python tests/chaos.py --minutes 5 --jobs train,evaluate  only these commands

A trial takes one command and breaks it up to three times: killed at a random moment, killed before or after its k-th step
on the disk (a file opened for writing, synced, renamed, removed or laid out), with a disk that is full, or with the same
command beside it, which may be killed, too. Then the command runs to its end, and all that it has written must equal what
an unbroken run writes: tensor for tensor and, where there are no tensors, byte for byte. Nothing may lie beside it, and a
full disk must be told in a sentence that names a file. The process that runs a command is a fork of this one, and breaks
itself.
"""
import argparse, builtins, importlib, io, os, random, re, resource, shutil, signal, sys, tempfile, time, traceback
from functools import cache
from itertools import cycle, islice
from pathlib import Path

os.environ |= dict(OMP_NUM_THREADS='1', TQDM_DISABLE='1', HF_HUB_OFFLINE='1', MPLBACKEND='agg')
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import torch
from safetensors import safe_open
from taidpt.apps.cli import main
from taidpt import clip, predict, tags, texts
from taidpt.all import NounFilter, bundled_captions, encode_sentences
from taidpt.baselines import concepts
from taidpt.paper import reproduce

for module in ('matplotlib.pyplot', 'onnx', 'onnxruntime', 'pyarrow.parquet', 'sklearn.linear_model', 'sklearn.metrics', 'taidpt.apps.onnx', 'taidpt.apps.report', 'typer._adapters'):
    importlib.import_module(module)       # what the commands import when they need it, so that each fork has it
# as loading and encoding take longest
texts.TEMPLATES, CLIP, CAPTIONS = texts.TEMPLATES[:2], clip.load_clip(device='cpu'), list(islice(bundled_captions(), 120))
for module in (clip, predict, reproduce): module.load_clip = lambda *args, **kwargs: CLIP
concepts.bundled_captions = lambda: CAPTIONS
tags.reference_features(CLIP)
for rules in ('careful', 'published'): NounFilter(['cat'], rules=rules).label(CAPTIONS, progress=False)

PHOTOS = sorted((Path(__file__).resolve().parent.parent/'taidpt/data/coco_demo/images').iterdir())[:6]
CLASSES = 'person,dog,cat,bus'
JOBS = {
    'label': f'label captions.txt --classes {CLASSES} --out labelled.parquet',
    'encode': 'encode features.safetensors',
    'train': f'train --method prompts --loss ranking --classes {CLASSES} --captions captions.txt --out my.safetensors --cache features.safetensors --epochs 3 --n-ctx 2 --batch-size 32 --quiet',
    'tag': 'tag --prompts prompts.safetensors pictures --out tags.csv',
    'evaluate': 'evaluate prompts.safetensors --pictures pictures --labels labels.tsv --calibrate tuned.safetensors',
    'export': 'export --prompts prompts.safetensors --out my.onnx',
    'reproduce': 'reproduce table1 --datasets voc2007 --seeds 1 --limit 8 --out table',
}


# A command in a fork of this process, with what is to happen to it

def watch(k: int, before: bool) -> list:
    "From now on, this process kills itself at its k-th step on the disk; 0: never. What the steps are counted in"
    steps = []
    def around(function, counts=lambda *args, **kwargs: True):
        def call(*args, **kwargs):
            if not counts(*args, **kwargs): return function(*args, **kwargs)
            steps.append(function)
            here = len(steps) == k
            if here and before: os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if here: os.kill(os.getpid(), signal.SIGKILL)
            return result
        return call
    builtins.open = io.open = around(open, lambda file, mode='r', *args, **kwargs: any(c in mode for c in 'wax+'))
    for name in ('fsync', 'replace', 'rename', 'unlink', 'mkdir', 'posix_fallocate'):
        if hasattr(os, name): setattr(os, name, around(getattr(os, name)))
    return steps


def work(command: str) -> int:
    "Run a command here; its exit status"
    what, *args = command.split()
    if what != 'encode': return main([what, *args])
    captions = Path('captions.txt').read_text().split('\n')
    try: encode_sentences(CLIP, captions, args[0], progress=False)
    except OSError as e:
        print(e)
        return 1
    return 0


def start(command: str, folder: Path, log: Path, step: tuple[int, bool] | None = None, room: int | None = None, count: Path | None = None) -> int:
    "The number of a process that runs a command in a folder"
    sys.stdout.flush()
    if pid := os.fork(): return pid
    status = 99
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2): os.dup2(out, stream)
        os.chdir(folder)
        if room is not None: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        steps = watch(*step) if step else []
        status = work(command)
        if count: count.write_text(str(len(steps)))
    except SystemExit as e: status = e.code if isinstance(e.code, int) else 98
    except BaseException: traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try: stream.flush()
            except OSError: pass
        os._exit(status)


def end(pid: int) -> int:
    "Wait for a process: its exit status, negative if it was killed"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# What a run has written

def contents(folder: Path, given: set[str]) -> dict:
    "What is in each file of a folder, but for those that were given: tensors and header, or bytes"
    found = {}
    for path in sorted(p for p in folder.rglob('*') if p.is_file()):
        name = str(path.relative_to(folder))
        if name in given or name.endswith('.taidpt-lock'): continue      # an empty lock keeps nobody out
        found[name] = path.read_bytes()
        if path.suffix == '.safetensors' and '.part' not in name:
            with safe_open(path, 'pt') as f: found[name] = ({k: f.get_tensor(k) for k in f.keys()}, dict(f.metadata() or {}))
    return found


def difference(name: str, a, b) -> str:
    "What differs between a file of an unbroken run and of another, '' for nothing"
    if a is None or b is None: return f'{name} is {"left over" if a is None else "missing"}'
    if isinstance(a, bytes) or isinstance(b, bytes): return '' if a == b else f'{name} has other bytes'
    if a[0].keys() != b[0].keys(): return f'{name} has other tensors'
    for k in a[0]:
        if not torch.equal(a[0][k].nan_to_num(7), b[0][k].nan_to_num(7)): return f'{name}: {k} differs'
    other = [k for k in sorted(a[1].keys() | b[1].keys()) if k not in ('checksum', 'seconds') and a[1].get(k) != b[1].get(k)]
    return f'{name} has other words: {", ".join(other)}' if other else ''


class Chaos:
    "Commands, what they write when nothing happens, and what happened in trials"
    def __init__(self, seed: int, folder: Path):
        self.random, self.folder, self.trials, self.failures = random.Random(seed), folder, 0, 0
        self.given, self.here, self.log = folder/'given', folder/'here', folder/'log'
        given = self.given
        (given/'pictures').mkdir(parents=True)
        (given/'captions.txt').write_text('\n'.join(CAPTIONS))
        for p in PHOTOS: shutil.copy2(p, given/'pictures')
        (given/'labels.tsv').write_text(''.join(f'{p.name}\t{"person" if i % 2 else "dog,cat"}\n' for i, p in enumerate(PHOTOS)))
        train = f'train --method prompts --loss ranking --classes {CLASSES} --captions captions.txt --out prompts.safetensors --epochs 1 --n-ctx 2'
        if end(start(train, given, self.log)): raise SystemExit(f'no prompts: {self.log.read_text()}')
        self.names = {str(p.relative_to(given)) for p in given.rglob('*') if p.is_file()}

    def fresh(self):
        "The folder as it is before a run; paths and times of change are always the same"
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self.given, self.here)
        self.log.unlink(missing_ok=True)

    @cache
    def whole(self, job: str) -> tuple[dict, float, int, int]:
        "What a command writes if nothing happens, how long that takes, its steps on the disk, its largest file in bytes"
        self.fresh()
        count, began = self.folder/f'steps of {job}', time.monotonic()
        status = end(start(JOBS[job], self.here, self.log, (0, True), count=count))
        if status: raise SystemExit(f'{job} fails by itself: {self.log.read_text()}')
        took, found, steps = time.monotonic() - began, contents(self.here, self.names), int(count.read_text())
        print(f'{job}: {len(found)} files in {took:.1f} s, {steps} steps on the disk', flush=True)
        return found, took, steps, max((self.here/name).stat().st_size for name in found)

    def break_once(self, job: str, how: str) -> str:
        "Break a run in some way; in words"
        _, took, steps, largest = self.whole(job)
        k, before, room = self.random.randint(1, steps), self.random.random() < .5, int(2000 * (largest/2000 + 1)**self.random.random())
        moment = self.random.uniform(0, took)
        if how == 'step':
            status = end(start(JOBS[job], self.here, self.log, (k, before)))
            self.expect(status in (0, -signal.SIGKILL), f'status {status}')
            return f'killed {"before" if before else "after"} step {k}'
        if how == 'full disk':
            self.log.unlink(missing_ok=True)
            status = end(start(JOBS[job], self.here, self.log, room=room))
            said = self.log.read_text(errors='replace')
            self.expect(status in (0, 1), f'status {status} on a full disk')
            told = re.search(r"(\w+[.-]\w+.*: file too large|file too large.*'\S+')", said, re.IGNORECASE)
            self.expect(status == 0 or (told and 'Traceback' not in said), 'a full disk is not told')
            return f'no file over {room:,} bytes'
        pids = [start(JOBS[job], self.here, self.log) for _ in range(1 if how == 'killed' else 2)]
        if how != 'two at once':
            time.sleep(moment)
            try: os.kill(pids[0], signal.SIGKILL)
            except ProcessLookupError: pass
        statuses = [end(p) for p in pids]
        refused = 1 if job == 'train' and 'in use' in self.log.read_text(errors='replace') else 0
        allowed = {0, refused} | (set() if how == 'two at once' else {-signal.SIGKILL})
        self.expect(set(statuses) <= allowed and (how == 'killed' or statuses[-1] in (0, refused)), f'statuses {statuses}')
        if how == 'two at once': self.expect(0 in statuses, f'statuses {statuses}')
        return f'{how} after {moment:.2f} s' if 'killed' in how else how

    def expect(self, holds: bool, otherwise: str):
        if not holds: self.wrong.append(otherwise)

    def trial(self, job: str, *how: str):
        "Break a command in some ways, let it end, and compare"
        want = self.whole(job)[0]
        self.fresh()
        self.wrong, done = [], []
        for way in how: done.append(self.break_once(job, way))
        status = end(start(JOBS[job], self.here, self.log))
        self.expect(status == 0, f'status {status} in the end')
        got = contents(self.here, self.names) if status == 0 else want
        self.wrong += filter(None, (difference(n, want.get(n), got.get(n)) for n in sorted(want.keys() | got.keys())))
        self.trials += 1
        print(f'{job}: {"; ".join(done)}: {"the same" if not self.wrong else "WRONG: " + "; ".join(self.wrong)}', flush=True)
        if self.wrong:
            self.failures += 1
            print(self.log.read_text(errors='replace')[-3000:], flush=True)


def run(minutes: float, seed: int, jobs: list[str]) -> int:
    "Trials for some minutes; how many failed"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        chaos, end_at = Chaos(seed, Path(folder)), time.monotonic() + 60*minutes
        for i, job in enumerate(cycle(jobs)):
            if i >= len(jobs) and time.monotonic() > end_at: break
            ways = chaos.random.choices(('killed', 'step', 'step', 'full disk', 'two at once', 'two at once, one killed'), k=chaos.random.choice((1, 1, 2, 3)))
            chaos.trial(job, *ways)
    print(f'\nseed {seed}: {chaos.trials} trials, {chaos.failures} failures')
    return chaos.failures


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--minutes', type=float, default=2, help='how long (default: 2), but each command at least once')
    p.add_argument('--seed', type=int, default=0, help='of what is drawn (default: 0); moments depend on the machine all the same')
    p.add_argument('--jobs', default=','.join(JOBS), help='commands (default: all)')
    args = p.parse_args()
    sys.exit(run(args.minutes, args.seed, args.jobs.split(',')) > 0)
