"""The command search.replay: its table, its files, and what it says of wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import REFERENCE, SPACES
from ranked_runs import three_trials

from search.analysis import ranked_trials
from search.pruning.comparison import PolicyResult
from search.pruning.recorded_runs import SHIPPED
from search.replay import main

CODE2 = SPACES / "code2.yaml"


def test_the_command_prints_a_table_and_writes_json_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_file, figure = tmp_path / "r.json", tmp_path / "r.png"
    options = ["--orders", "3", "--json", str(json_file), "--figure", str(figure)]
    assert main([str(CODE2), *options]) == 0
    out = capsys.readouterr().out
    assert "cfp-pairs, 2800 validation pairs: 6 runs, 348 epochs, best val_acc 82.7 % (6)" in out
    assert "frontal-triplets, 2000 validation pairs: 12 runs, 720 epochs" in out
    written = json.loads(json_file.read_text())
    assert written["orders"] == 3 and len(written["contests"]) == 2
    ours = written["contests"][1]["policies"][-1]
    assert ours["policy"] == "halving and rules" and f"{100 * ours['epochs']:.1f}" in out
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([str(CODE2), "--orders", "2"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert max(map(len, lines)) <= width
    heads = [line for line in lines if line.startswith("policy ")]
    # Two contests, each in two parts or three where the terminal is narrow.
    assert len(heads) in ((4, 5) if width == 80 else (2,))
    assert any("runs stopped by" in head for head in heads)


def test_runs_are_stretched_by_a_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    schedule = ["--schedule", "cosine", "--warmup", "0.1"]
    assert main([str(CODE2), "--orders", "2", *schedule]) == 0
    out = capsys.readouterr().out
    assert "cfp-pairs, 2800 validation pairs: 6 runs, 348 epochs, best val_acc" in out
    assert "all runs as if with schedule cosine, warmup 0.1," in " ".join(out.split())
    run = str(REFERENCE / "cpu-ablation")
    assert main(["cpu", "--curves", run, "--orders", "2", *schedule]) == 2
    assert "are for runs of a constant learning rate" in capsys.readouterr().err


def test_epochs_of_the_space_cap_the_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CODE2), "--orders", "2", "--set", "epochs=10"]) == 0
    assert "6 runs, 60 epochs" in capsys.readouterr().out


def test_a_whole_k_has_no_decimals() -> None:
    labels = [
        PolicyResult("one epoch, then top k", *[0.0] * 8, stopped={}, false_stops={}, top=k).label
        for k in (6.0, 6.26)
    ]
    assert labels == ["one epoch, then top 6", "one epoch, then top 6.3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spaces/none.yaml"], "spaces/none.yaml"),
        ([str(CODE2), "--curves", "/none"], "/none: no such folder of recorded curves"),
        ([str(CODE2), "--chance", "50"], "--chance 50: val_acc is a share from 0 to 1, got 50"),
        ([str(CODE2), "--set", "epoch=3"], "did you mean epochs?"),
        ([str(CODE2), "--figure", "replay.xyz"], "--figure replay.xyz: must end in .png"),
        ([str(CODE2), "--figure", "/none/r.png"], "--figure /none/r.png: cannot be written"),
        ([str(CODE2), "--json", "/"], "--json /: is a folder"),
        (
            [str(CODE2), "--set", "epochs=10", "--late", "10"],
            "--late 10: must be below the 10 epochs of the longest trial",
        ),
    ],
)
def test_wrong_input_is_told_in_a_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_a_run_folder_is_as_good_as_a_folder_of_csvs(capsys: pytest.CaptureFixture[str]) -> None:
    reference = REFERENCE / "code2-rows-AJK"
    assert main([str(CODE2), "--curves", str(reference), "--orders", "2"]) == 0
    assert "3 runs, 12 epochs, best val_acc 73.5 % (A)" in capsys.readouterr().out


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of three trials with seven epochs, and the tables that a search leaves beside it."""
    run = three_trials(tmp_path)
    ranked_trials.write(run)
    assert {"epochs.csv", "epochs.parquet", "trials.csv"} <= {file.name for file in run.iterdir()}
    return run


def test_a_run_is_replayed_from_its_journal(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = str(run_folder / "space.yaml")
    assert main([space, "--curves", str(run_folder), "--orders", "2", "--peers"]) == 0
    # The export may be behind: the journal's best score is 0.82.
    lines = (run_folder / "epochs.jsonl").read_text().replace("0.82", "0.83")
    (run_folder / "epochs.jsonl").write_text(lines)
    assert main([space, "--curves", str(run_folder), "--orders", "2"]) == 0
    before, after = capsys.readouterr().out.split("orders of arrival")[:2]
    start = "frontal-triplets, 2000 validation pairs: 3 runs, 7 epochs, best val_acc"
    assert f"{start} 82.0 % (0002)" in before and f"{start} 83.0 % (0002)" in after
    assert main(["--curves", str(run_folder), "--orders", "2"]) == 2
    assert f"table of curves is replayed; the run's own is {space}" in capsys.readouterr().err


def test_a_run_has_no_epoch_before_training_and_only_its_own_metrics(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curves = [str(run_folder / "space.yaml"), "--curves", str(run_folder)]
    assert main([*curves, "--first", "1"]) == 2
    assert "code2: no table of curves; epoch 0 is trained here" in capsys.readouterr().err
    assert main([*curves, "--metric", "val_eer"]) == 2
    assert f"{run_folder}: no run has a val_eer\n" in capsys.readouterr().err
    for file in run_folder.iterdir():
        file.unlink()
    (run_folder / "epochs.csv").write_text("trial,epoch,val_acc,x\na,0,,1\n")
    assert main(["--curves", str(run_folder)]) == 2
    assert f"{run_folder}: no run has a val_acc\n" in capsys.readouterr().err


def test_a_folder_of_runs_and_tables(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = str(run_folder / "space.yaml")
    three_trials(run_folder.parent / "other")
    (run_folder.parent / "other" / "code2").rename(run_folder.parent / "later")
    table = run_folder.parent / "table"
    table.mkdir()
    (table / "epochs.csv").write_text("trial,epoch,val_acc\na,0,0.5\nb,0,0.75\n")
    assert main([space, "--curves", str(run_folder.parent), "--orders", "2"]) == 0
    out = capsys.readouterr().out
    for name in ("code2", "later"):
        assert f"{name}, frontal-triplets, 2000 validation pairs: 3 runs, 7 epochs" in out
    assert "table: 2 runs, 2 epochs, best val_acc 75.0 % (b)" in out
    (run_folder.parent / "a.csv").write_text("left,right,same\n")
    (run_folder.parent / "b.csv").mkdir()
    (run_folder.parent / "c.csv").symlink_to("nowhere")
    (run_folder.parent / "d.csv").write_text("x" * 200_000)
    assert main([space, "--curves", str(run_folder.parent), "--orders", "2"]) == 0
    assert capsys.readouterr().out == out
    (run_folder.parent / "own.csv").write_text("epoch,val_acc\n0,0.5\n", "utf-8-sig")
    assert main([space, "--curves", str(run_folder.parent), "--orders", "2"]) == 2
    said = "holds curves (own.csv) and a folder of others (code2); put either of them elsewhere"
    assert said in capsys.readouterr().err


def test_runs_that_name_no_protocol_are_of_the_spaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "AJ":
        (tmp_path / f"{name}.csv").write_bytes((SHIPPED / f"{name}.csv").read_bytes())
    space = tmp_path / "space.yaml"
    space.write_text(CODE2.read_text().replace("halving: true", "asha: true"))
    assert main([str(space), "--curves", str(tmp_path), "--orders", "2"]) == 0
    out = capsys.readouterr().out
    assert "frontal-triplets, 2000 validation pairs: 2 runs, 120 epochs" in out
    assert "chance 1.0" in out  # J: there is a band, as there is a number of pairs


def tables(path: Path, *names: str) -> Path:
    """A folder of tables of six trials of five epochs, of which two end near the best error, 0.1."""
    ends = (0.1, 0.11, 0.5, 0.5, 0.5, 0.9)
    for name in names:
        (path / name).mkdir(parents=True)
        rows = [
            f"t{trial},{epoch},{1 - (1 - end) * epoch / 5}"
            for trial, end in enumerate(ends)
            for epoch in range(6)
        ]
        (path / name / "epochs.csv").write_text("\n".join(["trial,epoch,error", *rows]))
    return path


def test_tables_of_any_metric_one_after_another_and_all_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_file, figure = tmp_path / "r.json", tmp_path / "r.png"
    where = ["--curves", str(tables(tmp_path / "all", "one", "two")), "--first", "1"]
    kinds = ["--metric", "error", "--mode", "min", "--within", "0.02", "--draw", "5"]
    files = ["--json", str(json_file), "--figure", str(figure)]
    assert main([*where, *kinds, "--orders", "40", *files]) == 0
    out = capsys.readouterr().out
    # Point 0 is before training: five epochs of six are trained.
    assert "one: 6 runs, 30 epochs, best error 0.1000 (t0)" in out
    assert "within 0.02, %" in out and "5 trials drawn from the runs in each without" in out
    one, two = json.loads(json_file.read_text())["contests"]
    assert one["policies"] == two["policies"] and one["runs"] == 6
    named = {row["policy"]: row for row in one["policies"]}
    # Without replacement each order lacks one run; that t0 or t1 is drawn is certain.
    assert named["everything"]["kept"] == 1 and named["everything"]["kept_best"] == 1
    ours = named["halving and rules"]
    mean = next(line for line in out.splitlines()[::-1] if line.startswith("halving and rules"))
    share = f"{100 * ours['epochs']:.1f}"
    assert mean.split()[-6:] == [f"{100 * ours['kept']:.0f}", "/", share] * 2
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_what_counts_as_kept_is_an_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [
        "--curves",
        str(tables(tmp_path, "one") / "one"),
        "--metric",
        "error",
        "--mode",
        "min",
    ]
    kept = []
    for within in ("0", "0.02", "1"):
        file = tmp_path / "r.json"
        assert main([*where, "--within", within, "--orders", "30", "--json", str(file)]) == 0
        (contest,) = json.loads(file.read_text())["contests"]
        row = next(r for r in contest["policies"] if r["policy"] == "one epoch, then top k")
        kept.append(row["kept"])
    assert kept[0] <= kept[1] <= kept[2] == 1


def test_a_score_of_a_guess_that_changes_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tables(tmp_path, "one") / "one"
    table = ["--curves", str(folder), "--metric", "error", "--mode", "minimize", "--orders", "2"]
    off = "--chance 1 changes nothing here: the rule chance is off; it acts with a SPACE that has"
    assert main([*table, "--chance", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert off in said and "rules that are on: dead, diverged, plateau, halving" in said
    space = tmp_path / "space.yaml"
    space.write_text("fixed: {epochs: 6}\nprune: {halving: true, chance: true}\n")
    for more in ([], ["--late", "1"]):
        assert main([str(space)] * (not more) + [*table, "--chance", "1", *more]) == 0
        assert "changes nothing" not in capsys.readouterr().out
    # The pairs of the 2019 study's runs are known, and so is the band of guessing.
    assert main([str(SPACES / "cpu.yaml"), "--orders", "2", "--chance", "0.5"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "--chance 0.5 changes nothing here: how far a guess gets follows from the number" in said
    )
    assert "rules that are on: dead, diverged, chance, plateau, asha" in said


def test_hours_are_shown_only_where_the_seconds_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tables(tmp_path, "one") / "one" / "epochs.csv"
    written = tmp_path / "r.json"
    options = ["--metric", "error", "--mode", "min", "--orders", "1", "--json", str(written)]
    rows = file.read_text().split("\n")
    hours = []
    for lacking in ("all", "one", "none"):
        seconds = {"all": "", "one": ",3600", "none": ",3600"}[lacking]
        told = [rows[0] + ",seconds", *(row + seconds for row in rows[1:])]
        told[-1] = rows[-1] + "," if lacking == "one" else told[-1]
        file.write_text("\n".join(rows if lacking == "all" else told))
        assert main(["--curves", str(file.parent), *options]) == 0
        out = capsys.readouterr().out
        head = next(line for line in out.splitlines() if line.startswith("policy"))
        assert ("hours" in head) == (lacking == "none")
        assert ("are not recorded: each epoch counts as 1 s" in out) == (lacking != "none")
        everything = json.loads(written.read_text())["contests"][0]["policies"][0]
        hours.append(everything["hours"])
    # Six runs of six epochs of an hour on four workers.
    assert hours == [None, None, 12.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--curves", "{}s"], "ones: no such folder of recorded curves; did you mean {}?"),
        (
            ["--curves", "{}/a/b"],
            "b: no such folder of recorded curves; there is no folder {}/a",
        ),
        (["--metric", "eror"], "one: has no metric eror; did you mean error?"),
        ([], "one: has no metric val_acc; it has error; --metric says which counts"),
        (["--metric", "error", "--draw", "7"], "--draw 7: one has 6 runs; --trials draws with"),
        (["--metric", "error", "--first", "6"], "line 7, trial t0 has no epoch from 6 on"),
        (["--metric", "error", "--within", "-1"], "must be at least 0, got -1"),
        (["--draw", "2", "--trials", "2"], "--trials: not allowed with argument --draw"),
    ],
)
def test_a_mistake_about_a_table_is_told_in_a_sentence(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tables(tmp_path, "one") / "one"
    try:
        given = [argument.format(folder) for argument in arguments]
        assert main(["--curves", str(folder), *given]) == 2
    except SystemExit as error:  # of argparse
        assert error.code == 2
    error_text = capsys.readouterr().err
    assert message.format(folder) in error_text and "Traceback" not in error_text


def test_without_a_space_only_tables_are_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--curves", str(SHIPPED)]) == 2
    error = capsys.readouterr().err
    assert f"{SHIPPED}: without a SPACE only a table of curves is replayed\n" in error
