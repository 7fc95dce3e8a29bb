"""Contrastive predictive coding against a plain implementation, and what it compares with what."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import LayermapError
from pipeline.models.networks.small_conv_module import SmallConv
from pipeline.models.networks.two_pathway_module import TwoPathwayNetwork, VideoEncoder
from pipeline.training.objectives.clip_labels import LabelClassifiers, LabelsOptions
from pipeline.training.objectives.objective import OBJECTIVES, Setting
from pipeline.training.objectives.predictive_coding import PredictiveCoding, PredictiveCodingOptions, places
from pipeline.training.objectives.published import Published, PublishedOptions
from pipeline.training.streams import generator_for


def setting_of(diet, encoder, n_features=8):
    facts = diet.facts
    return Setting(encoder, n_features, facts.form, facts.labels, diet.train.labels, facts.mean, facts.sd, 0)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return VideoEncoder(2).eval()


def objective_of(diet, encoder, **options):
    return PredictiveCoding(PredictiveCodingOptions(**options), setting_of(diet, encoder)).eval()


def prepared_of(objective, diet, n=3, *, training=False, draw=0):
    clips = torch.from_numpy(np.array(diet.train.values[:n]))
    return objective.prepare(clips, {}, generator_for(draw), training=training)


def predicted_plainly(objective, encoder, clip):
    """One clip, one place at a time, every gate by its matrix; features of stretches, and those predicted."""
    stretches = [encoder.maps(clip[None, :, 5 * i : 5 * i + 5])[0].mean(1) for i in range(8)]
    cell, height, width = objective.agg.ConvGRUCell_00, *stretches[0].shape[1:]
    made = torch.zeros(3, *stretches[0].shape)

    def linear(layer, x):
        return layer.weight[:, :, 0, 0] @ x + layer.bias

    def step(x, h):
        u, r = (torch.sigmoid(linear(gate, torch.cat([x, h]))) for gate in (cell.update_gate, cell.reset_gate))
        return h * (1 - u) + torch.tanh(linear(cell.out_gate, torch.cat([x, h * r]))) * u

    for row in range(height):
        for column in range(width):
            h = torch.zeros(len(made[0]))
            for seen in stretches[:5]:
                h = step(seen[:, row, column].relu(), h)
            for k in range(3):
                p = linear(objective.network_pred[2], linear(objective.network_pred[0], h).relu())
                made[k, :, row, column] = p
                h = step(p.relu(), h)
    return torch.stack(stretches[5:]), made


def test_the_loss_is_that_of_a_plain_implementation(diet, encoder):
    """Of two clips; every other place, stretch and clip is a negative."""
    objective = objective_of(diet, encoder)
    (clips,) = prepared_of(objective, diet, 2)
    with torch.no_grad():
        found = objective.loss(encoder, clips)
        pairs = [predicted_plainly(objective, encoder, clip) for clip in clips]
    targets = [target[k, :, y, x] for target, _ in pairs for k in range(3) for y in range(4) for x in range(4)]
    expected, top = [], []
    for n, (_, made) in enumerate(pairs):
        losses = []
        for k in range(3):
            for y in range(4):
                for x in range(4):
                    scores = np.array([float(made[k, :, y, x] @ target) for target in targets])
                    own = scores[n * 48 + k * 16 + y * 4 + x]
                    losses.append(np.log(np.exp(scores - own).sum()))
                    top.append((scores > own + 1e-6).sum() < 3)
        expected.append(np.mean(losses))
    assert found.loss.numpy() == pytest.approx(expected, rel=1e-4)
    assert float(found.measures["top3"]) == pytest.approx(np.mean(top), abs=0.03)


def test_negatives_are_other_places_stretches_and_clips():
    """A target raises the loss of a prediction that resembles it, wherever it is."""
    made = torch.zeros(2, 3, 4, 2, 2)
    made[0, 1, :, 1, 0] = torch.tensor([1.0, 0, 0, 0])
    even, _ = places(made, torch.zeros_like(made))
    assert torch.allclose(even, torch.full((2, 12), np.log(24)))
    for place in [(0, 1, slice(None), 0, 0), (0, 2, slice(None), 1, 0), (1, 1, slice(None), 1, 0)]:
        targets = torch.zeros_like(made)
        targets[place] = torch.tensor([3.0, 0, 0, 0])
        loss, rank = places(made, targets)
        assert loss[0, 6] > np.log(24) + 0.5 and rank[0, 6] == 1
        loss[0, 6] = np.log(24)
        assert torch.allclose(loss, torch.full((2, 12), np.log(24)))  # and of no other


def test_right_predictions_are_found():
    torch.manual_seed(2)
    targets = torch.nn.functional.normalize(torch.randn(2, 3, 32, 2, 2), dim=2)
    loss, rank = places(30 * targets, targets)
    assert not rank.any() and float(loss.max()) < 0.01


def test_frames_are_those_of_the_options(diet, encoder):
    plain, fewer = objective_of(diet, encoder), objective_of(diet, encoder, n_seen=1, n_predicted=1, stride=3)
    (whole,), (part,) = prepared_of(plain, diet), prepared_of(fewer, diet)
    assert torch.equal(whole, plain.plain(torch.from_numpy(np.array(diet.train.values[:3]))))
    assert torch.equal(part, whole[:, :, :30:3])
    first = {
        int((whole[0, 0] == prepared_of(fewer, diet, training=True, draw=draw)[0][0, 0, :1]).all((1, 2)).nonzero()[0])
        for draw in range(20)
    }
    assert len(first) > 4 and max(first) <= 12


def test_shuffled_frames_are_the_same_frames_in_another_order(diet, encoder):
    (whole,) = prepared_of(objective_of(diet, encoder), diet)
    shuffled = objective_of(diet, encoder, frames="shuffled")
    (one,), (again,) = (prepared_of(shuffled, diet, training=True, draw=3) for _ in range(2))
    assert torch.equal(one, again) and not torch.equal(one, whole)
    assert torch.equal(one.sum((1, 3, 4)).sort(1).values, whole.sum((1, 3, 4)).sort(1).values)


def test_a_network_without_maps_is_refused(diet):
    with pytest.raises(LayermapError, match=r"SmallConv does not have; take network: \{kind: two_pathway\}"):
        objective_of(diet, SmallConv(4))


def test_labels_are_learned_together_and_missing_ones_add_nothing(diet, encoder):
    objective = LabelClassifiers(LabelsOptions(learned=("object", "motion")), setting_of(diet, encoder))
    clips = torch.from_numpy(np.array(diet.train.values[:4]))
    labels = {name: torch.tensor([0, 1, 2, 3]) for name in ("object", "motion")}
    labels["motion"] = torch.tensor([0, 1, -1, 3])
    outcome = objective.loss(encoder, *objective.prepare(clips, labels, generator_for(0), training=True))
    features = encoder(objective.plain(clips))
    parts = [
        -objective.classifiers[name](features).log_softmax(1)[torch.arange(4), labels[name].clamp(min=0)]
        for name in ("object", "motion")
    ]
    expected = parts[0] + parts[1] * torch.tensor([1, 1, 0, 1])
    torch.testing.assert_close(outcome.loss, expected)
    assert set(outcome.measures) == {"accuracy_object", "accuracy_motion"}


@pytest.mark.slow
def test_the_published_network_computes_what_it_does_elsewhere(diet, mirror, tmp_path, monkeypatch):
    """Its loss, through a training of no steps, is that of the network as the registry loads it."""
    from pipeline.core import paths
    from pipeline.models.networks import two_pathway
    from pipeline.models.torch.torch_network import load_weights

    monkeypatch.chdir(tmp_path)
    encoder = VideoEncoder()
    objective = Published(PublishedOptions(), setting_of(diet, encoder, 128))
    assert objective.load_published(encoder, str(mirror))
    encoder.eval(), objective.eval()
    (clips,) = prepared_of(objective, diet, 2)
    network = TwoPathwayNetwork().eval()
    load_weights(network, paths.weights_folder(two_pathway.NAME), two_pathway.NAME)
    with torch.no_grad():
        outcome = objective.loss(encoder, clips)
        *_, scores = network.predict_future(clips.unflatten(2, (8, 5)).movedim(2, 1))
    loss = -scores.log_softmax(1).diagonal().view(2, -1).mean(1)
    torch.testing.assert_close(outcome.loss, loss, rtol=1e-4, atol=1e-4)
    shades = clips.movedim(1, -1) * torch.tensor((0.229, 0.224, 0.225)) + torch.tensor((0.485, 0.456, 0.406))
    assert torch.allclose(255 * shades, torch.from_numpy(np.array(diet.train.values[:2])).float(), atol=0.01)


def test_objectives_of_clips_say_what_a_card_needs():
    for kind in ("predictive_coding", "labels", "published"):
        entry = OBJECTIVES.get(kind)
        assert entry.title and entry.trained and "clips" in entry.modalities
