"""Regions from primary auditory cortex to prefrontal cortex, in that order."""

from __future__ import annotations

AUDITORY_TO_PREFRONTAL: dict[str, tuple[str, ...]] = {
    "Heschl": ("G_temp_sup-G_T_transv", "S_temporal_transverse"),
    "planum": ("G_temp_sup-Plan_tempo", "G_temp_sup-Plan_polar"),
    "STG": ("G_temp_sup-Lateral",),
    "STS": ("S_temporal_sup",),
    "angular": ("G_pariet_inf-Angular",),
    "IFG": ("G_front_inf-Opercular", "G_front_inf-Triangul", "G_front_inf-Orbital"),
    "prefrontal": ("G_front_middle", "G_front_sup"),
}
"""Region → parcels of Destrieux et al. 2010 (NeuroImage 53:1), as FreeSurfer names them in ``aparc.a2009s``."""

OUTSIDE = frozenset(
    {"unknown", "medial_wall", "medialwall", "???", "background", "background+freesurfer_defined_medial_wall"}
)
"""Labels, in small letters, that are no cortex."""
