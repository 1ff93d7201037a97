"""Nothing heavy is loaded before it is needed, and what is done without it gives the same."""
import subprocess
import sys
from importlib.resources import files
from itertools import islice

import pytest

HEAVY = 'open_clip', 'torchvision', 'timm', 'sklearn', 'scipy', 'pandas', 'nltk', 'matplotlib', 'pyarrow', 'huggingface_hub', 'fsspec'
LOADED = 'import sys; print(*sorted(m for m in sys.modules if m in sys.argv[1].split()))'


def loaded(program: str, names) -> list[str]:
    "Which of these modules a program loads, and what it prints, if anything"
    done = subprocess.run([sys.executable, '-c', f'{program}\n{LOADED}', ' '.join(names)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_importing_all_loads_little():
    assert loaded('import taidpt.all', ['torch', *HEAVY]) == ['torch']


@pytest.mark.parametrize('classes', ['voc2007', 'coco', 'nuswide', 'cat,dog,fire truck'])
def test_explaining_needs_no_torch(classes):
    args = ['label', '--quiet', '--classes', classes, '--explain', "Two men's dogs can't see a cat; it's gonna hide."]
    *said, modules = loaded(f'from taidpt.apps.cli import main; main({args!r})', ['torch', 'numpy', *HEAVY])
    assert modules == '' and any("'dogs' ->" in line and 'dog' in line.split('->')[1] for line in said)


@pytest.mark.parametrize('command', [['tag', '--prompts', 'no.safetensors', '.'], ['evaluate', 'no.safetensors', '--labels', 'no.tsv']], ids=' '.join)
def test_missing_prompts_are_told_at_once(command):
    assert loaded(f'from taidpt.apps.cli import main; assert main({command!r}) == 1', ['torch', *HEAVY]) == ['']


def test_a_tagger_needs_no_torch():
    assert loaded('import taidpt.apps.onnx', ['torch', *HEAVY]) == ['']


@pytest.mark.parametrize('classes', ['voc2007', 'coco', 'nuswide'])
def test_explanations_are_those_with_nltk(classes, monkeypatch):
    "The noun filter with NLTK's tokens and lemmas, word by word, and with ours"
    import nltk
    from taidpt import nounfilter
    from taidpt.text import phrases, words
    from taidpt.text.corpora import bundled_captions
    texts = list(islice((c for c in bundled_captions() if "'" in c), 100)) + list(islice(bundled_captions(), 200))
    own = nounfilter.NounFilter(classes)
    ours = [repr(own.explain(text)) for text in texts]
    monkeypatch.setattr(nltk.data, 'path', [*nltk.data.path, str(files('taidpt')/'data'/'nltk_data')])
    lemmatizer, wordnet = nltk.stem.WordNetLemmatizer(), nltk.corpus.wordnet
    tokenizer = nltk.tokenize.NLTKWordTokenizer()

    def spans(text):
        "NLTK's tokens without clitics, cut where the package cuts"
        text = text.translate(words._PLAIN_QUOTES)
        return [m.span() for start, end in tokenizer.span_tokenize(text) if text[start:end].lower() not in words._CLITICS
                for m in words._TOKEN.finditer(text, start, end)]
    for module in (phrases, nounfilter): monkeypatch.setattr(module, 'token_spans', spans)
    monkeypatch.setattr(phrases, 'shortest_lemma', lambda word, part='n': lemmatizer.lemmatize(word, part))
    monkeypatch.setattr(phrases, 'is_noun', lambda word: wordnet.morphy(word, 'n') == word)
    plain = nounfilter.NounFilter(classes)
    assert ours == [repr(plain.explain(text)) for text in texts] and sum('->' in line for line in ours) > 100
