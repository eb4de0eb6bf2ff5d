"""Broken datasets of every format, as users have them, and what is said of each."""

from .archives import ARCHIVES
from .bin_files import BIN
from .cases import FLAWED, NONE, Broken
from .cfp import CFP
from .folders import FOLDERS
from .image_tables import IMAGES
from .lfw import LFW
from .pair_tables import PAIRS
from .pictures import PICTURES

OF_EVERY_KIND = (FOLDERS, PICTURES, ARCHIVES, IMAGES, PAIRS, LFW, BIN, CFP)
ALL: list[Broken] = [case for cases in OF_EVERY_KIND for case in cases.all]

__all__ = ["ALL", "FLAWED", "NONE", "Broken"]
