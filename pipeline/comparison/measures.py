"""How two similarity matrices over the same items are compared: what each measure takes of their pairs of items.

Every measure but Kendall's τ is the cosine of two vectors made from the pairs. Some take out what the pairs of an item
have in common (`Measure.item_effects`), by regression of the pairs on their two items with ridge penalty λ:

* λ = 2 is whitening. Where every item's pattern has noise of its own, squared distances covary as V = 2·I + B·Bᵀ, with
  B the pairs × items incidence; then V⁻¹ = ½·(I − B·(2·I + Bᵀ·B)⁻¹·Bᵀ), so that only a matrix of items is solved.
* λ = 0 takes additive effects of items out altogether. That is U-centring, and the cosine of two U-centred kernels is
  debiased CKA: the unbiased estimate of HSIC over the root of the product of the kernels' own.

References
----------
Diedrichsen, Berlot, Mur, Schütt, Shahbazi & Kriegeskorte 2021, Neurons, Behavior, Data Analysis, and Theory 5(3)
(whitened measures); Schütt et al. 2023, eLife 12:e82566 (their toolbox, rsatoolbox);
Song, Smola, Gretton, Bedo & Borgwardt 2012, JMLR 13:1393–1434 (unbiased HSIC);
Székely & Rizzo 2014, Annals of Statistics 42:2382–2412 (U-centring);
Kornblith, Norouzi, Lee & Hinton 2019, ICML, PMLR 97:3519–3529 (CKA).
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Measure:
    """One way to compare two matrices.

    Parameters
    ----------
    words : as a sentence names it
    symbol : what a score is written as
    ranked : of ranks instead of values
    distances : of 1 − similarity
    centred : the mean over pairs is taken out
    item_effects : penalty λ of the items' effects that are taken out, see above; None leaves them
    kendall : not a cosine of vectors, but counted, see `pipeline.comparison.kendall`
    """

    words: str
    symbol: str
    ranked: bool = False
    distances: bool = False
    centred: bool = False
    item_effects: float | None = None
    kendall: bool = False

    @property
    def zero_is_chance(self) -> bool:
        """Whether matrices that have nothing to do with each other score 0 on average: distances are all positive."""
        return self.centred or self.item_effects == 0


MEASURES = {
    "spearman": Measure("Spearman's ρ", "ρ", ranked=True, centred=True),
    "kendall": Measure("Kendall's τ-b", "τ", ranked=True, centred=True, kendall=True),
    "pearson": Measure("Pearson's r", "r", centred=True),
    "cosine": Measure("the cosine of the distances 1 − r", "cosine", distances=True),
    "whitened_cosine": Measure(
        "the whitened cosine of the distances 1 − r", "whitened cosine", distances=True, item_effects=2.0
    ),
    "whitened_pearson": Measure(
        "the whitened correlation of the distances 1 − r", "whitened r", distances=True, centred=True, item_effects=2.0
    ),
    "debiased_cka": Measure("debiased CKA", "CKA", item_effects=0.0),
}
"""Name in a study file → how it is computed."""
