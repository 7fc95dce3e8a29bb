"""How the Allen Institute names its mice."""

from __future__ import annotations

import re


def mouse_of(specimen: str) -> str:
    """``Sst-IRES-Cre;Ai32-387858`` → ``mouse-387858``; names without a number at their end stay as they are."""
    found = re.search(r"-(\d+)$", specimen)
    return f"mouse-{found[1]}" if found else specimen
