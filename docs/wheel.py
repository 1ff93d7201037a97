"""Build the source archive and the wheel, twice, and see that both come out the same to the byte.

    python docs/wheel.py dist

What goes in are the files that git knows, with the date of the last commit (or SOURCE_DATE_EPOCH,
where that is set) and the same rights everywhere, so the bytes do not depend on when, where and by
whom it is built: only on the commit and on the versions of setuptools and wheel.
"""
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent
FOLDER_MODE = 0o755
FILE_MODE = 0o644


def git(*args: str) -> str:
    "What a command of git's prints about this repository"
    command = ['git', '-C', str(root), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def build(source: Path, what: str, out: Path, epoch: int) -> Path:
    "The archive that `python -m build` makes of a folder"
    env = {**os.environ, 'SOURCE_DATE_EPOCH': str(epoch), 'PYTHONHASHSEED': '0'}
    how = ['--no-isolation', f'--{what}', '--outdir', str(out)]
    done = subprocess.run(
        [sys.executable, '-m', 'build', *how, str(source)], env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode: sys.exit(done.stdout)
    [made] = out.iterdir()
    return made


def plain(member: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    "An entry of an archive without an owner, with the one date and the one mode"
    new = tarfile.TarInfo(member.name)
    new.type = member.type
    new.size = member.size
    new.mtime = epoch
    new.mode = FOLDER_MODE if member.isdir() else FILE_MODE
    return new


def repacked(archive: Path, epoch: int) -> bytes:
    """A source archive with one date, one owner and one order; setuptools takes them from the disk
    and the clock"""
    held = io.BytesIO()
    with (
        tarfile.open(archive) as old,
        gzip.GzipFile('', 'wb', mtime=epoch, fileobj=held) as packed,
        tarfile.open(fileobj=packed, mode='w', format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            content = old.extractfile(member) if member.isfile() else None
            new.addfile(plain(member, epoch), content)
    return held.getvalue()


def copied(files: list[str], tree: Path) -> Path:
    "A folder with copies of files of the repository"
    for name in files:
        (tree/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root/name, tree/name)
    return tree


def packages(files: list[str], out: Path, epoch: int) -> list[Path]:
    "Source archive, and the wheel that is built from it"
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        archive = build(copied(files, here/'tree'), 'sdist', here/'sdist', epoch)
        (out/archive.name).write_bytes(repacked(archive, epoch))
        with tarfile.open(out/archive.name) as tar: tar.extractall(here, filter='data')
        unpacked = here/archive.name.removesuffix('.tar.gz')
        for path in unpacked.rglob('*'): path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        wheel = build(unpacked, 'wheel', here/'wheel', epoch)
        shutil.copyfile(wheel, out/wheel.name)
    return sorted(out.iterdir())


def main(out: Path):
    os.umask(0o022)                                     # rights of what setuptools writes itself
    epoch = int(os.environ.get('SOURCE_DATE_EPOCH') or git('log', '-1', '--format=%ct'))
    files = git('ls-files').splitlines()
    with tempfile.TemporaryDirectory() as folder:
        first = packages(files, Path(folder)/'first', epoch)
        second = packages(files, Path(folder)/'second', epoch)
        for one, other in zip(first, second, strict=True):
            same = one.read_bytes() == other.read_bytes()
            if not same: sys.exit(f'{one.name} came out different the second time')
        out.mkdir(parents=True, exist_ok=True)
        for one in first:
            shutil.copyfile(one, out/one.name)
            print(hashlib.sha256(one.read_bytes()).hexdigest(), out/one.name)


if __name__ == '__main__': main(Path(sys.argv[1]) if sys.argv[1:] else root/'dist')
