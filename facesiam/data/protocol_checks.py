"""Refusals of what a dataset cannot be asked for: parts of a .bin, CFP's protocols of others."""

from __future__ import annotations

from typing import get_args

from facesiam.config.trial import Protocol
from facesiam.data.formats.cfp_lists import TEN_FOLD
from facesiam.errors import DataError

PROTOCOLS = (*get_args(Protocol), TEN_FOLD)
"""What a net may be tested on; the last one trains ten nets."""
_INSTEAD = {
    "cfp-pairs": "use protocol: dataset-pairs, or frontal-triplets",
    TEN_FOLD: "`python -m facesiam.verify WEIGHTS --pairs PATH` tests ten folds of a net as it "
    "is, and a search with `fold: k` in its space, k from 1 to 10, trains a net for fold k",
}
"""What to do with other data, by protocol of CFP."""


def check_protocol(protocol: str, format: str, source: str) -> None:
    """Refuse a protocol that a dataset has no parts or pairs for.

    Args:
        protocol: one of ``PROTOCOLS``.
        format: of the dataset.
        source: where it is, for the error.

    Raises:
        DataError: says what can be done instead.
    """
    if format == "bin":
        raise DataError(
            f"{source}: an insightface .bin names no people, so no part could be kept "
            "apart from another: it is to evaluate on; train on data that names its people"
        )
    if protocol in _INSTEAD and format != "cfp":
        raise DataError(
            f"{source}: protocol {protocol} takes CFP's own pairs, and this is {format}; "
            f"{_INSTEAD[protocol]}"
        )
