"""Every kind of text and image tower in open_clip, small and with random weights: what its features
are, and that prompts learn.

Towers that differ in numbers alone (widths, layers, sizes of images and vocabularies) are of one
kind, and the first of each kind stands for all, beside a plain tower. It keeps what makes it a
kind: masks, pooling, positions, heads.
"""
import functools, importlib.util, json, re, warnings, zlib

import open_clip, timm, torch
import pytest
from PIL import Image
from safetensors.torch import save_file

from taidpt.all import FrozenCLIP, TaIDPT, load_clip
from taidpt.encoders.image_tower import image_features

NUMBERS = {
    'width', 'layers', 'heads', 'head_width', 'image_size', 'patch_size', 'vocab_size',
    'context_length', 'mlp_ratio', 'timm_drop', 'timm_drop_path', 'timm_model_pretrained',
    'hf_tokenizer_name', 'attn_pooler_heads', 'eos_id',
}
SIZES = (
    r'tiny|small|medium|base|large2?|xlarge|xxlarge|giant|giantopt|gigantic|enormous|so400m'
    r'|patch\d+|window\d+|\d+|clip')
TOKENIZER = functools.cache(open_clip.SimpleTokenizer)        # it takes a while to make
TOKENIZERS = 'SigLIP2', 'SigLIP', 'bert-base', 'xlm-v', 'mt5', 'roberta'

def tokenizer_kind(text):
    return next((kind for kind in TOKENIZERS if kind in text.get('hf_tokenizer_name', '')), 'CLIP')


def kind(name, tower):
    """What a tower has in common with others that differ in numbers alone:
    vit_large_patch16_siglip_384 is a vit_siglip"""
    config = open_clip.get_model_config(name)
    shared = {k: v for k, v in config[tower].items() if k not in NUMBERS and v is not False}
    if 'timm_model_name' in shared:
        shared['timm_model_name'] = [
            part for part in shared['timm_model_name'].split('_') if not re.fullmatch(SIZES, part)
        ]
    tokens = (
        tokenizer_kind(config['text_cfg'])
        if tower == 'text_cfg'
        else isinstance(config[tower].get('layers'), list)
    )
    return json.dumps([shared, tokens, 'multimodal_cfg' in config], sort_keys=True)

def kinds(tower):
    "A name of each kind; of the text towers of transformers, only the RoBERTas"
    names = {}
    for name in reversed(open_clip.list_models()):
        hugging = open_clip.get_model_config(name)[tower].get('hf_model_name', 'roberta-base')
        if hugging.endswith('roberta-base'): names[kind(name, tower)] = name
    return list(names.values())


def timm_sizes(name):
    "Arguments with which timm makes a small tower of the same kind"
    from timm.models.vitamin import VitCfg, VitConvCfg
    if name.startswith('convnext'): return dict(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16))
    if name.startswith('swin'):
        return dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))
    if name.startswith('fastvit'):
        n = 5 if name[-1] in '34' else 4
        return dict(layers=(1,)*n, embed_dims=(8, 8, 16, 32, 32)[:n] if n == 5 else (8, 16, 32, 32))
    if name == 'vit_base_mci_224': return dict(depth=1, img_size=64)
    if name.startswith('vitamin'):
        cfg = VitCfg(embed_dim=(8, 16, 32), depths=(1, 1, 1), stem_width=8, head_type='1d',
                     conv_cfg=VitConvCfg(norm_layer='layernorm2d', norm_eps=1e-6))
        return dict(embed_cfg=cfg, embed_dim=32, depth=1, num_heads=2, img_size=64)
    return dict(depth=2, embed_dim=32, num_heads=2, img_size=96)

def small(name, tower):
    "A configuration of open_clip with small towers, of which one is of a kind; CoCa's go together"
    config, plain = open_clip.get_model_config(name), open_clip.get_model_config('ViT-B-16')
    if 'multimodal_cfg' in config: config['multimodal_cfg'].update(width=32, heads=2, layers=1)
    elif tower == 'text_cfg': config['vision_cfg'] = plain['vision_cfg']
    elif tower == 'vision_cfg': config = plain | {'vision_cfg': config['vision_cfg']}
    vision, text = config['vision_cfg'], config['text_cfg']
    config['embed_dim'] = 32
    if 'timm_model_name' in vision:
        vision['image_size'] = timm_sizes(vision['timm_model_name']).get('img_size', 224)
        if vision['timm_model_name'].startswith(('convnext', 'fastvit')): vision['image_size'] = 64
    elif isinstance(vision['layers'], list):
        vision.update(layers=[1, 1, 1, 1], width=16, image_size=64)
    else: vision.update(layers=2, width=64, head_width=32, image_size=3*vision['patch_size'])
    if 'attn_pooler_heads' in vision: vision['attn_pooler_heads'] = 4
    text.update(
        width=32,
        heads=2,
        layers=2,
        vocab_size=49408 if tokenizer_kind(text) == 'CLIP' else 200,
        hf_model_pretrained=False,
    )
    return config

class Words:
    """A tokenizer that frames words as the real one of its kind does; words themselves get any
    number"""
    frames = {                                                  # before, after, padding
        'SigLIP': ([], 1, 1), 'SigLIP2': ([], 1, 0), 'bert-base': ([2], 0, 0),
        'xlm-v': ([0], 2, 1), 'mt5': ([], 1, 0), 'roberta': ([0], 2, 1)}

    def __init__(self, kind, length): self.frame, self.length = self.frames[kind], length

    def __call__(self, texts):
        before, after, pad = self.frame
        room = self.length - 1

        def number(word): return 10 + zlib.crc32(word.encode()) % 190

        words = [re.findall(r'\w+|\.', text) for text in texts]
        rows = [[*before, *map(number, sentence)][:room] + [after] for sentence in words]
        return torch.tensor([row + [pad] * (self.length - len(row)) for row in rows])

def small_hugging_config(name):
    "What transformers says of a text tower, with small numbers"
    import transformers as tr
    make = tr.XLMRobertaConfig if 'xlm' in name else tr.RobertaConfig
    return make(
        vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64)

@pytest.fixture
def load(monkeypatch, tmp_path):
    "Writes a small CLIP with a tower of a kind into a folder, and opens it"
    make = timm.create_model
    monkeypatch.setattr(
        timm, 'create_model', lambda name, **kw: make(name, **kw, **timm_sizes(name))
    )
    monkeypatch.setattr(open_clip.factory, 'SimpleTokenizer', TOKENIZER)
    if importlib.util.find_spec('transformers'):
        import transformers
        monkeypatch.setattr(
            transformers.AutoConfig, 'from_pretrained',
            lambda name, **kw: small_hugging_config(name),
        )

    def load(name, tower=None, **options):
        torch.manual_seed(0)
        config = small(name, tower)
        text = config['text_cfg']
        if (which := tokenizer_kind(text)) != 'CLIP':       # the real ones read files of the Hub
            words = Words(which, text.get('context_length', 77))
            monkeypatch.setattr(open_clip, 'get_tokenizer', lambda spec: words)
        (tmp_path/'open_clip_config.json').write_text(json.dumps(dict(model_cfg=config)))
        model = open_clip.create_model(
            f'local-dir:{tmp_path}', load_weights=False, pretrained_text=False
        )
        for p in model.parameters():  # some begin with zeros: let them say something
            if p.ndim < 2: p.data += 0.05 * torch.randn_like(p)
        save_file(
            {k: v.contiguous() for k, v in model.state_dict().items()},
            tmp_path/'open_clip_model.safetensors',
        )
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return load_clip(tmp_path, device='cpu', **options)
    return load


def same(ours, theirs):
    scale = max(1, theirs.abs().max().item())
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < 1e-5 * scale

@pytest.mark.parametrize('name', kinds('text_cfg'))
@pytest.mark.filterwarnings('ignore')
def test_text(name, load):
    text = open_clip.get_model_config(name)['text_cfg']
    if 'hf_model_name' in text: pytest.importorskip('transformers')
    clip = load(name, 'text_cfg')
    # the shared prefix is on wherever it can be
    others = [text.get(k) for k in ('hf_model_name', 'no_causal_mask', 'embed_cls')]
    assert clip.causal == (not any(others) and text.get('pool_type', 'argmax') in ('argmax', 'eos'))

    model, start, texts = clip.model, clip.text_tower.start, ['two dogs on a beach', 'a cat']
    tokens, names = clip.tokenize(texts), ['cat', 'potted plant']
    prompts = clip.tokenize([f'a photo of a {name}.' for name in names])
    with torch.no_grad():
        want, G = (model.encode_text(t, normalize=False) for t in (tokens, prompts))
    h, H, mask = clip.encode_text(tokens)
    same(h, want)
    assert H.shape == (*tokens.shape, clip.dim) and H.isfinite().all() and clip.dim == 32
    assert mask.sum(1).tolist() == [len(t.split()) + start + 1 for t in texts]
    # whatever the batch is cut to
    same(clip.encode_text(tokens[:, :int(mask.sum(1).max())])[0], want)

    words = clip.text_tower.embedding(prompts[:1, start:start + 4])[0].detach().requires_grad_()
    ours = clip.encode_prompts(words, names)
    same(ours, G)
    same(clip.encode_prompts(words.expand(2, -1, -1), names), G)
    same(clip.encode_prompts(torch.stack([0*words, words])[:, None], names)[1], G)
    assert torch.autograd.grad(ours.sum(), words)[0].abs().sum() > 0

    learner = TaIDPT(clip, ['cat', 'dog'], n_ctx=2, epochs=2, batch_size=8, templates=False, lr=.01)
    learner.fit(['a cat on a sofa', 'a dog on a sofa'] * 4, progress=False)
    scores = learner.predict(
        [Image.new('RGB', (80, 60), c) for c in ('red', 'white')], progress=False
    )
    assert scores.shape == (2, 2) and scores.isfinite().all()

@pytest.mark.parametrize('name', kinds('vision_cfg'))
def test_pictures(name, load, tmp_path):
    clip = load(name, 'vision_cfg')
    visual = clip.model.visual
    native = max(visual.image_size) if isinstance(visual.image_size, tuple) else visual.image_size
    for size in (native, native + 32):
        pixels = torch.randn(2, 3, size, size)
        trunk = getattr(visual, 'trunk', None)
        has_grid = hasattr(getattr(trunk, 'patch_embed', None), 'img_size')
        if size != native and has_grid and not hasattr(trunk, 'set_input_size'): continue
        f, maps = clip.encode_maps(pixels, pos_embed=True)
        assert maps.shape[1] == maps.shape[2] and maps.shape[3] == 32 and maps.isfinite().all()
        resized = size != native and (hasattr(visual, 'proj') or hasattr(visual, 'trunk'))
        other = (
            open_clip.create_model(f'local-dir:{tmp_path}', force_image_size=size).eval()
            if resized
            else clip.model
        )
        with torch.no_grad():
            if size == native or resized: same(f, other.encode_image(pixels, normalize=False))

def test_a_vit_of_one_block():
    "Nothing can be told of what enters its last block: an error, no features of another block"
    vision = dict(layers=1, width=64, head_width=32, patch_size=16, image_size=32)
    text = dict(context_length=77, vocab_size=49408, width=32, heads=2, layers=1)
    visual = open_clip.model.CLIP(32, vision, text).visual
    with pytest.raises(TypeError, match='no dense features'):
        image_features(visual, torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize('pool', ['abs_attn', 'rot_attn'])
def test_a_tower_without_dense_features(pool):
    "Is an error when the CLIP is made, not at the first photo after learning"
    vision = dict(timm_model_name='resnet18', timm_pool=pool, timm_proj='', image_size=64)
    model = open_clip.model.CLIP(32, vision, dict(width=32, heads=2, layers=1))
    with pytest.raises(TypeError, match='no dense features'): FrozenCLIP(model, TOKENIZER())


def test_names_are_tokenised_once():
    "More than 500, by any step, beside names of another model; results are those of parts by hand"
    torch.manual_seed(0)
    vision = dict(layers=[1]*4, width=16, image_size=64)
    model = open_clip.model.CLIP(32, vision, dict(width=64, heads=2, layers=2))
    tokenize, calls = TOKENIZER(), []

    def counted(texts):
        calls.append(len(texts))
        return tokenize(texts)

    clip = FrozenCLIP(model, counted)
    names = [f'thing {"of a kind "*(i % 3)}{i}' for i in range(1001)]
    calls.clear()
    per_class = torch.randn(2, 1001, 4, clip.width).mul(.02).requires_grad_()
    shared = torch.randn(2, 1, 4, clip.width).mul(.02).requires_grad_()
    ways = [(contexts, clip.encode_prompts(contexts, names)) for contexts in (per_class, shared)]
    for _ in range(2):
        clip.encode_prompts(shared, ['cat', 'dog']).sum().backward()
        clip.encode_prompts(shared, names).sum().backward()
    assert calls == [1001, 2]

    for contexts, E in ways:
        parts = []
        for part in slice(0, 500), slice(500, 1000), slice(1000, 1001):
            contexts_of_part = contexts if contexts is shared else contexts[:, part]
            parts.append(clip.encode_prompts(contexts_of_part, names[part]))
        by_hand = torch.cat(parts, 1)
        same(E, by_hand)
        same(*(torch.autograd.grad(x.sin().sum(), contexts)[0] for x in (E, by_hand)))


@pytest.mark.parametrize(
    'name, dense', [('RN50', None), ('ViT-B-16-SigLIP', None), ('coca_base', 'clearclip')]
)
def test_half_precision(name, dense, load):
    "Weights in bfloat16: features and prompts follow, and gradients reach the vectors"
    clip = load(name, precision='bfloat16', dense=dense)
    assert clip.dtype == torch.bfloat16 and getattr(clip.model.visual, 'dense', None) == dense
    tokens = clip.tokenize(['two dogs on a beach'])
    h, *_ = clip.encode_text(tokens)
    want = clip.model.encode_text(tokens, normalize=False).float()
    assert (h.float() - want).norm() < .05 * h.float().norm()
    context = torch.zeros(4, clip.width, requires_grad=True)
    clip.encode_prompts(context, ['cat', 'dog']).float().sum().backward()
    assert context.grad.abs().sum() > 0
    assert clip.encode_image(torch.zeros(1, 3, 96, 96))[0].isfinite().all()
