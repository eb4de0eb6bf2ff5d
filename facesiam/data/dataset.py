"""A packed dataset: its pixels, mapped from disk, and the frozen pairs of each protocol.

The driver calls ``preparation.prepare``, which packs what is not packed yet; workers call
``open_packed``, which only maps. All processes of a machine share one copy of the pixels, that of
the page cache.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from facesiam import files
from facesiam.config import TrialConfig
from facesiam.config.trial import Packing, Part, Protocol
from facesiam.data import drawing
from facesiam.data.listing import distinct
from facesiam.data.protocol_checks import check_protocol
from facesiam.data.split import folds_of, in_two_parts, part_numbers
from facesiam.data.stamps import parted
from facesiam.errors import DataError, MissingFileError, counted

INDEX = "index-4.npz"
"""The number is incremented whenever the index holds something else."""
Fetch = Callable[[Path], NDArray[np.uint8]]


@dataclass(frozen=True)
class Pairs:
    """The pairs of one part of one protocol, as indices into the packed images."""

    left: NDArray[np.int64]
    """(P,) one image of each pair."""
    right: NDArray[np.int64]
    """(P,) the other."""
    label: NDArray[np.int64]
    """(P,) 0: the same person, 1: different people."""
    triplets: NDArray[np.int64] | None
    """(T, 3) anchor, positive, negative, where the protocol has them. Then P = 2T: first the T
    pairs of anchor and positive, then the T of anchor and negative."""


class FaceData:
    """A packed dataset of N images, in the order of its reader (``formats``).

    Args:
        folder: the packed folder, ``cache/<key>``.
        source: what the user gave; by default what the folder was first packed from.
        fetch: returns a file that this machine does not see: its array, or the bytes of another
            file than an array, (n,) uint8.
        notes: what a user should know of the data, a sentence each, where it was read.

    Raises:
        DataError: there is no packed dataset in ``folder``.
    """

    def __init__(
        self,
        folder: Path,
        source: str | None = None,
        fetch: Fetch | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.folder = folder.absolute()
        self.key = self.folder.name
        self.notes = notes
        self._fetch = fetch
        self._opened: dict[Path, NDArray[np.uint8]] = {}
        try:
            file = self.folder / INDEX
            content = (
                fetch(file).tobytes() if fetch and not file.exists() else files.read_bytes(file)
            )
            with np.load(io.BytesIO(content), allow_pickle=False) as index:
                self.person: NDArray[np.int64] = index["person"]
                self.frontal: NDArray[np.bool_] = index["frontal"]
                self.fold: NDArray[np.int64] = index["fold"]
                self.format = str(index["format"])
                self.names: list[str] = parted(index["names"])
                self._people: list[str] = parted(index["people"])
                self.source = source or str(index["source"])
                self._pairs: NDArray[np.int64] = index["pairs"]
                self.content: NDArray[np.int64] = index["content"]
                self._made: dict[tuple[str, Part, int, int, int], Pairs] = {}
        except (FileNotFoundError, MissingFileError) as error:
            raise DataError(
                f"{folder}: no packed data here ({error}); a worker needs the driver's cache "
                "folder under the same path: share it, and set FACESIAM_CACHE to it"
            ) from None
        except files.DAMAGED as error:
            raise DataError(
                f"{self.folder / INDEX}: is damaged ({error}); the next start with this data "
                "makes it anew"
            ) from None

    def pixels(self, packing: Packing) -> NDArray[np.uint8]:
        """Return the images, mapped read-only within milliseconds: (N, S, S, 3) uint8 RGB.

        Raises:
            DataError: they have not been packed so.
        """
        file = self.folder / packing.file
        try:
            array = self._open(file)
        except FileNotFoundError as error:
            raise DataError(f"{file}: not packed ({error}); prepare() packs it") from None
        except files.DAMAGED as error:
            raise DataError(
                f"{file}: is damaged ({error}); the next start with this data packs it anew"
            ) from None
        expected = (len(self.person), packing.side, packing.side, 3)
        if array.shape != expected or array.dtype != np.uint8:
            raise DataError(
                f"{file}: has shape {array.shape}; the next start with this data packs it anew"
            )
        return array

    def pairs(
        self, protocol: Protocol, part: Part, *, people: int = 0, seed: int = 0, fold: int = 0
    ) -> Pairs:
        """Return the frozen pairs of a part, which depend on nothing but the arguments.

        Args:
            protocol: ``dataset-pairs`` takes the pairs that the dataset lists, or draws as many
                of one person as of two where it lists none (``drawing``); people are split by
                ``split``. ``cfp-pairs`` takes the official FF and FP pairs of CFP's splits 01-06
                (train), 07-08 (val), 09-10 (test). ``frontal-triplets`` draws for each frontal
                image another one of the person and one of another person of the part; CFP's sorted
                people are cut at 60 % and 80 % for it. Images of unknown view count as frontal.
                Images whose only companions are byte-identical copies of themselves get no
                triplet.
            part: no identity is in two of them.
            people: keep only the first so many people of the part, in order of number; 0 or more
                than there are: everyone.
            seed: of what is drawn.
            fold: 0, or the fold whose people test; see ``split.folds_of``.

        Raises:
            DataError: no pair of the same person, or none of different people, is left; or the
                protocol is not one of this data.
        """
        key = (protocol, part, people, seed, fold)
        if key not in self._made:
            if len(self._made) >= 8:  # a search over pair_seed in a worker that is reused
                self._made.clear()
            self._made[key] = self._checked(protocol, part, people, seed, fold)
        return self._made[key]

    def pairs_of(self, config: TrialConfig, part: Part) -> Pairs:
        """Return the pairs of a part under a trial's settings, as ``pairs``."""
        return self.pairs(
            config.protocol, part, people=config.people, seed=config.pair_seed, fold=config.fold
        )

    def official(self, kind: int, fold: int) -> Pairs:
        """Return the official pairs of one kind, 0 FF or 1 FP, of one split, 1 to 10."""
        rows = self._pairs[(self._pairs[:, 0] == kind) & (self._pairs[:, 1] == fold)]
        left, right, label = rows[:, 2:].T.copy()
        return Pairs(left, right, label, None)

    def name_of(self, person: int) -> str:
        """Return the name of a person, given by number."""
        return self._people[person] if self._people else str(person)

    def distinct(self, pairs: Pairs) -> NDArray[np.int64]:
        """Return a number for each pair, (P,), the same for the same two pictures in any order."""
        return distinct(pairs.left, pairs.right, self.content)

    def images_of(self, pairs: Pairs, views: str) -> NDArray[np.int64]:
        """Return the images in a pair (`protocol`), or all images of the pairs' people (`all`)."""
        used = np.unique(np.concatenate([pairs.left, pairs.right]))
        if views == "protocol":
            return used
        return np.flatnonzero(np.isin(self.person, np.unique(self.person[used])))

    def _open(self, file: Path) -> NDArray[np.uint8]:
        """Return an array, mapped or fetched into shared memory, once a machine.

        It is the same object each time, by which the copy on a GPU is recognised.
        """
        if file not in self._opened:
            if self._fetch and not file.exists():
                self._opened[file] = self._fetch(file)
            else:
                self._opened[file] = np.load(file, mmap_mode="r", allow_pickle=False)
        return self._opened[file]

    def _checked(self, protocol: Protocol, part: Part, people: int, seed: int, fold: int) -> Pairs:
        check_protocol(protocol, self.format, self.source)
        if fold and self.format != "cfp":  # of CFP's see ``duplicates``
            self._refuse_copies(fold)
        make = {
            "cfp-pairs": self._listed,
            "dataset-pairs": self._listed if len(self._pairs) else self._drawn,
            "frontal-triplets": self._triplets,
        }[protocol]
        pairs = make(part, people, seed, fold)
        for label, what in enumerate(("the same person", "different people")):
            if not (pairs.label == label).any():
                limit = f"people: {people} leaves" if people else "there is"
                raise DataError(
                    f"{self.source}: {limit} no pair of {what} in the {part} part of {protocol}; "
                    + ("use more people" if people else "it cannot be trained on")
                )
        return pairs

    def _refuse_copies(self, fold: int) -> None:
        """Refuse a fold whose parts share an image, which two folds of one part may do."""
        copies = in_two_parts(part_numbers(self.fold, fold), self.content)
        if len(copies):
            one, other = (self.names[at] for at in copies[0].tolist())
            raise DataError(
                f"{self.source}: fold: {fold} puts {one} and {other} into two parts, and they are "
                f"byte-identical ({counted(len(copies), 'such pair')}); remove one, or use fold: 0"
            )

    def _listed(self, part: Part, people: int, seed: int, fold: int) -> Pairs:
        folds = folds_of(part, fold)
        chosen = np.isin(self._pairs[:, 1], folds)
        if self.format != "cfp":  # the two people may be in two folds of one part
            chosen &= np.isin(self.fold[self._pairs[:, 2:4]], folds).all(axis=1)
        pairs = self._pairs[chosen]
        who = self.person[pairs[:, 2:4]]
        if people:
            pairs = pairs[np.isin(who, np.unique(who)[:people]).all(axis=1)]
        left, right, label = pairs[:, 2:].T.copy()
        return Pairs(left, right, label, None)

    def _drawn(self, part: Part, people: int, seed: int, fold: int) -> Pairs:
        images = np.flatnonzero(np.isin(self.person, self._people_of(part, people, fold)))
        wanted = drawing.number_of_pairs(len(images), part)
        left, right, label = drawing.draw_pairs(
            images, self.person, self.content, wanted, drawing.generator(seed, part)
        )
        return Pairs(left, right, label, None)

    def _people_of(self, part: Part, people: int, fold: int) -> NDArray[np.int64]:
        """Return the numbers of a part's people, sorted; `people` limits them."""
        chosen = np.unique(self.person[np.isin(self.fold, folds_of(part, fold))])
        return chosen[:people] if people else chosen

    def _triplets(self, part: Part, people: int, seed: int, fold: int) -> Pairs:
        if self.format == "cfp" and not fold:  # who would otherwise be in another part
            everyone = np.unique(self.person[self.frontal])
            cuts = [0, len(everyone) * 6 // 10, len(everyone) * 8 // 10, len(everyone)]
            number = get_args(Part).index(part)
            chosen = everyone[cuts[number] : cuts[number + 1]]
            chosen = chosen[:people] if people else chosen
        else:
            chosen = self._people_of(part, people, fold)
        images = np.flatnonzero(self.frontal & np.isin(self.person, chosen))
        rng = drawing.generator(seed, part)
        triplets = drawing.draw_triplets(images, self.person, self.content, rng)
        anchor, positive, negative = triplets.T
        return Pairs(
            left=np.concatenate([anchor, anchor]),
            right=np.concatenate([positive, negative]),
            label=np.repeat(np.array([0, 1]), len(triplets)),
            triplets=triplets,
        )


def open_packed(folder: str | Path, fetch: Fetch | None = None) -> FaceData:
    """Return the dataset in a packed folder, opened once a process. For workers: never packs.

    Raises:
        DataError: there is no packed dataset in ``folder``.
    """
    folder = Path(folder)
    if folder not in _open:
        if len(_open) >= 2:
            _open.clear()
        _open[folder] = FaceData(folder, fetch=fetch)
    return _open[folder]


_open: dict[Path, FaceData] = {}


def cache_root() -> Path:
    """Return the folder of packed, drawn and downloaded data: $FACESIAM_CACHE or the default."""
    return Path(os.environ.get("FACESIAM_CACHE") or Path.home() / ".cache" / "facesiam")
