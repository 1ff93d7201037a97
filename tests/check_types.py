"""Check by basedpyright that people's code against the package has types that hold: that of README
and the tutorials, and two short programs.

    python tests/check_types.py
"""
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

ROOT = Path(__file__).resolve().parent.parent

# Without serve, whose programs are files that it writes
PAGES = sorted(path for path in (ROOT/'nbs/tutorials').glob('*.ipynb') if path.stem != 'serve')


# What an own pooling looks like with types, and what `fit` and `tau_image` take
TYPED = '''
from collections.abc import Callable
import torch
from torch import Tensor
from taidpt.all import PromptLearner, TaIDPT, bundled_photos, global_scores, load_clip
from taidpt.training import Recipe

def best(u: Tensor, U: Tensor, G: Tensor, L: Tensor, mask: Tensor) -> list[Tensor]:
    P = torch.full((*mask.shape, len(L)), -1.)
    P = P.index_put((mask,), global_scores(U.flatten(0, -2), L))
    return [global_scores(u, G), P.amax(1)]

class Best(TaIDPT):
    def training_scores(self, prompts: PromptLearner, recipe: Recipe) -> Callable: return best

    def score_features(self, f: Tensor, F: Tensor) -> list[Tensor]:
        G, L = self.embeddings()
        assert L is not None
        return best(f, F, G, L, torch.ones(F.shape[:2], dtype=torch.bool))

photos = bundled_photos(['person', 'bicycle'])
model = Best(load_clip(), photos.classes, 4, init='a photo of a', tau_image=[.1, .2])
for val in (photos, (photos.images, photos.labels)): model.fit('llm.txt', val=val)
'''

# What a short program does with the names that most people use
SCRIPT = '''
from pathlib import Path
from taidpt.all import (
    TaIDPT, TextConcepts, bundled_photos, evaluate_model, learn_tagger, load_clip, load_model, tag)

photos = bundled_photos(['person', 'bicycle'])
clip = load_clip()
TaIDPT(clip, photos.classes, epochs=2).fit('llm.txt', val=photos).save('my.safetensors')
model = TaIDPT.load('my.safetensors', clip)
best: float = model.predict('photos/').max().item()
for tags in tag('photos/', ['dog', 'bicycle']):
    print(*(f'{t.label} {t.score:.2f}' for t in tags if t.present))
learned = learn_tagger(['dog', 'bicycle'], 'my.txt')
learned.save('learned.safetensors')
print([t.label for t in learned.tags(Path('a.jpg'))[0]])
print(evaluate_model(load_model('learned.safetensors'), photos).as_json())
print(TextConcepts(clip, ['cat', 'dog']).fit(['a cat', 'a dog']).score(['a.jpg'], [[1, 0]]))
'''


def code_of(page: Path) -> str:
    "The Python of a page as one program, without what only a notebook understands"
    if page.suffix == '.md':
        blocks = r'^```python\n(.*?)^```'
        codes = re.findall(blocks, page.read_text(encoding='utf-8'), re.MULTILINE | re.DOTALL)
        return '\n'.join(codes)
    cells = ['from IPython.display import display']
    for cell in nbformat.read(page, 4).cells:
        if cell.source.startswith('## The code'): break         # the package's own follows
        if cell.cell_type != 'code': continue
        cells.append(re.sub(r'^(\s*)[%!].*$', r'\1pass', cell.source, flags=re.MULTILINE))
    return '\n\n'.join(cells)


# A page knows that there is a gradient and a `preprocess`, and leaves a cell out where its data
# are not at hand
NOT_ASKED = ('reportOptionalCall', 'reportOptionalMemberAccess', 'reportPossiblyUnboundVariable')


def write_programs(folder: Path):
    "Each page as a program, with the settings of basedpyright"
    for page in [ROOT/'README.md', *PAGES]:
        (folder/f'page_{page.stem}.py').write_text(code_of(page), encoding='utf-8')
    (folder/'own_pooling.py').write_text(TYPED, encoding='utf-8')
    (folder/'script.py').write_text(SCRIPT, encoding='utf-8')
    folders = '.', 'nbs', 'nbs/paper', 'tests'         # of modules that pages import
    environment = dict(root='.', extraPaths=[str(ROOT/name) for name in folders])
    settings = dict(typeCheckingMode='standard', executionEnvironments=[environment])
    settings |= dict.fromkeys(NOT_ASKED, False)
    (folder/'pyrightconfig.json').write_text(json.dumps(settings))


def main() -> int:
    with TemporaryDirectory() as folder:
        write_programs(Path(folder))
        options = ['--pythonpath', sys.executable, '--level', 'error']
        command = [sys.executable, '-m', 'basedpyright', *options, folder]
        return subprocess.run(command, cwd=folder).returncode


if __name__ == '__main__': sys.exit(main())
