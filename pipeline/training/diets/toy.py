"""A toy diet without any download: patches of photographs that come with scikit-image and scikit-learn.

The class of a patch is the photograph that it was cut from: training patches from its left three quarters, test
patches from the rest. Each patch has its own lighting (a gain of every colour, a contrast, a brightness), so that
neither mean grey level nor colour tells classes apart: textures do. Networks learn that in seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.training.diets.entry import OBJECT, SPLITS, DietEntry, LabelSet, PictureOptions, Sample, picture
from pipeline.training.streams import stream

if TYPE_CHECKING:
    import numpy as np

SCIKIT_IMAGE_PHOTOGRAPHS = ("brick", "coins", "grass", "gravel", "immunohistochemistry", "page", "retina")
SCIKIT_LEARN_PHOTOGRAPHS = ("china.jpg", "flower.jpg")
TRAIN_SHARE = 0.75


class ToyOptions(PictureOptions):
    """Patches of photographs."""

    kind: Literal["toy"] = "toy"
    n_train: int = Field(1800, ge=18, le=100_000, description="training patches")
    n_test: int = Field(450, ge=18, le=100_000, description="test patches")
    seed: int = Field(0, ge=0, description="of places and lightings")


class ToyPictures:
    """Patches (y, x, 3) uint8, each drawn from the seed and its own name."""

    classes = (*SCIKIT_IMAGE_PHOTOGRAPHS, *(name.partition(".")[0] for name in SCIKIT_LEARN_PHOTOGRAPHS))

    def __init__(self, options: ToyOptions) -> None:
        self.options = options
        numbers = {"train": options.n_train, "test": options.n_test}
        self.label_sets = {OBJECT: LabelSet(classes=self.classes)}
        self.samples: Sequence[Sample] = [
            picture(f"{split}-{number}", split, number % len(self.classes))
            for split in SPLITS
            for number in range(numbers[split])
        ]

    @cached_property
    def _photographs(self) -> list[np.ndarray]:
        import numpy as np
        import skimage.data
        from sklearn.datasets import load_sample_image

        found = [getattr(skimage.data, name)() for name in SCIKIT_IMAGE_PHOTOGRAPHS]
        found += [load_sample_image(name) for name in SCIKIT_LEARN_PHOTOGRAPHS]
        return [one[..., :3] if one.ndim == 3 else np.repeat(one[..., None], 3, axis=2) for one in found]

    @cached_property
    def digest(self) -> str:
        """Of photographs and options, hex: patches follow from these."""
        contents = hashlib.sha256(self.options.model_dump_json().encode())
        for photograph in self._photographs:
            contents.update(photograph.tobytes())
        return contents.hexdigest()

    def read(self, sample: Sample) -> np.ndarray:
        import numpy as np

        generator = np.random.default_rng(stream(self.options.seed, "toy", sample.name))
        photograph, size = self._photographs[sample.number(OBJECT)], self.options.size_px
        boundary = int(TRAIN_SHARE * photograph.shape[1])
        first, last = (0, boundary - size) if sample.split == "train" else (boundary, photograph.shape[1] - size)
        top = int(generator.integers(0, photograph.shape[0] - size + 1))
        left = int(generator.integers(first, last + 1))
        patch = photograph[top : top + size, left : left + size] / 255.0
        gain, contrast, brightness = generator.uniform(0.6, 1.4, 3), generator.uniform(0.5, 1), generator.uniform(-1, 1)
        lit = (patch - patch.mean()) * contrast * gain + 0.5 + 0.2 * brightness
        return (255 * lit.clip(0, 1)).round().astype(np.uint8)


TOY = DietEntry(
    kind="toy",
    options=ToyOptions,
    open=lambda options, mirror: ToyPictures(options),
    title=lambda options: "patches of photographs of scikit-image and scikit-learn (a toy)",
    licence=lambda options: "public domain, CC0 and CC BY, as scikit-image and scikit-learn state of each",
    citation=lambda options: "van der Walt et al. 2014, PeerJ 2:e453; Pedregosa et al. 2011, JMLR 12:2825",
)
