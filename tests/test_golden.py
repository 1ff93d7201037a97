"""Agreement of the public API with the published implementation, on a tiny CLIP whose weights come
from a seed.

`golden/taidpt_voc_seed0.npz` holds inputs and outputs of the published code; `golden/weights.py`
makes the weights.
"""
import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import vectors

from taidpt.all import VOC2007, FrozenCLIP, PromptLearner, global_scores, local_scores, ranking_loss
from taidpt.paper.checkpoints import import_checkpoint
from taidpt.encoders.store import FeatureStore

GOLDEN, BRANCHES = Path(__file__).parent / "golden", ("global", "local")
sys.path.insert(0, str(GOLDEN))
from weights import CONFIG, TINY, filled  # noqa: E402


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "taidpt_voc_seed0.npz") as z:
        return {
            k: torch.from_numpy(z[k]) if z[k].dtype.kind in "fi" else list(map(str, z[k]))
            for k in z.files
        }


@pytest.fixture(scope="module")
def clip(): return filled(CONFIG)


@pytest.fixture
def contexts(golden):
    return [golden[f"ctx_{branch}"].clone().requires_grad_() for branch in BRANCHES]


def close(ours, published, tolerance=1e-6):
    "Relative to the published tensor's size: as a whole, and thrice as far in the worst entry."
    ours, published = ours.detach().double(), published.double()
    assert ours.shape == published.shape
    assert (ours - published).norm() <= tolerance * published.norm()
    assert (ours - published).abs().max() <= 3 * tolerance * published.abs().max()


def both_close(ours, golden, name, tolerance=1e-6):
    "The same for each branch, under its name."
    for x, branch in zip(ours, BRANCHES, strict=True):
        close(x, golden[name.format(branch)], tolerance)


def text_scores(contexts, clip, golden):
    h, H, mask = clip.encode_text(golden["caption_tokens"])
    G, L = (clip.encode_prompts(ctx, golden["classnames"]) for ctx in contexts)
    scale, tau = golden["logit_scale"].item(), 1 / golden["spatial_scale_text"].item()
    return scale * global_scores(h, G), scale * local_scores(H, L, tau, mask)


def text_loss(contexts, clip, golden):
    y, margin = golden["labels"].bool(), golden["margin"].item()
    return sum(ranking_loss(s, y, margin) for s in text_scores(contexts, clip, golden))


def test_tokens(clip, golden):
    assert torch.equal(clip.tokenize(golden["captions"]), golden["caption_tokens"])
    [rows] = clip.prompt_rows(golden["classnames"], 16)
    ids = rows.tokens[:, 17:]
    suffixes = golden["prompt_tokens"][:, 17:]  # after SOT and the context
    assert torch.equal(ids, suffixes[:, : ids.shape[1]]) and not suffixes[:, ids.shape[1] :].any()
    ends = (golden["prompt_tokens"].argmax(1) - 17)[:, None]
    assert torch.equal(rows.real, (torch.arange(ids.shape[1]) <= ends).flatten().nonzero()[:, 0])


def test_sentence_features(clip, golden):
    h, H, mask = clip.encode_text(golden["caption_tokens"])
    close(h, golden["sentence_features"])
    close(H, golden["token_features"])
    ends = golden["caption_tokens"].argmax(1)
    assert torch.equal(mask, torch.arange(77) <= ends[:, None])


@pytest.mark.parametrize("pos_embed", [False, True])
def test_image_features(clip, golden, pos_embed):
    f, F = clip.encode_image(golden["images"], pos_embed=pos_embed)
    close(f, golden["image_global_pos" if pos_embed else "image_global_nopos"])
    close(F, golden["image_dense"])


@pytest.mark.parametrize("shared", [True, False])
def test_class_embeddings(clip, golden, contexts, shared):
    if not shared: contexts = [ctx.expand(20, -1, -1) for ctx in contexts]
    ours = [clip.encode_prompts(ctx, golden["classnames"]) for ctx in contexts]
    both_close(ours, golden, "class_{}")


def test_prompt_learner_gives_the_same_embeddings_at_unit_length(clip, golden, contexts):
    prompts = PromptLearner(clip, VOC2007.names)
    prompts.ctx_global.data, prompts.ctx_local.data = contexts
    for ours, branch in zip(prompts(), BRANCHES):
        close(ours, torch.nn.functional.normalize(golden[f"class_{branch}"], dim=-1))


def test_sentence_scores(clip, golden, contexts):
    both_close(text_scores(contexts, clip, golden), golden, "text_scores_{}")


def test_image_scores(clip, golden, contexts):
    f, F = clip.encode_image(golden["images"])
    G, L = (clip.encode_prompts(ctx, golden["classnames"]) for ctx in contexts)
    scale, tau = golden["logit_scale"].item(), 1 / golden["spatial_scale_image"].item()
    both_close(
        [scale * global_scores(f, G), scale * local_scores(F, L, tau)], golden, "image_scores_{}"
    )


def test_imported_checkpoint(clip, golden, tmp_path):
    "A checkpoint with the published contexts and tokens gives images the published scores."
    words = clip.text.token_embedding(golden["prompt_tokens"])
    state = dict(
        ctx=golden["ctx_global"], ctx_double=golden["ctx_local"], token_prefix=words[:, :1],
        token_suffix=words[:, 17:],
    )
    torch.save(dict(state_dict=state, epoch=20), tmp_path / "model.pth.tar-20")
    tau, scale = 1 / golden["spatial_scale_image"].item(), golden["logit_scale"].item()
    model = import_checkpoint(tmp_path / "model.pth.tar-20", clip, "voc2007", tau_image=tau)
    f, F = clip.encode_image(golden["images"])
    images = FeatureStore(f, F.flatten(0, 1), torch.arange(len(F) + 1) * F.shape[1])
    both_close(
        [scale * scores for scores in model.predict_branches(images)], golden, "image_scores_{}"
    )


def test_the_checkpoint_beside_this():
    "`checkpoint` of made.py wrote it, for a tiny CLIP."
    model = import_checkpoint(GOLDEN / "model-best.pth.tar", filled(TINY), ["cat", "dog"])
    assert torch.equal(torch.stack([*model.state_dict().values()]), vectors(16))


def test_loss_on_given_logits(golden):
    loss = ranking_loss(
        golden["loss_logits"], golden["loss_targets"].bool(), golden["margin"].item()
    )
    close(loss, golden["loss_ranking"])


def test_loss_and_gradients(clip, golden, contexts):
    loss = text_loss(contexts, clip, golden)
    close(loss, golden["losses"][0])
    loss.backward()
    both_close([ctx.grad for ctx in contexts], golden, "grad_ctx_{}", 1e-5)


def eight_steps(clip, golden, dtype):
    "Contexts and losses of eight steps of gradient descent, all in `dtype`."
    clip = FrozenCLIP(copy.deepcopy(clip.model).to(dtype), clip.tokenizer)
    contexts = [
        golden[f"ctx_{branch}"].to(dtype, copy=True).requires_grad_() for branch in BRANCHES
    ]
    lr, momentum, decay = (golden[k].item() for k in ("lr", "momentum", "weight_decay"))
    sgd, losses = torch.optim.SGD(contexts, lr, momentum, weight_decay=decay), []
    for _ in range(len(golden["losses"])):
        loss = text_loss(contexts, clip, golden)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.detach())
    return contexts, torch.stack(losses)


def test_eight_steps_of_sgd(clip, golden):
    contexts, losses = eight_steps(clip, golden, torch.float32)
    exact, _ = eight_steps(clip, golden, torch.float64)
    close(losses, golden["losses"], 1e-3)
    for ctx, ctx64, branch in zip(contexts, exact, BRANCHES):
        published = golden[f"ctx_{branch}_after"]
        distance = ((ctx - published).norm() / published.norm()).item()
        # In one step a pair stands on the hinge's edge within float32's rounding, and the side it
        # falls on moves the result by 1.2e-3; the published run fell on the other side than exact
        # arithmetic does. Being as near to the latter is right, too.
        as_exact = (ctx - ctx64).norm() <= 1e-4 * ctx64.norm()
        assert distance <= 1e-3 or (distance <= 2e-3 and as_exact)
