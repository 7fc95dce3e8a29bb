"""One recording by six metrics, through all stages: regions that follow a network's first and last block."""

import csv
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.study.cli import STAGES, main
from tests.report.test_page import words

pytestmark = pytest.mark.study
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_study"
FOLDS = {"kind": "random_items", "n_folds": 3, "n_inner_folds": 2}
METRICS = {
    "ridge": {"kind": "ridge", "splits": FOLDS},
    "partial-least-squares": {"kind": "pls", "n_components": 4, "splits": FOLDS},
    "rsa-spearman": {"kind": "rsa", "centred": True},
    "rsa-cosine": {"kind": "rsa", "comparison": "cosine", "centred": True},
    "rsa-whitened": {"kind": "rsa", "comparison": "whitened_cosine", "centred": True},
    "cka": {"kind": "cka"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page's words, and (analysis, region) → row of the map's summary."""
    user, work = tmp_path_factory.mktemp("user"), tmp_path_factory.mktemp("work")
    for name in ("my_net.py", "make_files.py", "my_study.yaml"):
        shutil.copy(EXAMPLE / name, user)
    study = yaml.safe_load((user / "my_study.yaml").read_text(encoding="utf-8"))
    cells = study["analyses"]["cells"]
    models = [{"name": "my-net", "reduction": {"kind": "spatial_mean"}}]
    study["analyses"] = {
        name: {"recording": cells["recording"], "models": models, "metric": metric} for name, metric in METRICS.items()
    }
    study["networks"]["my-net"]["layers"] = [{"module": "blocks.*", "select": "state"}]
    study["inference"] = {"n_bootstrap": 100, "permutations": 99, "simulations": 0}
    (user / "my_study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(user)
        patch.chdir(user)
        runpy.run_path("make_files.py")
        sys.modules.pop("my_net")
        patch.chdir(work)
        for stage in STAGES:
            assert main([stage, "--study", str(user / "my_study.yaml"), "--device", "cpu"]) == 0
        with open(f"data/maps/{study['study']}-summary.csv", encoding="utf-8") as stream:
            rows = {(row["analysis"], row["region"]): row for row in csv.DictReader(stream)}
        return words(Path(f"reports/{study['study']}/index.html").read_text(encoding="utf-8")), rows


def test_every_metric_finds_both_regions(made):
    """Cells read z-scored features out. Similarities are of features as they are, and may name a neighbour."""
    _, rows = made
    assert len(rows) == 2 * len(METRICS)
    for (analysis, region), row in rows.items():
        if analysis == "partial-least-squares":  # not fitted to other orders
            assert row["p_family"] == "" and float(row["ci_low"]) > 0
        else:
            assert float(row["p_family"]) < 0.05
        if region == "late" or ("rsa" not in analysis and analysis != "cka"):
            assert row["best_layer"] == {"early": "blocks.0", "late": "blocks.2"}[region]


def test_the_page_says_where_they_agree(made):
    page, rows = made
    _, _, told = page.partition("are behind all of them, so agreement is no replication.")
    assert told.strip().startswith("ridge, partial-least-squares, rsa-spearman, rsa-cosine, rsa-whitened and cka")
    assert "Metrics agree in 1 of 2 (region, network) cells" in told
    others = ("rsa-spearman", "rsa-cosine", "rsa-whitened", "cka")
    assert {rows[name, "early"]["best_layer"] for name in others} == {"blocks.1"}
    assert (
        "They disagree in early, my-net (blocks.0 by ridge and partial-least-squares, blocks.1 by rsa-spearman, "
        "rsa-cosine, rsa-whitened and cka)."
    ) in told
    assert "rsa-cosine: similarity structure (RSA), cosine" in told
    methods = page.partition("Methods, ready to paste")[2]
    assert "the whitened cosine of the distances 1 − r (Diedrichsen et al. 2021;" in methods
    assert "Linear kernels of recordings and layers were compared: responses were averaged" in methods
    assert "debiased CKA (Kornblith et al. 2019: unbiased HSIC, Song et al. 2012, divided by" in methods
