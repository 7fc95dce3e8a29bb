"""Hooks: which modules a pattern names, and which tensor of whatever a module gives or is given."""

import collections
import dataclasses
import re

import pytest
import torch
from torch import nn

from pipeline.core.errors import LayermapError, UnknownName
from pipeline.models.torch.hooks import Tap, match_modules, pick_tensor, tapped, transformer_taps

Pair = collections.namedtuple("Pair", ["maps", "weights"])
VALUES, OTHERS = torch.arange(6.0).reshape(2, 3), torch.full((2, 3), -1.0)


@dataclasses.dataclass
class Output:
    loss: float
    maps: torch.Tensor


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(3)
        self.mlp = nn.Sequential(nn.Linear(3, 3), nn.GELU())

    def forward(self, hidden, scale=1.0, *, shift=None):
        hidden = hidden * scale + self.mlp(self.norm(hidden))
        return (hidden if shift is None else hidden + shift), {"maps": [hidden]}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 3)
        self.blocks = nn.ModuleList(Block() for _ in range(12))
        self.blocks_norm = nn.LayerNorm(3)

    def forward(self, values):
        hidden = self.stem(values)
        for number, block in enumerate(self.blocks):
            hidden, _ = block(hidden=hidden, shift=1.0) if number == 3 else block(hidden)
        return self.blocks_norm(hidden)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().eval()


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["stem"], ("stem",)),
        (["blocks.*"], tuple(f"blocks.{number}" for number in range(12))),
        (["blocks.1*"], ("blocks.1", "blocks.10", "blocks.11")),
        (["blocks.*.norm", "stem"], ("stem", *(f"blocks.{number}.norm" for number in range(12)))),
        (["blocks.2.**"], ("blocks.2.norm", "blocks.2.mlp.0", "blocks.2.mlp.1", "blocks.2.mlp")),
        (["**.mlp"], tuple(f"blocks.{number}.mlp" for number in range(12))),
        (["*"], ("stem", "blocks_norm")),
        (["blocks.0", "blocks.0*", "blocks.0"], ("blocks.0",)),
        (["blocks_norm"], ("blocks_norm",)),
    ],
)
def test_patterns_name_modules_in_the_networks_order(network, patterns, names):
    assert match_modules(network, patterns, "net") == names


@pytest.mark.parametrize(
    ("pattern", "closest"),
    [("block.3", r"blocks\.3"), ("blocks.*.nrom", r"blocks\.\d+\.norm"), ("blocks.12", r"blocks\.(1|2|10|11)")],
)
def test_a_pattern_that_fits_nothing_names_the_closest_module(network, pattern, closest):
    with pytest.raises(UnknownName, match=rf"^unknown module of net '{re.escape(pattern)}' \(closest: '{closest}'\);"):
        match_modules(network, ["stem", pattern], "net")


def test_dots_of_a_pattern_are_dots_only(network):
    with pytest.raises(UnknownName):
        match_modules(network, ["blocks?norm"], "net")
    with pytest.raises(UnknownName):
        match_modules(network, ["blocks.norm"], "net")


def take(network, taps, values=VALUES):
    """Layer → copies of what was taken, and the network's output."""
    found: dict[str, list[torch.Tensor]] = collections.defaultdict(list)
    with torch.no_grad(), tapped(network, taps, lambda layer, part: found[layer].append(part.clone()), "net"):
        output = network(values)
    return found, output


def test_a_blocks_input_is_what_the_one_before_gave(network):
    taps = {
        "in": Tap("blocks.0", "input"),
        "out": Tap("stem"),
        "named-in": Tap("blocks.3", "input"),
        "before": Tap("blocks.2"),
        "inside": Tap("blocks.1", select="1.maps.0"),
        "whole": Tap(""),
        "given": Tap("", "input"),
    }
    found, output = take(network, taps)
    assert {len(parts) for parts in found.values()} == {1}
    assert torch.equal(found["in"][0], found["out"][0])
    assert torch.equal(found["named-in"][0], found["before"][0])  # given by name: block(hidden=…)
    assert torch.equal(found["whole"][0], output)
    assert torch.equal(found["given"][0], VALUES)
    with torch.no_grad():
        assert torch.equal(output, network(VALUES))


def test_a_blocks_second_input_can_be_selected(network):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Bilinear(3, 3, 2)

        def forward(self, values):
            return self.block(values, 2 * values)

    found, _ = take(Two(), {"second": Tap("block", "input", select="1"), "first": Tap("block", "input")})
    assert torch.equal(found["second"][0], 2 * found["first"][0])


def test_layers_of_a_stack_of_blocks(network):
    taps = transformer_taps([f"blocks.{number}" for number in range(12)], "blocks_norm", n_prefix=2)
    assert list(taps) == ["embedding", *(f"block{number}" for number in range(1, 13)), "norm"]
    assert {tap.n_prefix for tap in taps.values()} == {2} and all(tap.tokens for tap in taps.values())
    found, output = take(network, taps)
    assert torch.equal(found["norm"][0], output)
    assert torch.equal(found["embedding"][0], take(network, {"stem": Tap("stem")})[0]["stem"][0])
    assert "norm" not in transformer_taps(["a"])


@pytest.mark.parametrize(
    ("output", "select"),
    [
        (VALUES, None),
        ((VALUES, OTHERS), None),
        ((OTHERS, VALUES), "1"),
        ([OTHERS, (OTHERS, VALUES)], "1.1"),
        ({"logits": OTHERS, "last_hidden_state": VALUES}, None),
        ({"logits": OTHERS, "maps": VALUES}, "maps"),
        ({"maps": VALUES, "loss": 0.1}, None),
        ({"features": {"layers": [OTHERS, {"x": VALUES}]}}, "features.layers.1.x"),
        ({"features": {"deep": [VALUES, OTHERS]}}, None),
        (Pair(OTHERS, VALUES), "weights"),
        (Pair(VALUES, OTHERS), None),
        (Output(0.1, VALUES), None),
        ((None, Output(0.1, VALUES)), "1.maps"),
        (((VALUES,),), None),
        ({3: OTHERS, 4: VALUES}, "4"),
    ],
)
def test_the_tensor_meant_is_taken(output, select):
    assert pick_tensor(output, select, "layer 'x' of net: its output") is VALUES


def test_outputs_of_the_library_are_taken_by_name():
    from transformers.modeling_outputs import BaseModelOutput

    output = BaseModelOutput(last_hidden_state=VALUES, hidden_states=(OTHERS, OTHERS))
    assert pick_tensor(output, None, "layer") is VALUES
    assert pick_tensor(output, "hidden_states.1", "layer") is OTHERS


@pytest.mark.parametrize(
    ("output", "select", "message"),
    [
        (None, None, "its output is a NoneType, not a tensor"),
        ("text", None, "its output is a str, not a tensor"),
        ((None, "a", [VALUES]), None, "its output is a tuple with parts 0, 1, 2, not a tensor; say which part"),
        ({"loss": 0.1, "n": 3}, None, "its output is a dict with parts loss, n, not a tensor"),
        ((VALUES,), "1", r"its output has no part '1' \(it has: 0\)"),
        ({"maps": VALUES}, "map", r"its output has no part 'map' \(it has: maps\)"),
        (VALUES, "0", r"its output has no part '0' \(it has: none\)"),
        (Output(0.1, VALUES), "loss", "its output is a float, not a tensor"),
        ([], None, "its output is a list, not a tensor"),
    ],
)
def test_an_odd_output_is_one_line_that_names_its_parts(output, select, message):
    with pytest.raises(LayermapError, match=f"^layer 'x' of net: {message}") as error:
        pick_tensor(output, select, "layer 'x' of net: its output")
    assert "\n" not in str(error.value)


def n_hooks(network):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


def test_hooks_are_gone_afterwards_whatever_happened(network):
    taps = {"in": Tap("blocks.0", "input"), "out": Tap("blocks.5"), "norm": Tap("blocks_norm")}
    with tapped(network, taps, lambda layer, values: None, "net"):
        assert n_hooks(network) == 3
    assert n_hooks(network) == 0
    with pytest.raises(RuntimeError), tapped(network, taps, lambda layer, values: None, "net"):
        network(torch.ones(2, 4))
    assert n_hooks(network) == 0
    with pytest.raises(LayermapError, match=r"layer 'bad' of net: its output has no part '9' \(it has: 0, 1\)"):
        take(network, {"out": Tap("stem"), "bad": Tap("blocks.2", select="9")})
    assert n_hooks(network) == 0
    with pytest.raises(UnknownName, match=r"unknown module of net 'blocks\.2\.mpl' \(closest: 'blocks\.2\.mlp'\)"):
        take(network, {"out": Tap("stem"), "bad": Tap("blocks.2.mpl")})
    assert n_hooks(network) == 0
