"""What a resumed search says that it goes on with."""

from __future__ import annotations

import re
from pathlib import Path

from ranked_runs import epoch, trial, write_run

from search.tuning.resumption import told


def test_it_names_what_has_ended_what_goes_on_and_from_where(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r",
        [
            trial("0001", "stopped"),
            trial("0002", "stopped"),
            trial("0003", "interrupted"),
            trial("0004", "pending"),
            trial("0005", "failed"),
        ],
        [
            *(epoch("0003", at, 0.7) for at in range(3)),
            epoch("0005", 0, 0.6),
            epoch("0001", 0, 0.6),
        ],
    )
    said = re.sub(r" \(last noted [0-9: -]+\)", "", told(run, 20))
    planned = trial("0003", "interrupted")["settings"]["epochs"]
    assert said == (
        f"goes on: 2 stopped; 3 go on: 0003 after epoch 3 of {planned}, 0004 from its "
        f"start, 0005 again, it failed, after epoch 1 of {planned}; 15 of 20 not begun"
    )


def test_few_of_many_are_named_and_a_run_without_trials_begins(tmp_path: Path) -> None:
    two = write_run(tmp_path / "t", [trial("0001", "stopped"), trial("0002", "interrupted")], [])
    assert told(two, 2, 1).endswith("; 2 have begun, more than the 1 asked for, so no other does")
    assert told(two, 2, 2).endswith("; 0 of 2 not begun")
    many = write_run(tmp_path / "m", [trial(f"{n:04}", "interrupted") for n in range(9)], [])
    assert "9 go on: " in told(many, None) and told(many, None).endswith("from its start, 3 more")
    none = write_run(tmp_path / "n", [], [])
    assert told(none, 5) == "nothing of it is noted yet: it begins with its first trial"
