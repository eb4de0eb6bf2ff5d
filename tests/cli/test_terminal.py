"""Text that fits the width of a terminal."""

from __future__ import annotations

import pytest

from facesiam.cli.terminal import fitted


@pytest.mark.parametrize("width", range(14, 40))
def test_a_line_ends_at_no_unit(width: int) -> None:
    text = "the best run has 86.0 %, several seeds 84.1 ± 0.7 %"
    lines = fitted(text, width).split("\n")
    assert " ".join(line.strip() for line in lines) == text
    assert all(len(line) <= width for line in lines)
    assert not any(line.endswith("±") or line.strip().startswith(("%", "±")) for line in lines)
