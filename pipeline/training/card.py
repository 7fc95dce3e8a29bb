"""The model card of a training: what was learned from what, under which licence, how well, and how again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import yaml

from pipeline.training.collapse import is_collapsed
from pipeline.training.measuring.pathways import pathway_table
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
        f"## {facts.diet.form.modality.capitalize()}",
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
        f"What a ridge classifier reads from each layer of test {facts.diet.form.modality}; intervals (95 %, Wilson)",
        "are over these. This is one network: nothing here says how another seed would do.",
        "",
        *_probes(probes),
        "",
        *_pathways(probes),
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


def _pathways(probes: pd.DataFrame) -> Iterator[str]:
    """What each pathway tells, of networks with several."""
    table = pathway_table(probes)
    if table["pathway"].nunique() < 2:
        return
    yield "Pathways, by the mean over their layers and by their last layer; which of them is which, no training says:"
    yield ""
    yield "| network | labels | pathway | mean | last layer | interval | chance |"
    yield "| --- | --- | --- | ---: | ---: | --- | ---: |"
    for row in table.itertuples():
        yield (
            f"| {row.network} | {row.label} | {row.pathway} | {row.mean_accuracy:.1%} | {row.accuracy:.1%} | "
            f"{row.low:.1%} to {row.high:.1%} | {row.chance:.1%} |"
        )
    yield ""


def _recipe(facts: RunFacts) -> str:
    return str(yaml.safe_dump(facts.options, sort_keys=False, allow_unicode=True))


def _learned(facts: RunFacts) -> Iterator[str]:
    cited = f" ({facts.citation})" if facts.citation else ""
    yield f"* network: {facts.network}, {facts.n_parameters:,} parameters, {facts.n_features} features at its end"
    yield f"* layers: {', '.join(facts.layers)}"
    yield f"* objective: {facts.objective}{cited}; counts as {facts.trained}"
    many = facts.diet.form.modality
    yield f"* comparisons with other objectives hold between networks of this architecture and these {many} only"


def _diet(facts: RunFacts) -> Iterator[str]:
    diet, many = facts.diet, facts.diet.form.modality
    yield f"* {diet.title}: {diet.n_train:,} for training, {diet.n_test:,} for tests, {diet.form}"
    yield f"* licence: {diet.licence}"
    if diet.citation:
        yield f"* {diet.citation}"
    for name, labels in diet.labels.items():
        yield f"* labels, {name}: {', '.join(labels.classes)}"
    if diet.skipped:
        yield f"* left out as broken: {len(diet.skipped)}"
    if diet.repeated:
        yield f"* test {many} left out, being equal to training {many}: {len(diet.repeated)}"
    yield f"* SHA-256 of the files: `{diet.contents}`"


def _course(facts: RunFacts, curve: pd.DataFrame) -> Iterator[str]:
    if not facts.steps:
        yield f"None: weights as initialised, normalisation statistics of training {facts.diet.form.modality}."
        return
    epochs = facts.steps * facts.batch / facts.diet.n_train
    yield f"{facts.steps:,} steps of {facts.batch} {facts.diet.form.modality} ({epochs:.1f} epochs)."
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
    many = facts.diet.form.modality
    yield f"On test {many} ({facts.loss_is}, {facts.unit}; 95 % interval over {many}):"
    yield ""
    yield "| network | loss | interval |"
    yield "| --- | ---: | --- |"
    for row in held_out.itertuples():
        yield f"| {row.network} | {row.loss:.4g} | {row.low:.4g} to {row.high:.4g} |"


def _collapse(facts: RunFacts) -> Iterator[str]:
    found, many = facts.measures[TRAINED], facts.diet.form.modality
    said = f"**collapsed**: {many} are hardly told apart" if is_collapsed(**collapse_of(found)) else "no collapse"
    yield f"Features of test {many}: SD of directions {found['feature_sd']:.3f} (1: spread, 0: one direction),"
    yield f"effective rank {found['effective_rank']:.1f} of {facts.n_features}: {said}."


def collapse_of(measures: dict[str, float]) -> dict[str, float]:
    """The arguments of `is_collapsed`."""
    return {"sd": measures["feature_sd"], "rank": measures["effective_rank"]}


def _probes(probes: pd.DataFrame) -> Iterator[str]:
    yield "| network | labels | layer | accuracy | interval |"
    yield "| --- | --- | --- | ---: | --- |"
    for row in probes.itertuples():
        yield f"| {row.network} | {row.label} | {row.layer} | {row.accuracy:.1%} | {row.low:.1%} to {row.high:.1%} |"
