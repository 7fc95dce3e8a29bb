"""What a study says of BOLD: which targets, in which regions, and how responses are cleaned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PlainSerializer, ValidationInfo, field_validator, model_validator

from pipeline.core.section import Name, Section, ToldApart, beside_the_study
from pipeline.recordings.entry import DatasetOptions

Mapping = Annotated[dict[Name, tuple[Name, ...]], ToldApart]
Regions = Literal["auditory", "parcels"] | Mapping
OwnRegions = Literal["parcels"] | Mapping
Strategy = Literal["none", "motion6", "motion24", "motion6+acompcor5"]


def _beside(value: Any, info: ValidationInfo) -> str:
    return str(beside_the_study(str(value), info))


def _name_and_digest(path: str) -> str:
    """Keys and pages follow the contents of a file, not the place where it lies."""
    from pipeline.core.keys import sha256_of_file

    return f"{Path(path).name} (sha256 {sha256_of_file(Path(path))[:10]})"


StudyFile = Annotated[
    str, AfterValidator(_beside), PlainSerializer(_name_and_digest, return_type=str, when_used="json")
]

_ABOUT_REGIONS = (
    "auditory: Destrieux parcels from Heschl's gyrus to prefrontal cortex; parcels: each its own region; or region → "
    "list of parcels. Parcels in no region are left out"
)


class Destrieux(Section):
    """74 parcels per hemisphere by gyri and sulci, on fsaverage5."""

    kind: Literal["destrieux"] = Field("destrieux", description="gyri and sulci (Destrieux et al. 2010)")
    regions: Regions = Field("auditory", description=_ABOUT_REGIONS)


class Schaefer(Section):
    """100 to 1,000 parcels by functional connectivity."""

    kind: Literal["schaefer"] = Field(description="functional parcels (Schaefer et al. 2018)")
    n_parcels: Literal[100, 200, 300, 400, 500, 600, 700, 800, 900, 1000] = Field(
        400, description="in both hemispheres"
    )
    networks: Literal[7, 17] = Field(7, description="networks after which parcels are named")
    space: Literal["surface", "volume"] = Field(
        "surface", description="fsaverage5 (volumes are projected onto it), or MNI voxels for images in MNI space"
    )
    regions: OwnRegions = Field("parcels", description=_ABOUT_REGIONS)


class Glasser(Section):
    """180 parcels per hemisphere by several kinds of MRI, on fsaverage."""

    kind: Literal["glasser"] = Field(description="multi-modal parcels HCP-MMP1.0 (Glasser et al. 2016)")
    regions: OwnRegions = Field("parcels", description=_ABOUT_REGIONS)


class Labels(Section):
    """A user's own parcels: a label image for volumes, or two FreeSurfer annotations for surfaces."""

    kind: Literal["labels"] = Field(description="your own parcels")
    image: StudyFile | None = Field(None, description="NIfTI of whole numbers, 0 outside, in the space of the BOLD")
    names: StudyFile | None = Field(None, description="its .tsv with columns index and name; None names them by number")
    left: StudyFile | None = Field(None, description=".annot of the left hemisphere on an fsaverage mesh")
    right: StudyFile | None = Field(None, description=".annot of the right hemisphere")
    regions: Regions = Field("parcels", description=_ABOUT_REGIONS)

    @model_validator(mode="after")
    def _image_or_annotations(self) -> Labels:
        if (self.image is None) == (self.left is None or self.right is None):
            raise ValueError("give either 'image', or both 'left' and 'right'")
        if self.image is not None and (self.left is not None or self.right is not None):
            raise ValueError("'image' stands beside 'left' or 'right'; remove one of them")
        if self.names is not None and self.image is None:
            raise ValueError("'names' belongs to 'image'; annotations bring their own names")
        return self


class Spheres(Section):
    """Mean over the voxels around coordinates; for volumes."""

    kind: Literal["spheres"] = Field(description="spheres around coordinates")
    coordinates: Annotated[dict[Name, tuple[float, float, float]], ToldApart] = Field(
        min_length=1, description="name → x, y, z in mm, in the space of the BOLD"
    )
    radius_mm: float = Field(6.0, gt=0, allow_inf_nan=False, description="of each sphere")
    regions: OwnRegions = Field("parcels", description="parcels: each sphere its own region; or region → list of names")


Atlas = Annotated[Destrieux | Schaefer | Glasser | Labels, Field(discriminator="kind")]


class Vertices(Section):
    """Each vertex of the mesh that lies in one of an atlas's regions is a target."""

    kind: Literal["vertices"] = Field(description="every vertex of an atlas's regions")
    atlas: Atlas = Field(Destrieux(), description="names the vertices' regions")

    @field_validator("atlas")
    @classmethod
    def _lies_on_a_surface(cls, value: Destrieux | Schaefer | Glasser | Labels) -> Any:
        if is_volumetric(value):
            raise ValueError("vertices need an atlas on a surface: annotations (left, right), or space: surface")
        return value


Parcellation = Annotated[
    Destrieux | Schaefer | Glasser | Labels | Spheres | Vertices,
    Field(discriminator="kind"),
]


def is_volumetric(parcellation: Section) -> bool:
    """Whether targets are made of voxels; all others lie on a surface."""
    if isinstance(parcellation, Schaefer):
        return parcellation.space == "volume"
    return isinstance(parcellation, Spheres) or (isinstance(parcellation, Labels) and parcellation.image is not None)


class BoldOptions(DatasetOptions):
    """Options of every dataset of BOLD images; a dataset's own class adds its fields and narrows ``kind``."""

    parcellation: Parcellation = Field(Destrieux(), description="what the targets are")
    high_pass_s: float = Field(
        128.0, ge=0, allow_inf_nan=False, description="period of the high-pass filter in s, 0 for none"
    )
    confounds: Strategy | tuple[str, ...] = Field(
        "none",
        description="regressed out together with the filter: none, motion6, motion24, motion6+acompcor5, "
        "or columns of the table of confounds",
    )
    trim_s: tuple[float, float] = Field(
        (0.0, 0.0), description="left out at the beginning and at the end of each story, in s"
    )
    slice_reference: float = Field(
        0.5, ge=0, le=1, description="instant within its TR that a volume stands for: 0 its start, 1 its end"
    )
    mesh: Literal["fsaverage5", "fsaverage6"] = Field(
        "fsaverage5", description="vertices kept of surface data: 10,242 or 40,962 per hemisphere"
    )
    average: bool = Field(True, description="add the listeners' mean as subject 'mean'")

    @field_validator("trim_s")
    @classmethod
    def _trims_something(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= seconds < float("inf") for seconds in value):
            raise ValueError(f"{value[0]:g} and {value[1]:g} must be seconds, not below 0")
        return value

    @model_validator(mode="after")
    def _atlas_is_fine_enough(self) -> Self:
        atlas = self.parcellation.atlas if isinstance(self.parcellation, Vertices) else self.parcellation
        if self.mesh == "fsaverage6" and isinstance(atlas, Destrieux | Schaefer):
            raise ValueError(f"mesh is fsaverage6, but the {atlas.kind} atlas is fetched on fsaverage5; take that")
        return self

    @field_validator("confounds")
    @classmethod
    def _names_columns(cls, value: Strategy | tuple[str, ...]) -> Strategy | tuple[str, ...]:
        if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
            raise ValueError("name each column once, or write none")
        return value
