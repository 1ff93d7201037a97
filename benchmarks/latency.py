"""One photo: seconds from typing a command to its answer, by what tags it; and, on the page Try it,
from a click to the tags, in Chromium with one thread and with one per core (`make docs` first).

    python benchmarks/latency.py [rounds]
"""
import subprocess
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread

from common import interleave, record, spread

from taidpt.clip import reference_photos

TAIDPT = Path(sys.executable).with_name("taidpt")
PROMPTS = files("taidpt")/"data/prompts/voc2007.safetensors"


ROOT = Path(__file__).resolve().parents[1]
CLICK = """
const [i, done] = arguments, start = performance.now();
const page = document.querySelector('.taidpt-page');
document.querySelectorAll('.gallery [role=option]')[i].click();
const wait = () => page.ariaBusy !== 'false' || performance.now() - start < 20
    ? requestAnimationFrame(wait) : done((performance.now() - start) / 1000);
wait();
"""


class Isolated(SimpleHTTPRequestHandler):
    "A server whose pages may use several threads."
    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *args): pass


class OneThread(Isolated):
    "A server as most are."
    end_headers = SimpleHTTPRequestHandler.end_headers


def clicks(handler: type, rounds: int) -> dict[str, list[float]]:
    "Seconds from clicks to tags: of the first, which fetches the model, and of others."
    sys.path.append(str(ROOT/"tests"))
    from test_browser import Browser
    serve = partial(handler, directory=ROOT/"docs/_build/html")
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server, Browser() as browser:
        Thread(target=server.serve_forever, daemon=True).start()
        browser.get(f"http://127.0.0.1:{server.server_port}/try.html")
        browser.until(lambda: browser.all(".gallery [role=option]"), "no photos")
        taken = [browser.execute_async_script(CLICK, i) for i in range(rounds + 1)]
        server.shutdown()
    return {"first": taken[:1], "next": taken[1:]}


def main(rounds: int = 7):
    tag, photo = (TAIDPT, "tag", "-q"), reference_photos()[9]
    with tempfile.TemporaryDirectory() as folder:
        tagger = f"{folder}/voc2007.onnx"
        run = partial(subprocess.run, stdout=subprocess.DEVNULL, check=True)
        run([TAIDPT, "export", "-q", "voc2007", "--out", tagger])
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "classes": [*tag, "voc2007", photo],
            "prompts": [*tag, PROMPTS, photo],
            "tagger": [*tag, tagger, photo],
        }
        ways = {name: partial(run, command) for name, command in commands.items()}
        for way in ways.values(): way()                  # files are in memory afterwards
        taken = interleave(ways, rounds)
    for threads, handler in {"1 thread": OneThread, "threads": Isolated}.items():
        for which, times in clicks(handler, rounds).items():
            taken[f"page, {which} click, {threads}"] = times
    spreads = {name: spread(times) for name, times in taken.items()}
    for name, s in spreads.items():
        print(f"{name}: {s['median']:.2f} s ({s['low']:.2f} to {s['high']:.2f})")
    record("latency", dict(commands=spreads, rounds=rounds))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
