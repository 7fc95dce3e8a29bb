"""Objectives against direct formulas, and what each must not see."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import LayermapError
from pipeline.models.networks.small_conv_module import SmallConv
from pipeline.models.networks.small_vit_module import SmallViT
from pipeline.training.diets.entry import OBJECT
from pipeline.training.objectives.contrastive import Contrastive, ContrastiveOptions, nt_xent
from pipeline.training.objectives.masked_autoencoder import (
    MaskedAutoencoder,
    MaskedAutoencoderOptions,
    patch_targets,
    random_orders,
)
from pipeline.training.objectives.objective import OBJECTIVES
from pipeline.training.objectives.supervised import (
    ShuffledLabels,
    ShuffledLabelsOptions,
    Supervised,
    SupervisedOptions,
    shuffled,
)
from pipeline.training.streams import generator_for
from tests.training.conftest import SIZE_PX, setting_of


@pytest.fixture
def batch(diet):
    pictures = torch.from_numpy(diet.train.values[:12])
    return pictures, {OBJECT: torch.from_numpy(diet.train.labels[OBJECT][:12].astype(np.int64))}


@pytest.fixture
def vit():
    torch.manual_seed(0)
    return SmallViT(size_px=SIZE_PX, patch_px=4, n_features=24, n_blocks=2, n_heads=3)


def nt_xent_of_one(both, i, partner, temperature):
    """Equation 1 of Chen et al. 2020, one view at a time."""
    cosines = [float(both[i] @ both[k] / (both[i].norm() * both[k].norm())) for k in range(len(both))]
    others = sum(np.exp(cosine / temperature) for k, cosine in enumerate(cosines) if k != i)
    return -np.log(np.exp(cosines[partner] / temperature) / others)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_published_formula(temperature):
    torch.manual_seed(1)
    first, second = torch.randn(5, 7, dtype=torch.float32), torch.randn(5, 7)
    loss, _ = nt_xent(first, second, temperature)
    both = torch.cat([first, second]).double()
    expected = [
        (nt_xent_of_one(both, i, i + 5, temperature) + nt_xent_of_one(both, i + 5, i, temperature)) / 2
        for i in range(5)
    ]
    assert loss.numpy() == pytest.approx(expected, rel=1e-5)


def test_nt_xent_of_equal_views_of_different_pictures_is_low_and_finds_all():
    views = torch.eye(6)
    loss, found = nt_xent(views, views, 0.1)
    assert found.all() and float(loss.max()) < 0.01
    same, lost = nt_xent(torch.ones(6, 3), torch.ones(6, 3), 0.5)
    assert same.numpy() == pytest.approx(np.log(11), rel=1e-5) and not lost.all()


def test_contrastive_views_differ_and_come_again(diet, batch):
    encoder = SmallConv(4)
    objective = Contrastive(ContrastiveOptions(), setting_of(diet, encoder, encoder.n_features))
    first = objective.prepare(*batch, generator_for(0, 1), training=True)
    again = objective.prepare(*batch, generator_for(0, 1), training=True)
    other = objective.prepare(*batch, generator_for(0, 2), training=True)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other[0])
    outcome = objective.loss(encoder, *first)
    assert outcome.loss.shape == (12,) and outcome.features.shape == (12, encoder.n_features)


def test_supervised_is_cross_entropy_of_the_classifier(diet, batch):
    encoder = SmallConv(4).eval()
    objective = Supervised(SupervisedOptions(), setting_of(diet, encoder, encoder.n_features))
    prepared = objective.prepare(*batch, generator_for(0), training=False)
    outcome = objective.loss(encoder, *prepared)
    logits = objective.classifier(encoder(objective.plain(batch[0]))).double()
    expected = -logits.log_softmax(1)[torch.arange(12), batch[1][OBJECT]]
    assert outcome.loss.detach().numpy() == pytest.approx(expected.detach().numpy(), rel=1e-4)
    assert float(outcome.measures["accuracy"]) == pytest.approx(
        float((logits.argmax(1) == batch[1][OBJECT]).float().mean())
    )


def test_shuffled_labels_are_a_fixed_permutation(diet):
    labels = diet.train.labels[OBJECT]
    assert np.array_equal(np.bincount(shuffled(labels, 3)), np.bincount(labels))
    assert np.array_equal(shuffled(labels, 3), shuffled(labels, 3))
    assert not np.array_equal(shuffled(labels, 3), shuffled(labels, 4))
    assert (shuffled(labels, 3) == labels).mean() < 0.6  # a third by chance, of 96
    encoder = SmallConv(4)
    objective = ShuffledLabels(ShuffledLabelsOptions(), setting_of(diet, encoder, encoder.n_features, seed=3))
    numbers = np.array([5, 0, 5])
    assert np.array_equal(objective.labels_of(numbers, {OBJECT: labels[numbers]})[OBJECT], shuffled(labels, 3)[numbers])


def masked_autoencoder(diet, vit, **options):
    return MaskedAutoencoder(MaskedAutoencoderOptions(decoder_features=16, **options), setting_of(diet, vit, 24))


def test_the_encoder_sees_no_masked_patch(diet, vit, batch):
    """Whatever stands in masked patches, what the encoder makes of the others is the same."""
    objective = masked_autoencoder(diet, vit)
    pictures, order = objective.prepare(*batch, generator_for(0), training=False)
    patches = vit.cut(pictures)
    changed = patches.scatter(1, order[:, objective.n_kept :, None].expand(-1, -1, patches.shape[2]), 1e3)
    kept = order[:, : objective.n_kept]
    assert objective.n_kept == 4 and not torch.equal(patches, changed)
    assert torch.equal(vit.encode(patches, kept), vit.encode(changed, kept))
    outcome = objective.loss(vit, pictures, order)
    assert outcome.loss.shape == (12,) and torch.isfinite(outcome.loss).all()


def test_the_loss_is_of_masked_patches_only(diet, vit, batch):
    """Against a loop over patches; what stands in a visible patch changes no target."""
    objective = masked_autoencoder(diet, vit)
    pictures, order = objective.prepare(*batch, generator_for(0), training=False)
    patches = vit.cut(pictures)
    painted = objective._decoded(vit.encode(patches, order[:, : objective.n_kept]), order).detach()
    targets = patch_targets(patches)
    expected = [
        np.mean([float((painted[i, k] - targets[i, k]).square().mean()) for k in order[i, objective.n_kept :]])
        for i in range(12)
    ]
    assert objective.loss(vit, pictures, order).loss.detach().numpy() == pytest.approx(expected, rel=1e-4)


def test_patches_are_cut_and_numbered_row_by_row(vit):
    picture = torch.arange(3 * SIZE_PX * SIZE_PX, dtype=torch.float32).reshape(1, 3, SIZE_PX, SIZE_PX)
    patches = vit.cut(picture)
    assert patches.shape == (1, 16, 48)
    expected = picture[0, :, 4:8, 8:12].permute(1, 2, 0).flatten()  # second row, third column
    assert torch.equal(patches[0, 6], expected)


def test_targets_have_mean_0_and_variance_1_in_each_patch():
    targets = patch_targets(torch.randn(3, 5, 48) * 7 + 2)
    assert targets.mean(-1).abs().max() < 1e-5 and (targets.var(-1) - 1).abs().max() < 1e-4


def test_every_patch_is_masked_as_often():
    order = random_orders(4000, 16, generator_for(0))
    assert torch.equal(order.sort(1).values, torch.arange(16).expand(4000, -1))
    seen = torch.bincount(order[:, :4].flatten(), minlength=16) / 4000
    assert (seen - 0.25).abs().max() < 0.03


def test_a_network_that_cannot_mask_is_refused(diet):
    with pytest.raises(LayermapError, match=r"SmallConv cannot; take network: \{kind: small_vit\}"):
        masked_autoencoder(diet, SmallConv(4))


def test_registered_objectives_say_what_a_card_needs():
    for kind in OBJECTIVES:
        entry = OBJECTIVES.get(kind)
        assert entry.title and entry.trained
