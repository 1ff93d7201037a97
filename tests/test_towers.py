"""Every configuration of open_clip, with small towers and random weights: what its features are, and that prompts learn

Configurations that differ in numbers alone (widths, layers, sizes of pictures and vocabularies) are of one kind, and the
first of each kind stands for all. Towers keep what makes them a kind: masks, pooling, positions, heads.
"""
import importlib.util, json, re, warnings, zlib
from collections import defaultdict

import open_clip, timm, torch
import pytest
from packaging.version import Version
from PIL import Image
from safetensors.torch import save_file

from taidpt.clip import load_clip
from taidpt.classes import as_classset
from taidpt.learner import TaIDPT
from taidpt.encoders.towers import _word_embedding
from taidpt.texts import LabeledTexts
from taidpt.zeroshot import ZeroShotCLIP

NUMBERS = {'width', 'layers', 'heads', 'head_width', 'image_size', 'patch_size', 'vocab_size', 'context_length', 'mlp_ratio',
           'timm_drop', 'timm_drop_path', 'timm_model_pretrained', 'hf_tokenizer_name', 'attn_pooler_heads', 'eos_id'}
SIZES = r'tiny|small|medium|base|large2?|xlarge|xxlarge|giant|giantopt|gigantic|enormous|so400m|patch\d+|window\d+|\d+|clip'
TOKENIZERS = 'SigLIP2', 'SigLIP', 'bert-base', 'xlm-v', 'mt5', 'nllb', 'roberta'

def tokenizer_kind(text): return next((kind for kind in TOKENIZERS if kind in text.get('hf_tokenizer_name', '')), 'CLIP')

def kind(name):
    "What a configuration has in common with others that differ in numbers alone: vit_large_patch16_siglip_384 is a vit_siglip"
    config, said = open_clip.get_model_config(name), []
    for tower in ('vision_cfg', 'text_cfg'):
        cfg = config[tower]
        own = {k: v for k, v in cfg.items() if k not in NUMBERS and v is not False}
        if 'timm_model_name' in own: own['timm_model_name'] = [part for part in own['timm_model_name'].split('_') if not re.fullmatch(SIZES, part)]
        if 'hf_model_name' in own: own['hf_model_name'] = re.split('-(?=base|xl$|large|200)', own['hf_model_name'])[0]
        own['resnet'] = isinstance(cfg.get('layers'), list)
        said.append(own)
    return json.dumps([*said, tokenizer_kind(config['text_cfg']), 'multimodal_cfg' in config], sort_keys=True)

KINDS = defaultdict(list)
for name in open_clip.list_models(): KINDS[kind(name)].append(name)
HUGGING = [names[0] for k, names in KINDS.items() if 'hf_model_name' in k]
OTHERS = [names[0] for k, names in KINDS.items() if 'hf_model_name' not in k]

# timm's towers that take their own size alone, as they had no `set_input_size` yet
TIMM = Version(timm.__version__)
ONE_SIZE = {name for name, first in (('Eva', '1.0.18'), ('VisionTransformerRelPos', '1.0.31')) if TIMM < Version(first)}


def timm_sizes(name):
    "Arguments with which timm makes a small tower of the same kind"
    from timm.models.vitamin import VitCfg, VitConvCfg
    if name.startswith('convnext'): return dict(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16))
    if name.startswith('swin'): return dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))
    if name.startswith('fastvit'):
        n = 5 if name[-1] in '34' else 4
        return dict(layers=(1,)*n, embed_dims=(8, 8, 16, 32, 32)[:n] if n == 5 else (8, 16, 32, 32))
    if name == 'vit_base_mci_224': return dict(depth=1, img_size=64)
    if name.startswith('vitamin'):
        cfg = VitCfg(embed_dim=(8, 16, 32), depths=(1, 1, 1), stem_width=8, head_type='1d',
                     conv_cfg=VitConvCfg(norm_layer='layernorm2d', norm_eps=1e-6))
        return dict(embed_cfg=cfg, embed_dim=32, depth=1, num_heads=2, img_size=64)
    return dict(depth=2, embed_dim=32, num_heads=2, img_size=96)

def small(name):
    "A configuration of open_clip with small towers"
    config = open_clip.get_model_config(name)
    vision, text = config['vision_cfg'], config['text_cfg']
    config['embed_dim'] = 32
    if 'timm_model_name' in vision:
        vision['image_size'] = timm_sizes(vision['timm_model_name']).get('img_size', 224)
        if vision['timm_model_name'].startswith(('convnext', 'fastvit')): vision['image_size'] = 64
    elif isinstance(vision['layers'], list): vision.update(layers=[1, 1, 1, 1], width=16, image_size=64)
    else: vision.update(layers=2, width=64, head_width=32, image_size=3*vision['patch_size'])
    if 'attn_pooler_heads' in vision: vision['attn_pooler_heads'] = 4
    text.update(width=32, heads=2, layers=2, hf_model_pretrained=False)
    if tokenizer_kind(text) != 'CLIP': text['vocab_size'] = 200
    if 'multimodal_cfg' in config: config['multimodal_cfg'].update(width=32, heads=2, layers=1)
    return config

class Words:
    "A tokenizer that frames words as the real one of its kind does; words themselves get any number"
    frames = {'SigLIP': ([], 1, 1), 'SigLIP2': ([], 1, 0), 'bert-base': ([2], 0, 0), 'xlm-v': ([0], 2, 1), 'mt5': ([], 1, 0),
              'nllb': ([3], 2, 1), 'roberta': ([0], 2, 1)}              # before, after, padding

    def __init__(self, kind, length): self.frame, self.length = self.frames[kind], length

    def __call__(self, texts):
        before, after, pad = self.frame
        rows = [[*before, *(10 + zlib.crc32(w.encode()) % 190 for w in re.findall(r'\w+|\.', t))][:self.length - 1] + [after] for t in texts]
        return torch.tensor([row + [pad] * (self.length - len(row)) for row in rows])

def small_hugging_config(name):
    "What transformers says of a text tower, with small numbers"
    import transformers as tr
    small = dict(vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    if 'xlm-roberta' in name: return tr.XLMRobertaConfig(**small)
    if 'roberta' in name: return tr.RobertaConfig(**small)
    if 'mt5' in name: return tr.MT5Config(vocab_size=200, d_model=32, d_kv=16, num_heads=2, num_layers=2, d_ff=64)
    return tr.M2M100Config(vocab_size=200, d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
                           decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64)

@pytest.fixture
def folder(monkeypatch, tmp_path):
    "Writes a small CLIP of a kind into a folder, so that `load_clip` can open it"
    make = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, **kw: make(name, **kw, **timm_sizes(name)))
    if importlib.util.find_spec('transformers'):
        import transformers
        monkeypatch.setattr(transformers.AutoConfig, 'from_pretrained', lambda name, **kw: small_hugging_config(name))

    def write(name):
        torch.manual_seed(0)
        config = small(name)
        text = config['text_cfg']
        if (which := tokenizer_kind(text)) != 'CLIP':       # the real ones read files of the Hub
            words = Words(which, text.get('context_length', 77))
            monkeypatch.setattr(open_clip, 'get_tokenizer', lambda spec: words)
        (tmp_path/'open_clip_config.json').write_text(json.dumps(dict(model_cfg=config)))
        model = open_clip.create_model(f'local-dir:{tmp_path}', load_weights=False, pretrained_text=False)
        for p in model.parameters():                        # some begin with zeros: let them say something
            if p.ndim < 2: p.data += 0.05 * torch.randn_like(p)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path/'open_clip_model.safetensors')
        return str(tmp_path)
    return write


def same(ours, theirs):
    scale = max(1, theirs.abs().max().item())
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < 1e-5 * scale

def check_sentences(clip):
    model, tokens = clip.model, clip.tokenize(['two dogs on a beach', 'a cat'])
    with torch.no_grad(): want = model.encode_text(tokens, normalize=False)
    h, H, mask = clip.encode_texts(tokens)
    same(h, want)
    assert H.shape == (*tokens.shape, clip.dim) and H.isfinite().all() and clip.dim == 32
    assert mask.sum(1).tolist() == [len(t.split()) + clip.special.start + 1 for t in ('two dogs on a beach', 'a cat')]
    cut = int(mask.sum(1).max())
    same(clip.encode_texts(tokens[:, :cut])[0], want)       # whatever the batch is cut to

def check_prompts(clip):
    names, model, start = ['cat', 'potted plant'], clip.model, clip.special.start
    sentences = clip.tokenize([f'a photo of a {name}.' for name in names])
    words = _word_embedding(clip.text)(sentences[:1, start:start + 4])[0].detach().requires_grad_()
    with torch.no_grad(): want = model.encode_text(sentences, normalize=False)
    G = clip.encode_prompts(words, names)
    same(G, want)
    same(clip.encode_prompts(words.expand(2, -1, -1), names), want)
    same(clip.encode_shared_prompts(torch.stack([0*words, words]), names)[1], want)
    assert torch.autograd.grad(G.sum(), words)[0].abs().sum() > 0

def check_pictures(clip, spec):
    model, native = clip.model, small_size(clip)
    for size in (native, native + 32):
        pixels = torch.randn(2, 3, size, size)
        if size != native and type(getattr(model.visual, 'trunk', None)).__name__ in ONE_SIZE:
            with pytest.raises(ValueError, match='takes no pictures of'): clip.encode_maps(pixels)
            continue
        f, maps = clip.encode_maps(pixels, pos_embed=True)
        assert maps.ndim == 4 and maps.shape[1] == maps.shape[2] and maps.isfinite().all() and maps.shape[-1] == 32
        resized = size != native and (hasattr(model.visual, 'proj') or hasattr(model.visual, 'trunk'))
        other = open_clip.create_model(spec, force_image_size=size).eval() if resized else model
        with torch.no_grad():
            if size == native or resized: same(f, other.encode_image(pixels, normalize=False))

def small_size(clip):
    size = clip.model.visual.image_size
    return size if isinstance(size, int) else size[0]

def check_learning(clip):
    classes = as_classset(['cat', 'dog'])
    train = LabeledTexts([f'a {n} on a sofa' for n in ('cat', 'dog')] * 4, torch.eye(2).bool().repeat(4, 1), classes)
    model = TaIDPT(clip, classes, n_ctx=2, epochs=2, batch_size=8, templates=False).fit(train, progress=False)
    scores = model.predict([Image.new('RGB', (80, 60), c) for c in ('red', 'white')], progress=False)
    assert scores.shape == (2, 2) and scores.isfinite().all() and len(model.history_) == 2

def check_all(name, folder):
    spec = folder(name)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        clip = load_clip(spec, device='cpu')
        text = open_clip.get_model_config(name)['text_cfg']         # the shared prefix is on wherever it can be
        others = [text.get(k) for k in ('hf_model_name', 'no_causal_mask', 'embed_cls')]
        assert clip.causal == (not any(others) and text.get('pool_type', 'argmax') in ('argmax', 'eos'))
        check_sentences(clip)
        check_prompts(clip)
        check_pictures(clip, f'local-dir:{spec}')
        check_learning(clip)

@pytest.mark.parametrize('name', OTHERS)
def test_kind(name, folder): check_all(name, folder)

@pytest.mark.skipif(not importlib.util.find_spec('transformers'), reason='needs transformers: pip install transformers')
@pytest.mark.parametrize('name', HUGGING)
def test_hugging_face(name, folder): check_all(name, folder)


@pytest.mark.parametrize('name', ['RN50', 'ViT-B-16-SigLIP', 'coca_base'])
def test_half_precision(name, folder):
    "Weights in bfloat16: features and prompts follow, and gradients reach the vectors"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        clip = load_clip(folder(name), device='cpu', precision='bfloat16')
    assert clip.dtype == torch.bfloat16
    tokens = clip.tokenize(['two dogs on a beach'])
    h, H, _ = clip.encode_texts(tokens)
    assert (h.float() - clip.model.encode_text(tokens, normalize=False).float()).norm() < .05 * h.float().norm()
    context = torch.zeros(4, clip.width, requires_grad=True)
    clip.encode_prompts(context, ['cat', 'dog']).float().sum().backward()
    assert context.grad.abs().sum() > 0 and clip.encode_images(torch.zeros(1, 3, 96, 96))[0].isfinite().all()


def test_sigmoid(folder):
    "SigLIP's probabilities, as the model itself gives them, choose the tags"
    names, photos = ['cat', 'dog', 'fire truck', 'bus'], [Image.effect_noise((120, 100), 20 + 60*i).convert('RGB') for i in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        clip = load_clip(folder('ViT-B-16-SigLIP'), device='cpu')
    pixels = torch.stack([clip.preprocess(p) for p in photos])
    with torch.no_grad(): f, h, scale, bias = clip.model(pixels, clip.tokenize([f'a photo of a {n}.' for n in names]))
    own = (scale * f @ h.T + bias).sigmoid()
    p = own.flatten().sort().values[7:9].mean().item()     # half of them are above
    tags = ZeroShotCLIP(clip, names).tags(photos, probability=p, progress=False)
    assert [{t.label for t in row if t.present} for row in tags] == [{n for n, x in zip(names, row) if x >= p} for row in own]
