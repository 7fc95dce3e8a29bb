"""``python -m pipeline STAGE``: the same as ``layermap STAGE``."""

import sys

from pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
