"""The networks that are trained: those of the project by name, or a torch module of the user's own.

A network is a module that turns standardised samples, pictures (n, 3, y, x), clips (n, 3, frames, y, x) or sounds
(n, samples), into features (n, n_features), and names its layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from pipeline.core.errors import LayermapError, in_one_line
from pipeline.core.registry import import_object
from pipeline.core.section import OwnFunction, Section
from pipeline.models.hub.own_factory import check_arguments, import_factory
from pipeline.models.networks.trainable import address_of, arguments_of
from pipeline.models.networks.two_pathway_module import ClipEncoder
from pipeline.models.torch.hooks import Tap, match_modules
from pipeline.training.diets.entry import Modality, SampleForm
from pipeline.training.streams import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

TAKES: dict[str, Modality] = {
    "small_conv": "pictures",
    "small_vit": "pictures",
    "two_pathway": "clips",
    "one_pathway": "clips",
    "recurrent_conv": "clips",
}
"""Kind → what it is shown; networks of one's own are shown whatever the diet has."""


class SmallConvSection(Section):
    """Seven convolutional layers; see `pipeline.models.networks.small_conv_module`."""

    kind: Literal["small_conv"] = "small_conv"
    width: int = Field(32, ge=4, description="channels of the first layer; the last has eight times as many")


class SmallViTSection(Section):
    """A vision transformer; see `pipeline.models.networks.small_vit_module`."""

    kind: Literal["small_vit"] = "small_vit"
    patch_px: int = Field(4, ge=1, description="of the square patches; the pictures' size is a multiple of it")
    n_features: int = Field(96, ge=8, description="of each token; a multiple of 4 and of n_heads")
    n_blocks: int = Field(6, ge=1, description="one after another")
    n_heads: int = Field(3, ge=1, description="of each block's attention")


class TwoPathwaySection(Section):
    """Two pathways of ten residual blocks on one stem; see `pipeline.models.networks.two_pathway_module`."""

    kind: Literal["two_pathway"] = "two_pathway"
    width: int = Field(32, ge=2, multiple_of=2, description="kernels of the stem; 32 in the published network")


class OnePathwaySection(Section):
    """One pathway that is as wide as two together; see `pipeline.models.networks.two_pathway_module`."""

    kind: Literal["one_pathway"] = "one_pathway"
    width: int = Field(32, ge=2, multiple_of=2, description="as of the two pathways that it is compared with")


class RecurrentConvSection(Section):
    """Lateral and top-down connections in time; see `pipeline.models.networks.recurrent_conv_module`."""

    kind: Literal["recurrent_conv"] = "recurrent_conv"
    width: int = Field(32, ge=2, description="channels of every layer")
    recurrent: bool = Field(True, description="false: the feed-forward twin of equal parameters")


class OwnSection(Section):
    """A network of the user's own."""

    kind: Literal["own"] = "own"
    factory: OwnFunction = Field(
        description="FILE.py:function beside the recipe, or package.module:function as in a study; makes a "
        "torch.nn.Module that turns pictures (n, 3, y, x), clips (n, 3, frames, y, x) or sounds (n, samples) into "
        "features (n, n_features)"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="given to the function by name")
    layers: tuple[str, ...] = Field(
        min_length=1, description="modules that are layers, as names or patterns (blocks.*), in order of depth"
    )


NetworkSection = Annotated[
    SmallConvSection | SmallViTSection | TwoPathwaySection | OnePathwaySection | RecurrentConvSection | OwnSection,
    Field(discriminator="kind"),
]


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A network as initialised.

    Parameters
    ----------
    taps : layer → where its values are taken, in order of depth
    n_features : of the module's output
    pathways : layer → its pathway, of networks that have some
    """

    module: nn.Module
    taps: Mapping[str, Tap]
    n_features: int
    pathways: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def n_parameters(self) -> int:
        return sum(weights.numel() for weights in self.module.parameters())


def make_encoder(section: NetworkSection, form: SampleForm, seed: int) -> Encoder:
    """The network, its weights drawn from the seed and nothing else.

    Raises
    ------
    LayermapError
        Its options do not fit the samples, the user's function fails, or its output is no matrix of features.
    """
    what = f"network {section.kind}"
    if isinstance(section, OwnSection):
        check_arguments(section.factory, section.arguments)
        what = f"network {section.factory}"
        module = seeded(lambda: import_factory(section.factory)(**section.arguments), what, seed, "encoder")
        if not isinstance(module, nn.Module):
            raise LayermapError(f"{what} gave a {type(module).__name__}, expected a torch.nn.Module")
        names = [name for pattern in section.layers for name in match_modules(module, [pattern], what)]
        taps = {name: Tap(name) for name in dict.fromkeys(names)}
    else:
        if isinstance(section, SmallViTSection):
            _check_vit(section, form.size_px)
        told = section.model_dump()
        make, arguments = import_object(address_of(told)), arguments_of(told, form.size_px)
        module = seeded(lambda: make(**arguments), what, seed, "encoder")
        taps = module.taps()
    module.requires_grad_(True)
    pathways = module.pathways() if isinstance(module, ClipEncoder) else {}
    return Encoder(module, taps, _n_features(module, form, what), pathways)


def seeded(make: Callable[[], Any], what: str, seed: int, part: str) -> Any:
    """What a function makes while torch's generator stands at a seed; what it raises in one line."""
    with in_one_line(f"{what} failed"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, part))
        return make()


def _check_vit(section: SmallViTSection, size_px: int) -> None:
    if size_px % section.patch_px:
        raise LayermapError(
            f"network small_vit: pictures of {size_px} px cannot be cut into patches of {section.patch_px} px; change "
            "patch_px, or size_px of the diet"
        )
    if section.n_features % 4 or section.n_features % section.n_heads:
        raise LayermapError(
            f"network small_vit: n_features {section.n_features} is no multiple of 4 and of n_heads {section.n_heads}"
        )


def _n_features(module: nn.Module, form: SampleForm, what: str) -> int:
    module.eval()
    shown = torch.zeros(2, *form.shown_shape)
    with in_one_line(f"{what} cannot take {form.modality} {tuple(shown.shape)}"), torch.no_grad():
        features = module(shown)
    if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != 2:
        shape: Sequence[int] | str = tuple(features.shape) if isinstance(features, torch.Tensor) else "no tensor"
        raise LayermapError(f"{what} gave {shape} for two {form.modality}, expected a tensor (2, n_features)")
    return int(features.shape[1])
