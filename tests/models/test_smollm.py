"""SmolLM2: reads windows that leave every word enough past and no future; its weights know English."""

import random

import numpy as np
import pytest

from pipeline.models.hub import network as hub_network
from pipeline.models.hub.families import FAMILIES
from pipeline.models.hub.packaged import SMOLLM2_135M
from pipeline.models.shown.present_words import token_windows
from pipeline.models.torch.hooked_network import Pass

TEXT = (
    "the old woman opened the door of her house and saw that it was raining so she went back inside to look for "
    "her umbrella before she walked down the hill to buy some bread from the shop in the village"
)
SENTENCE = TEXT.split()
CONTEXT_TOKENS, STRIDE_TOKENS = (SMOLLM2_135M.preprocessing[key] for key in ("window_tokens", "stride_tokens"))
START_TOKEN = FAMILIES["llama"].preprocessing["start_token"]


@pytest.mark.parametrize("n_tokens", [1, 500, 1024, 1025, 1536, 5000])
def test_windows_give_every_token_once_with_enough_past(n_tokens):
    given = []
    for start, end, first_new in token_windows(n_tokens, CONTEXT_TOKENS, STRIDE_TOKENS):
        assert 0 <= start <= first_new < end <= n_tokens
        assert end - start <= CONTEXT_TOKENS
        assert start == 0 or first_new - start >= STRIDE_TOKENS
        given += range(first_new, end)
    assert given == list(range(n_tokens))


@pytest.fixture(scope="module")
def network(weights):
    return hub_network.load(SMOLLM2_135M, weights("smollm2-135m"), None, "cpu")


@pytest.fixture(scope="module")
def tokenizer(weights):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(weights("smollm2-135m") / "tokenizer.json"))


def perplexity(network, tokenizer, words):
    """Of all sub-tokens but the first."""
    import torch

    tokens, _ = network.presenter.tokenize(words)
    ids = torch.tensor([[tokenizer.token_to_id(START_TOKEN), *tokens]])
    one = Pass(0, 1, {"input_ids": ids, "use_cache": False})
    states = network.run(one, ["norm"], lambda layer, values, n_prefix: values[0].numpy().T)["norm"][1:]
    weights = network.module.embed_tokens.weight.detach().numpy().T.astype(np.float64)
    logits = states[:-1].astype(np.float64) @ weights
    top = logits.max(axis=1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return np.exp(np.mean(log_sum - logits[np.arange(len(tokens) - 1), tokens[1:]]))


@pytest.mark.study
def test_english_is_likelier_than_its_words_shuffled(network, tokenizer):
    shuffled = SENTENCE.copy()
    random.Random(0).shuffle(shuffled)
    assert perplexity(network, tokenizer, SENTENCE) < 60
    assert perplexity(network, tokenizer, shuffled) > 5 * perplexity(network, tokenizer, SENTENCE)


@pytest.mark.study
def test_layers_are_those_of_the_registry_and_of_transformers(network, tokenizer, words_of, all_layers):
    import torch

    layers = all_layers(network, words_of(SENTENCE))
    assert list(layers) == [layer.name for layer in SMOLLM2_135M.layers]
    tokens, last = network.presenter.tokenize(SENTENCE)
    start = tokenizer.token_to_id(START_TOKEN)
    with torch.no_grad():
        expected = network.module(input_ids=torch.tensor([[start, *tokens]]), output_hidden_states=True)
    np.testing.assert_allclose(layers["block10"], expected.hidden_states[10][0, last + 1].numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layers["norm"], expected.last_hidden_state[0, last + 1].numpy(), rtol=1e-4, atol=1e-4)
    assert np.abs(layers["block30"] - layers["norm"]).max() > 1
    assert sum(values.numel() for values in network.module.parameters()) == SMOLLM2_135M.parameters


@pytest.mark.study
def test_words_to_come_change_nothing(network, words_of, all_layers):
    changed = SENTENCE[:20] + ["zebra"] * (len(SENTENCE) - 20)
    before, after = all_layers(network, words_of(SENTENCE)), all_layers(network, words_of(changed))
    for name, values in before.items():
        assert np.abs(values[:20] - after[name][:20]).max() < 1e-5 * values.std(), name
        assert np.abs(values[20:] - after[name][20:]).max() > 0.1 * values.std(), name


@pytest.mark.study
def test_no_word_is_an_outlier_for_standing_first(network, words_of, all_layers):
    layers = all_layers(network, words_of(SENTENCE))
    for name in ("block15", "block25"):
        length = np.linalg.norm(layers[name], axis=1)
        assert length[0] < 2 * np.median(length)


@pytest.mark.study
def test_a_words_last_token_stands_for_it(network, tokenizer):
    tokens, last = network.presenter.tokenize(["Alice", "incomprehensibilities"])
    assert last[1] == len(tokens) - 1
    assert last[1] - last[0] > 1
    assert tokenizer.decode(tokens).split() == ["Alice", "incomprehensibilities"]
