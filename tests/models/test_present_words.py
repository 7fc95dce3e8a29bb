"""Words as language models read them: the state at a word's last sub-token, its past in a window, no future."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import LayermapError
from pipeline.models.calibration import calibration_stimulus
from pipeline.models.hub import network as hub_network
from pipeline.models.hub.known import hub_entry
from pipeline.models.shown.present_words import WordWindows, token_windows

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
CONFIGS = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 300, "n_positions": 1024},
    "llama": {**SIZES, "num_key_value_heads": 2, "vocab_size": 300},
}
TEXT = "the cat sat on the incomprehensible mat and the dog ran to the extraordinarily large house"
WORDS = TEXT.split()
START = 0


@pytest.fixture(scope="module")
def network_of(tokenizer_folder):
    def make(family, **shown):
        entry = hub_entry(
            f"small-{family}",
            family,
            CONFIGS[family],
            objective="random",
            title="small",
            citation="—",
            licence="—",
            preprocessing=shown,
            arguments={"tokenizer": str(tokenizer_folder)},
        )
        return hub_network.load(entry, None, None, "cpu")

    return make


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))


def states_of(network, tokens):
    """Layer → (token, feature): one pass of the library over the start token and these, without the start's."""
    with torch.inference_mode():
        output = network.module(torch.tensor([[START, *tokens]]), output_hidden_states=True)
    found = {"embedding": output.hidden_states[0], "block1": output.hidden_states[1], "norm": output.last_hidden_state}
    return {name: state[0, 1:].numpy() for name, state in found.items()}


def test_words_are_cut_as_in_running_text(network_of, tokenizer):
    tokens, last = network_of("gpt2").presenter.tokenize([*WORDS[:6], " mat "])
    assert tokens == tokenizer.encode(" " + " ".join([*WORDS[:6], "mat"]), add_special_tokens=False).ids
    pieces = np.split(np.array(tokens), last[:-1] + 1)
    assert [tokenizer.decode(list(piece)).strip() for piece in pieces] == [*WORDS[:6], "mat"]
    assert len(pieces[0]) == 1 and len(pieces[5]) > 5
    assert tokenizer.token_to_id("<|endoftext|>") == START


@pytest.mark.parametrize("family", CONFIGS)
def test_a_word_is_the_state_at_its_last_sub_token(network_of, family, words_of, all_layers):
    """While a text fits the window it is one long pass, to the bit."""
    network = network_of(family)
    stimulus = words_of(WORDS)
    found = all_layers(network, stimulus)
    tokens, last = network.presenter.tokenize(WORDS)
    kind, time_s = network.clock(stimulus)
    assert kind == "time"
    np.testing.assert_allclose(time_s, 0.5 * np.arange(len(WORDS)) + 0.4)
    for name, states in states_of(network, tokens).items():
        np.testing.assert_array_equal(found[name], states[last], err_msg=name)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_longer_text_is_read_in_windows_with_enough_past(network_of, family, all_layers):
    """Every word against a pass of its own over the window that is to give it."""
    network = network_of(family, window_tokens=60, stride_tokens=25)
    stimulus = calibration_stimulus("words").isel(word=slice(0, 60))
    found = all_layers(network, stimulus, 4)
    tokens, last = network.presenter.tokenize([str(word) for word in stimulus["text"].values])
    assert len(tokens) > 150
    short = 0
    for word, place in enumerate(last):
        number = max(0, -(-(place - 59) // 25))
        start = 25 * number
        assert start == 0 or place - start >= 60 - 25
        window = tokens[start : start + 60]
        short += len(window) < 60
        for name, states in states_of(network, window).items():
            assert np.abs(found[name][word] - states[place - start]).max() < 1e-5 * found[name].std(), (name, word)
    assert 0 < short < len(last)


@pytest.mark.parametrize("family", CONFIGS)
def test_words_to_come_change_nothing(network_of, family, all_layers):
    """In the same window and in later ones; the same words in another order keep the number of sub-tokens."""
    network = network_of(family, window_tokens=60, stride_tokens=25)
    stimulus = calibration_stimulus("words").isel(word=slice(0, 60))
    words = list(stimulus["text"].values)
    changed = stimulus.assign(text=("word", words[:30] + words[:29:-1]))
    before, after = all_layers(network, stimulus, 4), all_layers(network, changed, 4)
    for name, values in before.items():
        np.testing.assert_array_equal(values[:30], after[name][:30], err_msg=name)
        assert np.abs(values[30:] - after[name][30:]).max() > 0.1 * values.std(), name


@pytest.mark.parametrize("family", CONFIGS)
def test_batch_sizes_agree(network_of, family, all_layers):
    network = network_of(family, window_tokens=60, stride_tokens=25)
    stimulus = calibration_stimulus("words").isel(word=slice(0, 150))
    sizes = {size: all_layers(network, stimulus, size) for size in (1, 3, 64)}
    for name, values in sizes[64].items():
        for size in (1, 3):
            assert np.abs(values - sizes[size][name]).max() < 1e-5 * values.std(), name


@pytest.mark.parametrize("size", [1, 3])
def test_passes_go_on_from_any_word(size, words_of):
    presenter = WordWindows(lambda word: [1 + len(word)] * (1 + len(word) % 3), START, 20, 7)
    stimulus = calibration_stimulus("words").isel(word=slice(0, 80))

    def tokens(first):
        found = []
        for one in presenter.passes(stimulus, size, first):
            assert one.first == first + len(found)
            found += one.select(one.inputs["input_ids"][:, :, None].transpose(1, 2).float())[:, 0].tolist()
            assert len(found) == one.first + one.n_samples - first
        return found

    whole = tokens(0)
    assert whole == [2 + len(str(word)) for word in stimulus["text"].values]
    for first in (1, 33, 79):
        assert tokens(first) == whole[first:]


def test_a_network_without_a_start_token_reads_from_the_first_word(words_of):
    presenter = WordWindows(lambda word: [len(word)], None, 8, 4)
    (one,) = presenter.passes(words_of(["a", "bb", "ccc"]), 4)
    assert one.inputs["input_ids"].tolist() == [[2, 3, 4]]


def test_windows_that_leave_words_out_are_one_line(network_of):
    with pytest.raises(
        LayermapError, match="stride_tokens: 512 is more than window_tokens: 256; give stride_tokens: 128"
    ):
        network_of("gpt2", window_tokens=256)


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (8, 8), (5, 1), (1, 1), (100, 30)])
@pytest.mark.parametrize("n_tokens", [1, 5, 8, 9, 57])
def test_windows_give_every_token_once(n_tokens, window, stride):
    given = []
    for start, end, first_new in token_windows(n_tokens, window, stride):
        assert 0 <= start <= first_new < end <= n_tokens
        assert end - start <= window
        assert start == 0 or first_new - start >= window - stride
        given += range(first_new, end)
    assert given == list(range(n_tokens))
