"""How scripts/check_halving.py plays a table, and chooses settings without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import script

from search.pruning import halving
from search.pruning.contests import Asked, read
from search.pruning.simulator import Orders, simulate

check = script("check_halving")
Played, Settings = check.Played, check.Settings


def test_settings_are_chosen_on_the_other_tables_within_what_they_may_spend() -> None:
    first, second, dear = (Settings(0.1, 2.0, growth) for growth in (1.4, 1.6, 2.0))
    found = {
        first: {"a": Played(9, 10, 0.2), "b": Played(10, 10, 0.2)},
        second: {"a": Played(10, 10, 0.3), "b": Played(9, 10, 0.2)},
        dear: {"a": Played(10, 10, 0.4), "b": Played(10, 10, 0.1)},
    }
    assert check.chosen(found, "b", 0.3) == second
    assert check.chosen(found, "a", 0.3) == dear  # as many kept as the first, for less
    assert check.chosen(found, "b", 0.1) == second  # none may spend that little
    assert check.together([*found[first].values()]) == Played(19, 20, 0.2)


@pytest.mark.parametrize(("growth", "epochs"), [(1.6, 21), (2.0, 22)])
def test_searches_of_a_table_spend_the_epochs_of_their_rungs(
    tmp_path: Path, growth: float, epochs: int
) -> None:
    """Four trials of 10 epochs, rungs after 3, 5 and 8 or 3 and 6: 4 · 3 + 2 · 2 + 5, 4 · 3 + 2 · 3 + 4."""
    rows = [f"t{n},{epoch},{n}" for n in range(4) for epoch in range(10)]
    (tmp_path / "epochs.csv").write_text("\n".join(["trial,epoch,score", *rows]))
    (contest,) = read(tmp_path, None, Asked("score"))
    found = check.play(contest, Settings(0.3, 2.0, growth), Orders(1, 5), 0.0)
    assert found == Played(5, 5, epochs / 40)
    assert check.DEFAULTS.growth == halving.GROWTH


def test_the_growth_is_of_the_searches_played_and_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it set for the module, whatever ran beside it would have rungs that nobody asked for."""
    rows = [f"t{n},{epoch},{n}" for n in range(4) for epoch in range(10)]
    (tmp_path / "epochs.csv").write_text("\n".join(["trial,epoch,score", *rows]))
    (contest,) = read(tmp_path, None, Asked("score"))
    seen = []

    def watched(*played: Any) -> Any:
        seen.append(halving.GROWTH)
        return simulate(*played)

    monkeypatch.setattr(check, "simulate", watched)
    check.play(contest, Settings(0.3, 2.0, 2.0), Orders(1, 2), 0.0)
    assert seen == [1.6, 1.6]


def test_each_table_is_left_out_in_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constant curves of four trials: whatever the settings, the best is kept."""
    for name in ("GRACES", "FACTORS", "GROWTHS"):
        monkeypatch.setattr(check, name, (getattr(check.DEFAULTS, name[:-1].lower()),))
    rows = [f"t{n},{epoch},{n}" for n in range(4) for epoch in range(10)]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "epochs.csv").write_text("\n".join(["trial,epoch,score", *rows]))

    def run(folder: Path, draw: int) -> int:
        asked = ["--curves", str(folder), "--metric", "score", "--draw", str(draw)]
        monkeypatch.setattr("sys.argv", ["check_halving.py", *asked, "--searches", "2"])
        return int(check.main())

    assert run(tmp_path, 4) == 0
    out = capsys.readouterr().out
    assert "one left out: {'grace': 0.14," in out and "two left out" in out
    assert "of 1 combinations: kept 100.0 [51.0, 100.0] %" in out
    assert run(tmp_path, 5) == 2
    assert "--draw 5: one has 4 runs" in capsys.readouterr().err
    assert run(tmp_path / "one", 4) == 2
    assert "one: holds one table of curves; to leave one out takes two" in capsys.readouterr().err
