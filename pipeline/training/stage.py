"""Train one network by a recipe, probe it, and write what it leaves.

What is there and right is not made again: weights have a key of what changes them, probes another that holds the first.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pipeline.artifacts.storage.store import locked, write_whole
from pipeline.core import paths
from pipeline.core.code_version import code_of_file, code_version
from pipeline.core.errors import LayermapError
from pipeline.core.keys import key_of
from pipeline.core.progress import Progress
from pipeline.core.section import file_of
from pipeline.core.spreadsheet import write_csv
from pipeline.core.torch_device import choose_device
from pipeline.models.networks.trainable import MODULES
from pipeline.training.card import collapse_of, model_card
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.collapse import is_collapsed
from pipeline.training.diets.decoded import Diet, open_diet
from pipeline.training.diets.entry import SampleForm
from pipeline.training.measuring.measure import Measured, bare_rate, measure
from pipeline.training.measuring.show import calibrate
from pipeline.training.networks import Encoder, OwnSection, make_encoder, seeded
from pipeline.training.objectives.objective import OBJECTIVES, Objective, Setting
from pipeline.training.objectives.own import OwnOptions
from pipeline.training.ranks import Ranks, joined
from pipeline.training.recipe import Recipe
from pipeline.training.results import (
    CARD,
    CURVE,
    HELD_OUT,
    OBJECTIVE,
    PROBES,
    RUN,
    TRAINED,
    WEIGHTS,
    RunFacts,
    are_unaltered,
    is_whole,
    read_tensors,
    write_cost,
    write_receipt,
    write_tensors,
)
from pipeline.training.trainer import CurveLog, Learner, Row, Trainer

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True)
class _Job:
    """One training: what `train_network` was told, and what follows from it."""

    recipe: Recipe
    seed: int
    diet: Diet
    device: torch.device
    ranks: Ranks
    mirror: str | None = None

    @property
    def folder(self) -> Path:
        return paths.training(self.recipe.recipe, self.seed)

    def weights_key(self) -> str:
        """Of what changes weights: recipe, samples, seed, code; not probes, words or the time between checkpoints."""
        told = self.recipe.model_dump(mode="json", include={"network", "objective", "optimiser", "course"})
        del told["course"]["checkpoint_steps"]
        ranks = {"world": self.ranks.world} if self.ranks.world > 1 else {}
        parts = {"recipe": told, "seed": self.seed, "diet": self.diet.facts.key, "code": code_behind(self.recipe)}
        return key_of(parts | ranks)

    def key(self) -> str:
        """Of all that is written."""
        code = code_version("pipeline.training.stage", "pipeline.training.measuring.measure")
        told = self.recipe.model_dump(mode="json", exclude={"seeds"})
        del told["course"]["checkpoint_steps"]
        told["diet"].pop("path", None)
        words = self.diet.facts.model_dump(include={"title", "licence", "citation"})
        return key_of({"weights": self.weights_key(), "recipe": told, "code": code, "words": words})

    def learner(self) -> tuple[Learner, Encoder]:
        """As initialised, on the device."""
        facts = self.diet.facts
        encoder = make_encoder(self.recipe.network, facts.form, self.seed)
        setting = Setting(
            encoder=encoder.module,
            n_features=encoder.n_features,
            form=facts.form,
            labels=facts.labels,
            train_labels=self.diet.train.labels,
            mean=facts.mean,
            sd=facts.sd,
            seed=self.seed,
        )
        entry = OBJECTIVES.get(self.recipe.objective.kind)
        what = f"objective {entry.kind}"
        objective: Objective = seeded(lambda: entry.make(self.recipe.objective, setting), what, self.seed, "objective")
        learner = Learner(encoder.module, objective).to(self.device)
        lay_out_for(learner, facts.form)
        return learner, encoder


def lay_out_for(learner: Learner, form: SampleForm) -> None:
    """Weights in memory as samples are, channels last, which passes are faster with."""
    if form.modality == "pictures":
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    elif form.modality == "clips":
        for weights in learner.parameters():
            if weights.ndim == 5:
                weights.data = weights.data.contiguous(memory_format=torch.channels_last_3d)


def code_behind(recipe: Recipe) -> str:
    """Version of the code that weights come from, the user's own included."""
    modules = ["pipeline.training.trainer", "pipeline.training.networks", "pipeline.training.measuring.show"]
    modules.append(OBJECTIVES.address(recipe.objective.kind).partition(":")[0])
    files = []
    for told in (recipe.network, recipe.objective):
        if isinstance(told, OwnSection | OwnOptions):
            file = file_of(told.factory)
            files += [code_of_file(file)] if file else []
            modules += [] if file else [told.factory.partition(":")[0]]
    if not isinstance(recipe.network, OwnSection):
        modules.append(MODULES[recipe.network.kind].partition(":")[0])
    return key_of([code_version(*modules), *files])


def train_network(recipe: Recipe, seed: int, *, device: str = "auto", mirror: str | None = None) -> Path:
    """Train, probe and write one network; nothing is done where all of it is there.

    Parameters
    ----------
    seed : of initialisation, order, views and probes
    device : ``auto``, ``cpu`` or ``cuda``; on a GPU numbers differ by rounding
    mirror : as ``--config mirror=`` has it

    Returns
    -------
    its folder, ``data/training/RECIPE/seed-N``

    Raises
    ------
    LayermapError
        The diet cannot be had, does not fit the recipe, or training diverged; one line.
    """
    chosen = choose_device(device)
    with joined(chosen) as ranks:
        diet = ranks.first_before_others(lambda: open_diet(recipe.diet, mirror))
        job = _Job(recipe, seed, diet, chosen, ranks, mirror)
        _check(job)
        if not ranks.is_first:
            if ranks.first_decides(False):
                _trained(job, job.weights_key())
            return job.folder
        with locked(job.folder):
            _run(job)
    return job.folder


def _check(job: _Job) -> None:
    course, facts = job.recipe.course, job.diet.facts
    if course.batch > facts.n_train:
        raise LayermapError(
            f"recipe {job.recipe.recipe}: a batch of {course.batch} is more than the {facts.n_train} training "
            f"{facts.form.modality}; lower course.batch"
        )
    if course.batch % (course.accumulation * job.ranks.world):
        raise LayermapError(
            f"recipe {job.recipe.recipe}: a batch of {course.batch} has no {job.ranks.world} equal parts of "
            f"{course.accumulation}; start another number of processes"
        )


def _run(job: _Job) -> None:
    name, folder = f"{job.recipe.recipe} seed {job.seed}", job.folder
    key, weights_key = job.key(), job.weights_key()
    whole = is_whole(folder, key)
    kept = None if whole else _kept(job, weights_key)
    job.ranks.first_decides(not whole and kept is None)
    if whole:
        print(f"train {name}: all there ({folder})", file=sys.stderr, flush=True)
        return
    learner, encoder, curve = kept if kept is not None else _trained(job, weights_key)
    measured = measure(learner, job.learner()[0], encoder, job.diet, job.recipe, job.seed)
    facts = _facts(job, encoder, learner.objective, measured, key, weights_key)
    for table, file in ((measured.held_out, HELD_OUT), (measured.probes, PROBES)):
        with write_whole(folder / file) as temporary:
            write_csv(table, temporary, str(folder / file))
    with write_whole(folder / RUN) as temporary:
        text = json.dumps(facts.model_dump(mode="json"), indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    with write_whole(folder / CARD) as temporary:
        card = model_card(facts, curve, measured.held_out, measured.probes)
        temporary.write_text(card, encoding="utf-8")
    write_receipt(folder, f"training {job.recipe.recipe} seed {job.seed}", key)
    Checkpoints(folder / CHECKPOINTS, weights_key).discard()
    print(f"train {name}: {_in_words(facts, measured)}", file=sys.stderr, flush=True)


def _kept(job: _Job, weights_key: str) -> tuple[Learner, Encoder, pd.DataFrame] | None:
    """Weights that only lack their probes; None if there are none, or not as they were written."""
    import pandas as pd

    if not are_unaltered(job.folder, (WEIGHTS, OBJECTIVE, CURVE)):
        return None
    weights, heads = (read_tensors(job.folder / name, weights_key) for name in (WEIGHTS, OBJECTIVE))
    if weights is None or heads is None:
        return None
    learner, encoder = job.learner()
    learner.encoder.load_state_dict(weights)
    learner.objective.load_state_dict(heads)
    return learner, encoder, pd.read_csv(job.folder / CURVE)


def _trained(job: _Job, weights_key: str) -> tuple[Learner, Encoder, pd.DataFrame]:
    """The trained network, whose weights and curve are written."""
    import pandas as pd

    recipe, folder, course = job.recipe, job.folder, job.recipe.course
    learner, encoder = job.learner()
    name = f"train {recipe.recipe} seed {job.seed}"
    cost: dict[str, Any] = {"device": str(job.device), "threads": torch.get_num_threads(), "torch": torch.__version__}
    rows: list[Row] = []
    if learner.objective.takes_steps:
        if job.ranks.world == 1:  # passes of one process alone would wait for the others' views
            part = course.batch // course.accumulation
            cost["bare_samples_per_s"] = bare_rate(learner, job.diet.train, part, job.device)
        progress = Progress(name, course.steps, unit="step")
        with CurveLog(paths.training_cost(recipe.recipe, job.seed).with_suffix("").with_suffix(""), job.ranks) as log:
            try:
                trained = Trainer(
                    learner=learner,
                    samples=job.diet.train,
                    course=course,
                    optimiser=recipe.optimiser,
                    seed=job.seed,
                    device=job.device,
                    checkpoints=Checkpoints(folder / CHECKPOINTS, weights_key),
                    progress=progress,
                    ranks=job.ranks,
                    on_row=log.add,
                ).run()
                if job.ranks.is_first:
                    progress.finish(f"{course.steps} steps")
            finally:
                progress.close()
        rows = trained.curve
        spent = trained.wall_s if job.device.type == "cuda" else trained.cpu_s
        cost |= {"cpu_s": trained.cpu_s, "wall_s": trained.wall_s}
        cost["samples_per_s"] = course.steps * course.batch / job.ranks.world / max(spent, 1e-9)
    elif not learner.objective.load_published(learner.encoder, job.mirror):
        calibrate(learner, job.diet.train, job.seed)
    curve = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["step", "epoch", "loss"])
    if job.ranks.is_first:
        with write_whole(folder / CURVE) as temporary:
            write_csv(curve, temporary, str(folder / CURVE))
        write_tensors(learner.encoder.state_dict(), folder / WEIGHTS, weights_key)
        write_tensors(learner.objective.state_dict(), folder / OBJECTIVE, weights_key)
        write_cost(recipe.recipe, job.seed, cost)
    return learner, encoder, curve


def _facts(
    job: _Job, encoder: Encoder, objective: Objective, measured: Measured, key: str, weights_key: str
) -> RunFacts:
    recipe = job.recipe
    entry = OBJECTIVES.get(recipe.objective.kind)
    options = recipe.model_dump(mode="json", exclude={"seeds"})
    if options["diet"].get("path"):
        options["diet"]["path"] = Path(options["diet"]["path"]).name  # results do not depend on where samples lie
    return RunFacts(
        recipe=recipe.recipe,
        title=recipe.title,
        seed=job.seed,
        key=key,
        weights_key=weights_key,
        network=options["network"].get("factory", recipe.network.kind),
        layers=tuple(encoder.taps),
        n_parameters=encoder.n_parameters,
        n_features=encoder.n_features,
        objective=entry.title,
        objective_kind=entry.kind,
        citation=entry.citation,
        trained=entry.trained,
        loss_is=objective.loss_is,
        unit=objective.unit,
        steps=recipe.course.steps,
        batch=recipe.course.batch,
        diet=job.diet.facts,
        options=options,
        cost=recipe.cost,
        measures=measured.measures,
    )


def _in_words(facts: RunFacts, measured: Measured) -> str:
    own = measured.probes[measured.probes["network"] == TRAINED]
    best = [rows.loc[rows["accuracy"].idxmax()] for _, rows in own.groupby("label", sort=False)]
    said = "best probe of " + ", of ".join(
        f"{row['label']} {row['accuracy']:.1%} ({row['layer']}; {row['low']:.1%} to {row['high']:.1%})" for row in best
    )
    collapsed = "; features have collapsed" if is_collapsed(**collapse_of(facts.measures[TRAINED])) else ""
    return f"{said}{collapsed}; card: {paths.training(facts.recipe, facts.seed) / CARD}"
