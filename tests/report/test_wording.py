"""Numbers and names in sentences."""

import pytest

from pipeline.report import wording

NBSP = wording.NBSP


@pytest.mark.parametrize(
    ("value", "text"), [(0.414, "0.41"), (-0.036, "−0.04"), (-0.001, "0.00"), (float("nan"), "n/a"), (1.0, "1.00")]
)
def test_numbers_have_two_decimals_and_a_true_minus(value, text):
    assert wording.number(value) == text


def test_intervals_do_not_break_over_lines():
    assert wording.with_interval(0.5, -0.1, 0.9) == f"0.50{NBSP}[−0.10,{NBSP}0.90]"


@pytest.mark.parametrize(("value", "text"), [(0.2, "+0.20"), (-0.2, "−0.20"), (-0.001, "+0.00"), (float("nan"), "n/a")])
def test_differences_carry_their_sign(value, text):
    assert wording.signed(value) == text


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (["b"], "b (1 of 6)"),
        (["d", "b", "c"], "b–d (3 of 6)"),
        (["a", "f"], "a and f (2 of 6)"),
        (["a", "b", "c", "e", "f"], "5 of 6 layers between a and f"),
        ([], "none"),
    ],
)
def test_sets_of_layers_are_short(members, text):
    assert wording.layer_set(members, list("abcdef")) == text


@pytest.mark.parametrize(("value", "text"), [(1e6, "10⁶"), (1e-4, "10⁻⁴"), (0.5, "0.5"), (10, "10"), (0, "0")])
def test_option_values_as_in_a_paper(value, text):
    assert wording.quantity(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.24, "4.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


def test_a_block_is_another_unit_to_similarity_structures(simulated, scenes):
    encoded, compared = simulated.facts.analyses[0], scenes.facts.analyses[0]
    assert encoded.ci_units(["subject", "block", "subject"]) == "subjects and held-out blocks"
    assert compared.ci_units(["block", "item"], last="or") == "stretches of neighbouring blocks or items"


@pytest.mark.parametrize(("share", "text"), [(0.0314, f"3.1{NBSP}%"), (-0.002, f"−0.2{NBSP}%"), (float("nan"), "n/a")])
def test_shares_are_told_in_percent(share, text):
    assert wording.percent(share) == text


def test_ceilings_are_named_once_and_absent_ones_not_at_all():
    kinds = ["none", "intersubject_single", "intersubject_single | none", ""]
    assert wording.ceilings(kinds) == "√ mean correlation between subjects"
