"""The model card of a training: what was learned from what, under which licence, how well, and how again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import yaml

from pipeline.training.collapse import is_collapsed
from pipeline.training.results import TRAINED, RunFacts

if TYPE_CHECKING:
    import pandas as pd


def model_card(facts: RunFacts, curve: pd.DataFrame, held_out: pd.DataFrame, probes: pd.DataFrame) -> str:
    """The card, Markdown.

    Parameters
    ----------
    facts : of the training
    curve, held_out, probes : its tables
    """
    lines = [
        f"# {facts.recipe}, seed {facts.seed}",
        "",
        f"{facts.title}.",
        "",
        *_learned(facts),
        "",
        "## Pictures",
        "",
        *_diet(facts),
        "",
        "## Training",
        "",
        *_course(facts, curve),
        "",
        *_held_out(facts, held_out),
        "",
        *_collapse(facts),
        "",
        "## Probes",
        "",
        "Object class of test pictures, by a ridge classifier on each layer; intervals (95 %, Wilson) are over test",
        "pictures. This is one network: nothing here says how another seed would do.",
        "",
        *_probes(probes),
        "",
        "## Train it again",
        "",
        f"    python -m pipeline train --recipe {facts.recipe} --seed {facts.seed}{_diet_path(facts)}",
        "",
        "On a processor, with the same pictures, versions and number of threads, the same weights come out to the last",
        "bit.",
        "",
        "## Recipe",
        "",
        *(f"    {line}" for line in _recipe(facts).splitlines()),
        "",
    ]
    return "\n".join(lines)


def _diet_path(facts: RunFacts) -> str:
    """The file or folder of pictures that was given; empty where the recipe's own were taken."""
    path = facts.options["diet"].get("path")
    return f" --diet-path {shlex.quote(path)}" if path else ""


def _recipe(facts: RunFacts) -> str:
    return str(yaml.safe_dump(facts.options, sort_keys=False, allow_unicode=True))


def _learned(facts: RunFacts) -> Iterator[str]:
    cited = f" ({facts.citation})" if facts.citation else ""
    yield f"* network: {facts.network}, {facts.n_parameters:,} parameters, {facts.n_features} features at its end"
    yield f"* layers: {', '.join(facts.layers)}"
    yield f"* objective: {facts.objective}{cited}; counts as {facts.trained}"
    yield "* comparisons with other objectives hold between networks of this architecture and these pictures only"


def _diet(facts: RunFacts) -> Iterator[str]:
    diet = facts.diet
    yield f"* {diet.title}: {diet.n_train:,} for training, {diet.n_test:,} for tests, {diet.size_px} px"
    yield f"* licence: {diet.licence}"
    if diet.citation:
        yield f"* {diet.citation}"
    yield f"* classes: {', '.join(diet.classes)}"
    if diet.skipped:
        yield f"* left out as broken: {len(diet.skipped)}"
    if diet.repeated:
        yield f"* test pictures left out, being equal to training pictures: {len(diet.repeated)}"
    yield f"* SHA-256 of the files: `{diet.contents}`"


def _course(facts: RunFacts, curve: pd.DataFrame) -> Iterator[str]:
    if not facts.steps:
        yield "None: weights as initialised, normalisation statistics of training pictures."
        return
    epochs = facts.steps * facts.batch / facts.diet.n_train
    yield f"{facts.steps:,} steps of {facts.batch} pictures ({epochs:.1f} epochs)."
    yield f"Loss ({facts.loss_is}, {facts.unit}):"
    yield ""
    yield "| step | loss |"
    yield "| ---: | ---: |"
    last = len(curve) - 1
    for row in sorted({0, last // 4, last // 2, 3 * last // 4, last}):
        yield f"| {int(curve['step'].iloc[row]):,} | {curve['loss'].iloc[row]:.4g} |"


def _held_out(facts: RunFacts, held_out: pd.DataFrame) -> Iterator[str]:
    if not len(held_out):
        return
    yield f"On test pictures ({facts.loss_is}, {facts.unit}; 95 % interval over pictures):"
    yield ""
    yield "| network | loss | interval |"
    yield "| --- | ---: | --- |"
    for row in held_out.itertuples():
        yield f"| {row.network} | {row.loss:.4g} | {row.low:.4g} to {row.high:.4g} |"


def _collapse(facts: RunFacts) -> Iterator[str]:
    found = facts.measures[TRAINED]
    said = "**collapsed**: pictures are hardly told apart" if is_collapsed(**collapse_of(found)) else "no collapse"
    yield f"Features of test pictures: SD of directions {found['feature_sd']:.3f} (1: spread, 0: one direction),"
    yield f"effective rank {found['effective_rank']:.1f} of {facts.n_features}: {said}."


def collapse_of(measures: dict[str, float]) -> dict[str, float]:
    """The arguments of `is_collapsed`."""
    return {"sd": measures["feature_sd"], "rank": measures["effective_rank"]}


def _probes(probes: pd.DataFrame) -> Iterator[str]:
    yield "| network | layer | accuracy | interval |"
    yield "| --- | --- | ---: | --- |"
    for row in probes.itertuples():
        yield f"| {row.network} | {row.layer} | {row.accuracy:.1%} | {row.low:.1%} to {row.high:.1%} |"
