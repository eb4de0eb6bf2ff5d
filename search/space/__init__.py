"""What to search: a YAML file as a SearchSpace.

No torch, Ray, Optuna, pandas or numpy: a mistake in a file is told before any of them is imported.
"""

from search.space.errors import SpaceError
from search.space.file_format import load
from search.space.mapping import from_mapping
from search.space.model import SearchSpace

__all__ = ["SearchSpace", "SpaceError", "from_mapping", "load"]
