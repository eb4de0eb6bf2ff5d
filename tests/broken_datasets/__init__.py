"""Broken datasets of every format, as users have them, and what is said of each."""

from .archives import ARCHIVES
from .cases import FLAWED, NONE, Broken
from .cfp import CFP
from .folders import FOLDERS
from .image_tables import IMAGES
from .pictures import PICTURES

ALL: list[Broken] = [
    case for cases in (FOLDERS, PICTURES, ARCHIVES, IMAGES, CFP) for case in cases.all
]

__all__ = ["ALL", "FLAWED", "NONE", "Broken"]
