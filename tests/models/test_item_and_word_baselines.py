"""Category labels, word rate and sound power: what they count, and what they refuse."""

import numpy as np
import pytest

from pipeline.core.errors import LayermapError
from pipeline.models.baselines.blind_baselines import load_category
from pipeline.models.baselines.word_baselines import SOUND_POWER, WORD_RATE, load_sound_power, load_word_rate


def test_category_is_one_hot(sounds_of, all_layers):
    stimulus = sounds_of([np.zeros(100)] * 4).assign_coords(category=("clip", ["speech", "music", "speech", "rain"]))
    one_hot = all_layers(load_category(None, None, None, "cpu"), stimulus)["category"]
    np.testing.assert_array_equal(one_hot, [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_category_without_labels_is_refused(sounds_of):
    with pytest.raises(LayermapError, match="stimulus 'sounds' has none"):
        load_category(None, None, None, "cpu").clock(sounds_of([np.zeros(100)] * 2))


def test_word_rate_counts_words_at_their_middles(words_of, all_layers):
    network = load_word_rate(None, None, None, "cpu")
    words = ["one", "two", "three"]
    plain = words_of(words)
    np.testing.assert_array_equal(all_layers(network, plain)["rate"], np.ones((3, 1)))
    kind, time_s = network.clock(plain)
    assert kind == "time"
    np.testing.assert_allclose(time_s, [0.2, 0.7, 1.2])
    known = words_of(words, log_frequency=("word", [2.0, np.nan, 4.0]))
    np.testing.assert_allclose(all_layers(network, known)["rate"], [[1, 2], [1, 3], [1, 4]])
    assert WORD_RATE.rate == "sum"


def test_sound_power_is_the_datasets_regressor(words_of, all_layers):
    course = np.array([[0.0, 9.0], [1.0, 2.0]])
    stimulus = words_of(["one", "two"]).assign_coords(
        regressor=(("regressor", "volume"), course),
        regressor_name=("regressor", ["motion", "sound_power"]),
        regressor_time_s=("volume", [2.0, 4.0]),
    )
    network = load_sound_power(None, None, None, "cpu")
    np.testing.assert_array_equal(network.clock(stimulus)[1], [2, 4])
    np.testing.assert_array_equal(all_layers(network, stimulus)["power"], [[1], [2]])
    assert SOUND_POWER.convolved
    with pytest.raises(LayermapError, match="needs a regressor 'sound_power', but stimulus 'story' has none"):
        network.clock(words_of(["one"]))
