"""Small studies with known answers: scores made from random numbers, mapped by the real `map` stage."""

import dataclasses
from pathlib import Path

import numpy as np

from pipeline.artifacts.identifiability import write_identifiability
from pipeline.artifacts.scores import write_scores
from pipeline.comparison.options import RsaOptions
from pipeline.core.prose import MetricWords
from pipeline.encoding.mappings.banded_ridge import BandedRidgeOptions
from pipeline.encoding.mappings.ridge import RidgeOptions
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.recordings.allen.words import OBSERVATORY
from pipeline.report.read_scores import read_contents
from pipeline.report.stage import build_page
from pipeline.report.study_facts import AnalysisFacts, DatasetFacts, StudyFacts
from pipeline.report.views import make_views
from pipeline.study.metrics import METRICS, metric_words
from tests.inference_settings import Contrast, Settings
from tests.report.synthetic_models import built, layers_of, models_of
from tests.report.synthetic_scores import (
    RSA_OF_RECORDINGS,
    encoding_scores,
    geometry_scores,
    identifiability,
    recordings_scores,
)


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """A synthetic study, with what `build_page` takes."""

    facts: StudyFacts
    tables: dict
    contents: dict

    @property
    def views(self):
        return make_views(self.facts, self.tables)

    def page(self, times=(), files=()):
        return build_page(self.facts, self.tables, self.contents, list(times), list(files))


def options_of(spec, rsa):
    if spec.animals:
        return RSA_OF_RECORDINGS
    if rsa:
        return RsaOptions(n_splits=6)
    if spec.spaces:
        return BandedRidgeOptions(delays_s=(0, 0.5), spaces=spec.spaces)
    return RidgeOptions(
        delays_s=None if spec.items else (0, 0.5),
        within_category=spec.within,
        splits={"kind": "random_items" if spec.items else "contiguous"},
        nuisance=spec.nuisance,
    )


def metric_of(spec, rsa):
    return "rsa" if rsa else "banded_ridge" if spec.spaces else "ridge"


def analysis_facts(spec, rsa):
    rsa = rsa or spec.animals
    dataset = DatasetFacts(
        kind="synthetic",
        title=f"Synthetic {spec.name}",
        citation="Recorder 2019, A Journal",
        licence="CC BY 4.0",
        simulated=spec.simulated,
        options=spec.dataset_options,
        n_files=3,
        n_bytes=12_345_678,
        receipt_sha="cd" * 32,
        receipt_path=f"data/raw/synthetic/receipt-{spec.name}.json",
        excluded="",
        constant_targets="",
        units="dF/F",
        window_s=(0.03, 0.15) if spec.dataset_options else None,
        words=OBSERVATORY,
    )
    layers = layers_of(spec.n_layers)
    peaks = {r: p for r, p in spec.peaks.items() if p is not None and spec.planted}
    planted = {r: layers[round(p * (spec.n_layers - 1))].name for r, p in peaks.items()}
    return AnalysisFacts(
        name=spec.name,
        symbol="τ" if spec.animals else "ρ" if rsa else "r",
        dataset=dataset,
        models=models_of(spec),
        options=options_of(spec, rsa).model_dump(mode="json"),
        region_order=tuple(spec.peaks),
        planted=planted,
        planted_model="net" if spec.planted else "",
        planted_layers=layers if spec.planted else (),
        streams=spec.streams,
        **metric_facts(metric_of(spec, rsa)),
    )


def metric_facts(kind):
    """What the entry of a metric gives an analysis; of a package's metric that says nothing of itself, for others."""
    if kind not in METRICS:
        return {"metric": kind, "words": MetricWords(), "compares": False}
    entry = METRICS.get(kind)
    return {"metric": kind, "words": metric_words(entry), "compares": entry.stage == "compare"}


def contrasts_of(spec):
    found = [Contrast(name="trained over random twins", model="net", reference="net@random")] if spec.n_twins else []
    if spec.n_shuffled:
        found.append(Contrast(name="trained over shuffled twins", model="net", reference="net@shuffled"))
    found += [
        Contrast(name=f"{path} over random twins", model="net", reference="net@random", pathway=path)
        for path in spec.pathways
    ]
    if spec.untrained:
        found.append(Contrast(name="net over own-net", model="net", reference="own-net"))
    return tuple(found + [Contrast(name=f"net over {name}", model="net", reference=name) for name in spec.baselines])


def _simulated(folder, spec, rsa):
    """The file of responses simulated from each layer; none for similarities and joint fits."""
    if rsa or spec.animals or spec.spaces:
        return ()
    path = folder / spec.name / "identifiability.nc"
    models = [built(spec, model) for model in models_of(spec)]
    write_identifiability(identifiability(spec, models, np.random.default_rng(spec.seed)), path)
    return (path,)


def synthesise(folder: Path, name, specs, shuffle_seed=None, rsa=False):
    """Write scores, map them, and gather what the page needs."""
    paths, mapped = {}, []
    for spec in specs:
        paths[spec.name] = []
        for number, model in enumerate(models_of(spec)):
            rng = np.random.default_rng([spec.seed, number + 1])
            model = built(spec, model)
            path = folder / spec.name / f"{model.name}.nc"
            make = recordings_scores if spec.animals else geometry_scores if rsa else encoding_scores
            write_scores(make(spec, model, rng), path)
            paths[spec.name].append(path)
        mapped.append(
            AnalysisScores(
                spec.name,
                metric_of(spec, rsa or spec.animals),
                spec.within,
                contrasts_of(spec),
                tuple(spec.peaks),
                tuple(m.name for m in models_of(spec)),
                tuple(paths[spec.name]),
                spec.streams,
                spaces=spec.spaces,
                identifiability=_simulated(folder, spec, rsa),
            )
        )
    inference = Settings()
    tables = build_map(study=name, analyses=mapped, inference=inference)
    facts = StudyFacts(
        name=name,
        title=f"A {name} study",
        question="Which layer predicts which region?",
        simulated=any(s.simulated for s in specs),
        shuffle_seed=shuffle_seed,
        n_bootstrap=200,
        confidence=0.95,
        reliability_floor=0.05,
        min_subjects=8,
        seed=0,
        analyses=tuple(analysis_facts(spec, rsa) for spec in specs),
        command=f"snakemake all --config study={name}",
        map_path=f"data/maps/{name}.nc",
    )
    contents = {spec.name: read_contents(paths[spec.name], ["net"]) for spec in specs}
    return Synthetic(facts, tables, contents)
