"""A study of three groups of listeners and three networks with maps of the cortex and a language design, made by hand.

Regions of the study are those of a synthetic one; units are parcels grown around points of the sphere, with depths that
grow with the distance from Heschl's gyrus.
"""

import dataclasses
import functools

import numpy as np
import pandas as pd
from nilearn.datasets import load_fsaverage

from pipeline.artifacts.map import SURFACE_COLUMNS, UNIT_COLUMNS
from pipeline.inference.questions.languages import DOMAIN, LANGUAGE, NO_EXPERIENCE
from pipeline.inference.questions.region_order import ShareOfOrders
from pipeline.report.study_facts import LanguageFacts
from tests.report.synthetic_models import layers_of

LISTENERS = {"EN": "en", "FR": "fr", "CN": "zh"}
MODELS = {"net-en": "en", "net-fr": "fr", "net-zh": "zh"}
HESCHL_MM = {"left": (-42.0, -22.0, 8.0), "right": (44.0, -20.0, 8.0)}
N_LAYERS = 12
ABOVE_Z = -35  # of the inflated surface: what lies lower belongs to no unit
NATIVE = 0.08
EFFECTS = (LANGUAGE, f"{LANGUAGE}: EN", DOMAIN)
CAUTION = NO_EXPERIENCE


@functools.cache
def parcels(n_per_hemisphere):
    """Per hemisphere: number of the parcel of each vertex, −1 for none, and distance of each parcel from Heschl's."""
    rng = np.random.default_rng(0)
    meshes = load_fsaverage("fsaverage5")
    found = {}
    for hemisphere, heschl in HESCHL_MM.items():
        sphere, white, inflated = (
            meshes[kind].parts[hemisphere].coordinates for kind in ("sphere", "white_matter", "inflated")
        )
        if n_per_hemisphere is None:
            number = np.arange(len(sphere))
        else:
            seeds = sphere[rng.choice(len(sphere), n_per_hemisphere, replace=False)]
            number = (sphere @ seeds.T).argmax(axis=1)
            number = np.where(inflated[:, 2] > ABOVE_Z, number, -1)
        start = sphere[np.linalg.norm(white - np.array(heschl), axis=1).argmin()]
        kept = np.unique(number[number >= 0])
        apart = np.array([np.linalg.norm(sphere[number == one].mean(axis=0) - start) for one in kept])
        found[hemisphere] = number, kept, apart / apart.max()
    return found


def surface_table(n_per_hemisphere, analysis="story"):
    rows = []
    for hemisphere, (number, _, _) in parcels(n_per_hemisphere).items():
        painted = np.flatnonzero(number >= 0)
        rows.append(
            pd.DataFrame(
                {
                    "study": "listeners",
                    "analysis": analysis,
                    "mesh": "fsaverage5",
                    "hemisphere": hemisphere,
                    "vertex": painted,
                    "unit": [f"{hemisphere[0]}h-P{one}" for one in number[painted]],
                }
            )
        )
    return pd.concat(rows, ignore_index=True)[list(SURFACE_COLUMNS)]


def unit_table(n_per_hemisphere, models, groups, like):
    """Scores that fall with the distance from Heschl's gyrus, best layers that get deeper, noise far away."""
    rng = np.random.default_rng(1)
    tables = []
    names = [layer.name for layer in layers_of(N_LAYERS)]
    for group in groups:
        for model in models:
            for hemisphere, (_, kept, apart) in parcels(n_per_hemisphere).items():
                own = NATIVE * (LISTENERS.get(group) == MODELS.get(model))
                score = (0.3 + own) * np.exp(-3 * apart**2) - 0.02 + rng.normal(0, 0.01, apart.size)
                layer = np.clip(np.round(1.3 * apart * (N_LAYERS - 1)), 0, N_LAYERS - 1).astype(int)
                q = np.where(score > 0.05, 0.0004, np.where(score > 0.03, 0.02, 0.4))
                layer = layer if not model.startswith("base") else 0 * layer
                tables.append(
                    pd.DataFrame(
                        {
                            **like,
                            "group": group,
                            "model": model,
                            "objective": "baseline" if model.startswith("base") else "supervised",
                            "unit": [f"{hemisphere[0]}h-P{one}" for one in kept],
                            "hemisphere": hemisphere,
                            "region": np.where(apart < 0.2, "Heschl", np.where(apart < 0.5, "STS", "frontal")),
                            "vertex": kept if n_per_hemisphere is None else -1,
                            "score": score,
                            "ci_low": score - 0.03,
                            "ci_high": score + 0.03,
                            "p": q / 2,
                            "p_family": np.minimum(20 * q, 1),
                            "q": q,
                            "n_permutations": 999,
                            "significant": (q < 0.05).astype(int),
                            "best_layer": [names[one] for one in layer],
                            "best_layer_depth": layer / (N_LAYERS - 1),
                        }
                    )
                )
    return pd.concat(tables, ignore_index=True)[list(UNIT_COLUMNS)]


def contrast_rows(like, places):
    rows = []
    for number, place in enumerate([*places, "all regions"]):
        for effect, statement in zip(EFFECTS, ("design of 3 models × 3 groups", "EN only", "domain"), strict=True):
            size = NATIVE * (number % len(places) + 1) if effect.startswith("native") else 0.001
            row = {"contrast": effect, "group": "all", "subject": "all", "region": place, "compartment": ""}
            row |= {"difference": size, "ci_low": size - 0.03, "ci_high": size + 0.03, "n_units": 27, "model": "all"}
            row |= {
                "reference": "all",
                "p": 0.001,
                "p_family": 0.002,
                "q": 0.002,
                "n_references": 1,
                "statement": f"{statement}; {CAUTION}",
            }
            rows.append({**like, **row})
    return pd.DataFrame(rows)


def rank_rows(like, groups, models, rho=0.93):
    as_strong = ShareOfOrders(3, 120)
    row = {"contrast": "depth order: rank correlation of 2 regions", "subject": "all", "compartment": ""}
    row |= {
        "region": "all regions",
        "difference": rho,
        "ci_low": rho - 0.2,
        "ci_high": 1.0,
        "statement": f"order; {as_strong}",
    }
    return pd.DataFrame([{**like, **row, "group": g, "model": m, "reference": m} for g in groups for m in models])


def trilingual(listeners, n_per_hemisphere=75, resynthesised=False):
    """Three groups and three networks with a baseline, from a study of one group and one network."""
    groups, models = list(LISTENERS), list(MODELS)
    tables = {}
    for name in ("row", "summary", "contrast"):
        table = listeners.tables[name]
        table = table[(table["subject"] == "all") & ~table["model"].str.contains("@")]
        if name == "contrast":
            table = table[~table["reference"].str.contains("@")]
        net, others = table[table["model"] == "net"], table[table["model"] != "net"]
        copies = [net.assign(model=model) for model in models]
        if name == "contrast":
            copies = [one.replace({"reference": {"net": one["model"].iloc[0]}}) for one in copies]
        own = pd.concat([*copies, others], ignore_index=True)
        tables[name] = pd.concat([own.assign(group=group) for group in groups], ignore_index=True)
    summary = tables["summary"]
    native = [LISTENERS[g] == MODELS.get(m) for g, m in zip(summary["group"], summary["model"], strict=True)]
    summary.loc[native, ["best_layer_score", "ci_low", "ci_high"]] += NATIVE
    like = {"study": "listeners", "analysis": "story", "metric": summary["metric"].iloc[0]}
    contrasts = tables["contrast"]
    plain = {**contrasts.iloc[0].to_dict(), **like}
    places = list(dict.fromkeys(summary["region"]))
    more = [contrast_rows(plain, places), rank_rows(plain, groups, models)]
    tables["contrast"] = pd.concat([contrasts, *more], ignore_index=True)
    like |= {"subject": "all", "ci_unit": "subject", "n_subjects": 10}
    tables["unit"] = unit_table(n_per_hemisphere, [*models, "word-rate"], groups, like)
    tables["surface"] = surface_table(n_per_hemisphere)
    for name in ("variance", "identifiability", "confusion", "recovery", "calibration"):
        tables[name] = listeners.tables[name].iloc[:0]
    analysis = listeners.facts.analyses[0]
    net = analysis.model("net")
    networks = [dataclasses.replace(net, name=model, base=model, layers=layers_of(N_LAYERS)) for model in models]
    baselines = [model for model in analysis.models if model.role == "baseline"]
    analysis = dataclasses.replace(
        analysis,
        models=(*networks, *baselines),
        languages=LanguageFacts(LISTENERS, MODELS),
        dataset=dataclasses.replace(analysis.dataset, resynthesised=resynthesised),
    )
    facts = dataclasses.replace(listeners.facts, analyses=(analysis,))
    return dataclasses.replace(listeners, facts=facts, tables=tables)
