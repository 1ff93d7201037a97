"""Learn the prompts of `what_matters.ipynb` whose captions may not be passed on, and write them to
evidence/prompts: python build_prompts.py SHARED

SHARED/data/captions has captions of Flickr30k and of Conceptual Captions, SHARED/data/flickr8k
those of Flickr8k."""
import sys
from pathlib import Path

from taidpt.classes import VOC2007
from taidpt.clip import load_clip
from taidpt.encode import encode_texts
from taidpt.nounfilter import NounFilter
from taidpt.texts import LabeledTexts, template_sentences

from evidence import photo_table
from learn_settings import N_CAPTIONS, RECIPES, SEEDS
from sentence_prompts import drawn, learn_prompts, save_prompts

CLASSES = VOC2007.spelled_naturally()


def lines_of(file: Path) -> list[str]: return file.read_text(encoding='utf-8').splitlines()


def other_sources(captions: Path) -> dict[str, LabeledTexts]:
    "Captions of a source that name a class"
    flickr30k = lines_of(captions/'flickr30k.tsv')[:10_000]         # one caption of each photo
    sources = {'flickr30k': [line.split('\t')[1] for line in flickr30k],
               'conceptual_captions': lines_of(captions/'conceptual_captions_val.txt')}
    reader = NounFilter(CLASSES)
    return {name: reader.label(texts, progress=False) for name, texts in sources.items()}


def captions_of_half(folder: Path, k: int) -> LabeledTexts:
    """900 captions that name a class, of the first two of each photo: of every other test photo of
    Flickr8k, from the first (k = 0) or the second (1)"""
    captions = {}
    for line in lines_of(folder/'captions.tsv'):
        photo, sentence = line.split('\t')
        captions.setdefault(photo, []).append(sentence)
    table = photo_table('flickr8k')
    sentences = []
    for photo in table['image'][table['split'] == 'test'][k::2]: sentences += captions[photo][:2]
    return NounFilter(CLASSES).label(sentences, progress=False)[:900]


def main(data: Path):
    clip = load_clip(device='cpu')

    def learned(texts, seed, recipe):
        features = encode_texts(clip, texts.texts, progress=False)
        return learn_prompts(clip, texts, features, seed, **recipe)

    for source, captions in other_sources(data/'captions').items():
        of_seed = [drawn(captions, N_CAPTIONS, seed) + template_sentences(CLASSES)
                   for seed in SEEDS]
        for recipe, settings in RECIPES.items():
            models = [learned(texts, seed, settings) for seed, texts in zip(SEEDS, of_seed)]
            save_prompts(f'{source}_{recipe}', models, N_CAPTIONS)
    for k in (0, 1):
        captions = captions_of_half(data/'flickr8k', k)
        models = [learned(captions, seed, RECIPES['paper']) for seed in SEEDS]
        save_prompts(f'flickr8k_{k}', models, len(captions))


if __name__ == '__main__': main(Path(sys.argv[1])/'data')
