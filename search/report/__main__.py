"""Command line: ``python -m search.report``."""

import sys

from search.report.page import main

if __name__ == "__main__":
    sys.exit(main())
