"""``python -m pipeline STAGE``: the same as ``layermap STAGE``."""

import sys

# `python -m` puts the working folder before everything: a file numpy.py there would be run in place of the library,
# and a package there could announce datasets of its own
if not sys.flags.safe_path:
    sys.path.pop(0)

from pipeline.study.cli import main

if __name__ == "__main__":
    sys.exit(main())
