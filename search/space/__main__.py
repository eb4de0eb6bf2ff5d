"""Command line: ``python -m search.space``."""

import sys

from search.space.model import main

if __name__ == "__main__":
    sys.exit(main())
