"""Command line: ``python -m facesiam.data``."""

import sys

from facesiam.data.dataset import main

if __name__ == "__main__":
    sys.exit(main())
