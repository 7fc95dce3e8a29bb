"""The section ``networks`` of a study file: networks beside those of the registry, or shown differently."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator, model_validator

from pipeline.core.section import CellText, OwnFunction, Section, beside_the_study

SOURCES = ("base", "hub", "checkpoint", "family", "factory")
CHECKPOINT_FILES = ("config.json", "model.safetensors")
OF_FACTORIES = ("layers", "weights", "arguments", "modality", "input")
OF_FAMILIES = ("config",)
SHOWN = {
    *("size_px", "mean", "sd"),
    *("n_frames", "frame_interval_s", "time_axis"),
    *("sampling_rate_hz", "window_s", "stride_s", "standardise", "rms", "look_ahead_s"),
    *("window_tokens", "stride_tokens"),
}
"""The fields that say how stimuli are shown."""


class LayerSpec(Section):
    """One layer of a network of one's own."""

    module: str = Field(description="name of a module, or a pattern: blocks.* is every block; '' is the whole network")
    name: CellText = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="what the layer is called; by default the module's name, or output",
    )
    side: Literal["output", "input"] = Field("output", description="of the module")
    select: str | None = Field(None, description="which part of a tuple or dict, as a dotted path: 0, features.1")
    tokens: bool = Field(False, description="values are (n, position, feature), not (n, feature, position …)")
    n_prefix: int = Field(0, ge=0, description="leading positions that pooling leaves out (class tokens)")

    @model_validator(mode="after")
    def _named(self) -> LayerSpec:
        if self.name and "*" in self.module:
            raise ValueError(f"name '{self.name}' cannot be that of every module that fits '{self.module}'; remove it")
        return self


class NetworkSection(Section):
    """A network of the study's own. Exactly one of base, hub, checkpoint, family and factory says what it is."""

    base: str | None = Field(None, description="a network of the registry, shown differently")
    hub: str | None = Field(None, description="a name on the Hugging Face hub, e.g. facebook/dinov2-small")
    checkpoint: str | None = Field(
        None, description="folder with a network of a Hugging Face family, as save_pretrained leaves it"
    )
    family: str | None = Field(None, description="an untrained network of a Hugging Face family, e.g. vit")
    factory: OwnFunction | None = Field(
        None,
        description="FILE.py:function (relative to the study file) or package.module:function making a torch module",
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="configuration of an untrained network of a family"
    )
    seed: int = Field(0, ge=0, description="of the initial weights of a network with family or factory")
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    weights: str | None = Field(
        None, description="local checkpoint for the factory's module: safetensors or plain tensors"
    )
    modality: Literal["images", "movie", "audio"] | None = Field(
        None, description="what the factory's network is shown"
    )
    layers: tuple[LayerSpec, ...] = Field((), description="modules that are its layers, in order of depth")
    input: str = Field("", description="name of the network's argument; by default its first")
    objective: Literal["self-supervised", "supervised", "random"] | None = Field(None, description="how it was trained")
    title: str | None = Field(None, description="for the report")
    citation: str | None = Field(None, description="for the report")
    licence: str | None = Field(None, description="for the report")

    size_px: int | None = Field(None, ge=1, description="side of the square that pictures are brought to")
    mean: tuple[float, float, float] | None = Field(None, description="per colour, of values from 0 to 1")
    sd: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None, description="per colour, of values from 0 to 1"
    )
    n_frames: int | None = Field(None, ge=1, description="frames per clip, for networks that take video")
    frame_interval_s: float | None = Field(None, gt=0, description="between a clip's frames")
    time_axis: Literal[1, 2] | None = Field(None, description="1: (n, time, colour, y, x); 2: (n, colour, time, y, x)")
    sampling_rate_hz: int | None = Field(None, ge=1, description="of sound")
    window_s: float | None = Field(
        None, gt=0, description="longest sound that a sample sees: all of it past, but for look_ahead_s"
    )
    stride_s: float | None = Field(None, gt=0, description="between samples of sound")
    standardise: bool | None = Field(None, description="each window of sound to mean 0 and SD 1")
    rms: float | None = Field(None, gt=0, description="level that sound is brought to")
    look_ahead_s: float | None = Field(
        None, ge=0, description="how much sound beyond its own time a sample sees, for speech networks; by default 0"
    )
    window_tokens: int | None = Field(None, ge=2, description="longest past of a word, in sub-tokens")
    stride_tokens: int | None = Field(None, ge=1, description="by which windows of words advance")

    @field_validator("layers", mode="before")
    @classmethod
    def _names_are_modules(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [{"module": one} if isinstance(one, str) else one for one in value]
        return value

    @field_validator("checkpoint")
    @classmethod
    def _checkpoint_is_beside_the_study(cls, value: str | None, info: ValidationInfo) -> str | None:
        """A folder with the two files that every checkpoint has, made absolute."""
        if value is None:
            return None
        files = [beside_the_study(f"{value}/{name}", info) for name in CHECKPOINT_FILES]
        return str(files[0].parent)

    @field_validator("weights")
    @classmethod
    def _weights_are_beside_the_study(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else str(beside_the_study(value, info))

    @model_validator(mode="after")
    def _one_kind(self) -> NetworkSection:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(SOURCES)} (got {', '.join(given) or 'none'})")
        if "seed" in self.model_fields_set and given[0] not in ("family", "factory"):
            raise ValueError("seed is for networks with family or factory only; remove it")
        for source, names in (("factory", OF_FACTORIES), ("family", OF_FAMILIES)):
            unread = sorted(self.model_fields_set.intersection(names))
            if unread and getattr(self, source) is None:
                raise ValueError(f"{', '.join(unread)} is for networks with {source} only; remove it")
        if self.factory is not None:
            missing = [name for name in ("modality", "layers") if not getattr(self, name)]
            if missing:
                raise ValueError(f"a network with factory needs {' and '.join(missing)}")
            called = [one.name or one.module for one in self.layers]
            twice = next((name for name in called if called.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"two layers are called '{twice}'; give one another name")
        return self

    @property
    def shown(self) -> dict[str, Any]:
        """What the study says of how stimuli are shown."""
        return self.model_dump(mode="json", include=SHOWN, exclude_none=True)
