"""Run folders written by hand → the report page: tables, pictures, overfit results, effects."""

from __future__ import annotations

import json
import re
import shutil
from html import escape
from pathlib import Path
from typing import Any

import builders
import pandas as pd
import pytest
import yaml

from facesiam.config import TrialConfig
from facesiam.errors import UserError
from search.analysis import published
from search.report import curves, style
from search.report.__main__ import main
from search.report.page import report

FIXED = {"net": "alexnet", "join": "difference", "loss": "two", "lr": 1e-5, "epochs": 60}
ROWS: dict[str, dict[str, Any]] = {
    "A": {
        "published": {"val": 81, "test": 80, "overfit": True, "epoch": 15},
    },
    "B": {
        "settings": {"augment": True},
        "note": "The best AlexNet.",
        "published": {"val": 84, "test": 82, "overfit": False, "epoch": 59},
    },
    "J": {
        "settings": {"augment": True, "join": "concat", "lr": 5e-4, "epochs": 240},
        "printed": {"pretrained": True},
        "note": "Ran from random weights.",
        "published": {"val": 50, "test": 50, "overfit": None, "epoch": 0},
    },
}
RENDER = style.save
PICTURE = re.compile(r"!\[.*\]\((.*)\)")


def space_file(path: Path, rows: dict[str, Any], **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fixed = {name: value for name, value in FIXED.items() if name not in more.get("search", {})}
    more |= {"fixed": fixed, **({"rows": rows} if rows else {})}
    path.write_text(yaml.safe_dump(more, allow_unicode=True))
    return path


def line(trial: str, row: str | None, status: str = "done", **settings: Any) -> dict[str, Any]:
    config = TrialConfig(**{**FIXED, **settings}).to_dict()
    return {"trial": trial, "row": row, "status": status, "settings": config, "time": 1.0}


def lines(trial: str, accuracies: list[float], train_acc: float = 0.9) -> list[dict[str, Any]]:
    return [
        {
            "trial": trial,
            "epoch": number,
            "train_loss": 0.6 - 0.05 * number,
            "train_acc": train_acc,
            "val_loss": 0.6,
            "val_acc": value,
            "val_pairs": 2000,
            "seconds": 20.0,
            "samples_per_second": 100.0,
            "peak_memory_mib": 500.0,
        }
        for number, value in enumerate(accuracies)
    ]


def write_run(folder: Path, trials: list[dict[str, Any]], epochs: list[dict[str, Any]]) -> Path:
    builders.write_run(folder, trials, epochs)
    noted = {
        "name": folder.name,
        "started": "2025-11-24T03:04:05",
        "finished": None,
        "seed": 0,
        "command": "python -m search.run spaces/code2.yaml",
        "commit": "abc1234",
        "versions": {"torch": "2.15.0"},
        "machine": {"cpus": 2},
        "data": {"source": "cfp-dataset.zip", "key": "k3y", "folder": "/cache"},
    }
    (folder / "manifest.json").write_text(json.dumps(noted))
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is drawn, but rendering is left to the tests that look at the file."""
    monkeypatch.setattr(style, "save", lambda figure, path, title: path.touch())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows A (10 of 60 epochs) and J (stopped at chance); row B of the space was not run."""
    monkeypatch.setattr(published, "SPACES", tmp_path / "spaces")
    monkeypatch.setattr(published, "CODES", ("code2.yaml",))
    space_file(tmp_path / "spaces" / "code2.yaml", ROWS)
    folder = tmp_path / "code2"
    space_file(folder / "space.yaml", {name: ROWS[name] for name in ("A", "J")})
    stopped = line("J", "J", "stopped", augment=True, join="concat", lr=5e-4, epochs=240)
    stopped |= {"stop_rule": "dead", "stop_reason": "no live unit"}
    return write_run(
        folder,
        [line("A", "A", epochs=10, people=20), stopped],
        [*lines("A", [0.6, 0.7] + [0.8] * 7 + [0.814]), *lines("J", [0.5] * 6)],
    )


def search_run(folder: Path) -> Path:
    """A grid of augment and lr without rows: augmentation is worth 2 points at each of two lr."""
    space_file(folder / "space.yaml", {}, search={"augment": [False, True], "lr": [1e-5, 1e-4]})
    grid = [(False, 1e-5, 0.80), (True, 1e-5, 0.82), (False, 1e-4, 0.70), (True, 1e-4, 0.72)]
    named = [(f"{number:04d}", *point) for number, point in enumerate(grid, 1)]
    return write_run(
        folder,
        [line(name, None, augment=augment, lr=lr, epochs=6) for name, augment, lr, _ in named],
        [epoch for name, *_, best in named for epoch in lines(name, [0.6] * 5 + [best])],
    )


def write_test(run: Path, trial: str, seed: int, accuracy: Any, **config: object) -> None:
    path = run / "retrain" / trial / f"seed-{seed}" / "test.json"
    path.parent.mkdir(parents=True)
    share = {"value": accuracy, "low": 0.77, "high": 0.81}
    test = {"trial": trial, "seed": seed, "epoch": 7, "config": config, "auc": share, "eer": share}
    path.write_text(json.dumps(test | {"accuracy": share | {"n": 2000}}))


def page_of(*runs: Path) -> str:
    return report(runs).with_name("report.md").read_text(encoding="utf-8")


def without_time(content: bytes) -> bytes:
    return re.sub(rb"Written [-0-9]+ [:0-9]+", b"", content)


def table_rows(page: str, first: str) -> dict[str, list[str]]:
    """Return the rows of the Markdown table whose first header is ``first``, by first cell."""
    rows = page.split(f"| {first} |", 1)[1].split("\n\n", 1)[0].split("\n")[2:]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return {row[0]: row for row in cells}


def test_the_studys_table_has_its_columns_and_published_beside_measured(run: Path) -> None:
    row = table_rows(page_of(run), "Test")["A"]
    assert row[1:11] == [
        "Alexnet",
        "ADAM",
        "1E-5",
        "0",
        "F",
        "16",
        "F",
        "F",
        "F",
        "DECISION NET 2 LOSS",
    ]
    # 1,628 of 2,000 right: 81.4 [79.6, 83.0] by Wilson, at epoch 9 of the ten
    assert row[11:] == [
        "81",
        "81.4 [79.6, 83.0]",
        "80",
        "–",
        "T",
        "F",
        "15",
        "9",
        "10 of 60",
    ]


def test_rows_not_run_are_marked_and_printed_values_win(run: Path) -> None:
    rows = table_rows(page_of(run), "Test")
    assert list(rows) == ["A", "B", "J"]
    assert rows["B"][11:] == ["84", "not run", "82", "–", "F", "–", "59", "–", "not run"]
    assert rows["J"][7] == "T"  # pretrain, as the study prints it
    assert rows["J"][-1] == "6 of 240, stopped"
    assert rows["J"][15:17] == ["…", "…"]


def test_notes_under_the_table_say_where_the_run_was_not_the_studys(run: Path) -> None:
    page = page_of(run)
    assert "- **A**: Measured with epochs 10 instead of 60, people 20 instead of all." in page
    assert page.count("The 2019 study is what this project began with") == 1
    assert "- **B**: The best AlexNet.\n" in page
    assert "- **J**: Ran from random weights.\n" in page


def test_another_run_fills_in_its_rows(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "more"
    space_file(other / "space.yaml", {"B": ROWS["B"]})
    write_run(other, [line("B", "B", augment=True)], lines("B", [0.7] * 59 + [0.84]))
    page = page_of(run, other)
    assert table_rows(page, "Test")["B"][12] == "84.0 [82.3, 85.5]"
    assert table_rows(page, "Test")["B"][-1] == "60"
    assert (run / "report" / "curves-B.png").is_file() and not (other / "report").exists()
    assert "### more" in page


def test_both_codes_appear_each_under_its_title(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "CODES", ("code1.yaml", "code2.yaml"))
    one = {"settings": {"protocol": "cfp-pairs", "loss": "single", "net": "vgg16_bn"}}
    space_file(tmp_path / "spaces" / "code1.yaml", {"1": {**ROWS["A"], **one}})
    page = page_of(run)
    assert page.index("### Code 1") < page.index("### Code 2")
    assert table_rows(page, "Test")["1"][1] == "VGG"
    assert table_rows(page, "Test")["1"][10] == "DECISION NET"


def test_every_picture_is_there_and_no_other(run: Path) -> None:
    old = run / "report" / "curves-old.png"
    old.parent.mkdir()
    old.write_bytes(b"of an earlier report")
    named = PICTURE.findall(page_of(run))
    assert named == ["curves-A.png", "curves-J.png", "overview.png", "settings.png"]
    assert sorted(path.name for path in old.parent.glob("*.png")) == sorted(named)


def test_a_search_without_rows_draws_its_best_trials_and_settings(tmp_path: Path) -> None:
    run = search_run(tmp_path / "grid")
    page = page_of(run)
    assert PICTURE.findall(page) == [
        "curves-0002.png",
        "curves-0001.png",
        "curves-0004.png",
        "overview.png",
        "settings.png",
    ]
    assert "Overfit" not in page
    assert "2019 study" not in page


def test_rows_without_published_figures_are_not_the_2019_studys(tmp_path: Path) -> None:
    # A's name is that of a row of the study, whose curve is not this trial's.
    own = {"A": {"settings": {"net": "resnet18"}}, "b-s0": {"settings": {"lr": 1e-4}}}
    run = tmp_path / "own"
    space_file(run / "space.yaml", own)
    trials = [line("A", "A", net="resnet18", epochs=6), line("b-s0", "b-s0", lr=1e-4, epochs=6)]
    write_run(run, trials, [*lines("A", [0.7] * 6), *lines("b-s0", [0.6] * 6)])
    page = page_of(run)
    assert "2019 study" not in page and "Overfit" not in page and "Alexnet" not in page
    assert [picture for picture in PICTURE.findall(page) if picture.startswith("curves-")] == [
        "curves-A.png",
        "curves-b-s0.png",
    ]
    html = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "2019 study" not in html


def test_a_published_row_of_another_net_has_its_name(run: Path) -> None:
    own = {"X": {"settings": {"net": "resnet18"}, "published": {"val": 85}}}
    space_file(run / "space.yaml", {"A": ROWS["A"], **own})
    rows = table_rows(page_of(run), "Test")
    assert (rows["A"][1], rows["X"][1], rows["X"][11]) == ("Alexnet", "resnet18", "85")


def test_effects_have_their_n_and_the_best_value_its_rivals(tmp_path: Path) -> None:
    page = page_of(search_run(tmp_path / "grid"))
    # +2.0 twice: no spread; lr: −10 twice
    assert "| augment | F → T | +2.0 [+2.0, +2.0], n = 2 | the same |\n" in page
    assert "| lr | 1e-05 → 0.0001 | -10.0 [-10.0, -10.0], n = 2 | the same |\n" in page
    assert "| augment | T | – | F |" in page and "| lr | 1e-05 | – | 0.0001 |" in page
    assert "(Bonferroni over 2 comparisons of settings" in page


def test_beside_the_studys_rows_stand_its_own_runs_and_claims(run: Path) -> None:
    rows = table_rows(page_of(run), "Setting")
    # Alone [-0.7, +4.3]; its interval holds together with those of four other comparisons.
    assert rows["augment"][2:] == [
        "–",
        "–",
        "+1.8 [-4.0, +7.6], n = 3",
        "the same",
        "augmentation adds close to 4 points",
    ]


def test_every_searched_setting_of_the_recorded_run_is_compared(tmp_path: Path) -> None:
    shutil.copytree("ray_results/reference/cpu", tmp_path / "cpu")
    page = page_of(tmp_path / "cpu")
    rows = [line for line in page.split("\n") if " n = " in line]
    assert [line.split(" | ")[0] for line in rows] == [
        *("| freeze_stages", "| freeze_stages", "| loss", "| lr", "| lr"),
        *("| weight_decay", "| weight_decay", "| erase"),
    ]
    # supcon 91.45, 91.2, 86.8, 84.9, 82.25; logistic 89.1, 81.75, 81.5
    assert "| loss | logistic → supcon | +3.2 [-10.0, +16.4], n = 8 trials (unmatched) |" in page
    assert "alexnet" not in page.lower()


def test_overfit_on_both_curves(run: Path) -> None:
    page = page_of(run)
    rows = table_rows(page, "Row")
    assert rows["A"][1:3] == ["T", "T"] and rows["A"][4] == "F"
    assert rows["J"][1:] == ["…", "…", "at chance", "…", "at chance"]
    assert rows["B"][4:] == ["–", "–"]
    assert "agrees with its tables in 3 of 3 rows." in page


def stopped_by(trial: dict[str, Any], rule: str, **more: Any) -> dict[str, Any]:
    return trial | {"stop_rule": rule, "stop_reason": "behind", "stop_epoch": 1} | more


def test_rules_have_their_record_and_runs_without_a_decision_no_section(
    run: Path, tmp_path: Path
) -> None:
    other = search_run(tmp_path / "grid")
    assert "Early stopping" not in page_of(other)
    # 0003 was stopped after 2 of 6 epochs; of the two that ran on for 4 more, 0002 is the best
    ran_on = [line(name, None, epochs=6) for name in ("0001", "0002")]
    space_file(other / "space.yaml", {}, search={"lr": [1e-5, 1e-4]})
    write_run(
        other,
        [
            stopped_by(ran_on[0], "asha", control=True),
            stopped_by(ran_on[1], "asha", control=True),
            stopped_by(line("0003", None, "stopped", epochs=6), "asha"),
        ],
        [*lines("0001", [0.6] * 6), *lines("0002", [0.6] * 5 + [0.8]), *lines("0003", [0.5] * 2)],
    )
    page = page_of(other)
    assert table_rows(page, "rule")["asha"][1:] == [
        "3",
        "1",
        "2",
        "1",
        "50.0 [1.3, 98.7]",
        "4",
        "8",
    ]
    both = page_of(run, other)
    assert (
        "### code2\n\n| rule | decisions |" in both and "### grid\n\n| rule | decisions |" in both
    )
    # J: 6 of 240 epochs
    assert table_rows(both, "rule")["dead"][1:] == ["1", "1", "0", "–", "–", "234", "0"]
    assert "no control group: the rate of false stops is not known" in both


def test_tests_are_shown_once_retrained(run: Path) -> None:
    write_test(run, "A", 0, 0.79)
    page = page_of(run)
    assert table_rows(page, "Test")["A"][14] == "79.0 [77.0, 81.0]"
    assert "| A | – | 0 | 7 | not recorded | 79.0 [77.0, 81.0] | 79.0 [77.0, 81.0] |" in page
    write_test(run, "A", 1, 0.81)
    # sd of 79 and 81 is √2
    assert table_rows(page_of(run), "Test")["A"][14] == "80.0 ± 1.4 (2 seeds)"
    write_test(run, "A", 2, 0.99, epochs=1)  # a shorter training, which is no seed of the same
    assert table_rows(page_of(run), "Test")["A"][14] == "80.0 ± 1.4 (2 seeds)"
    write_test(run, "A", 3, 0.7, join="cosine")
    write_test(run, "A", 4, 0.7, join="concat")
    page = page_of(run)
    assert "| A | – | 3 | 7 | validation pairs |" in page
    assert "| A | – | 4 | 7 | equal logits |" in page
    equal = "val_acc is of validation pairs, at the threshold where the net's two logits are equal"
    assert equal in page
    assert escape(equal) in (run / "report" / "report.html").read_text()


def test_a_test_of_unbalanced_pairs_and_its_rates_at_thresholds_are_shown(run: Path) -> None:
    write_test(run, "A", 0, 0.79)
    path = run / "retrain" / "A" / "seed-0" / "test.json"
    plain = json.loads(path.read_text())
    assert "judge by AUC" not in page_of(run) and "FAR asked" not in page_of(run)
    far = {"value": 0.012, "low": 0.004, "high": 0.03, "n": 1800}
    row = {"asked": 0.01, "threshold": 1.25, "different": 60, "val_tar": far}
    row |= {"val_far": far | {"n": 1500}}
    row |= {"test_far": far | {"value": 0.02}, "test_tar": far | {"value": 0.6, "high": 0.7}}
    path.write_text(json.dumps(plain | {"same": 0.1, "at_far": [row]}))
    page = page_of(run)
    assert (
        "Trial A, –, seed 0: 10 % of the test pairs are of one person, and a net that always gives "
        "one answer would have an accuracy of 90 %: judge by AUC and EER."
    ) in page
    assert (
        "| A | – | the protocol's | 0 | 0.01 | 1.250 | 1.20 [0.40, 3.00] | 1,500 | 2.00 [0.40, 3.00] | "
        "1,800 | 60.0 [0.4, 70.0] | 1,800 |"
    ) in page
    assert "FAR 0.01 needs 100 validation pairs of two people, and there are 60" in page
    html = (run / "report" / "report.html").read_text()  # has a table of its own of them
    assert "FAR of validation" not in html and "judge by AUC and EER" in html
    for damage, said in (
        ({"same": 1.5}, "same must be a share"),
        ({"at_far": [row | {"test_far": {}}]}, "at_far must be a list"),
        ({"at_far": [row | {"asked": 0}]}, "at_far must be a list"),
        ({"at_far": [row | {"people": [4]}]}, "at_far must be a list"),
        ({"at_far": [row | {"fpr_pairs": 3}]}, "at_far must be a list"),
    ):
        path.write_text(json.dumps(plain | damage))
        with pytest.raises(UserError, match=said):
            report([run])


def test_every_table_is_well_formed(run: Path) -> None:
    write_test(run, "A", 0, 0.79)
    path = run / "trials.jsonl"
    path.write_text(path.read_text().replace("no live unit", "0 % | none"))
    for block in page_of(run).split("\n\n"):
        if block.startswith("|"):
            bars = {len(re.findall(r"(?<!\\)\|", text)) for text in block.strip().split("\n")}
            assert len(bars) == 1, block


def test_the_same_run_gives_the_same_bytes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "save", RENDER)
    page = report([run])
    before = {path.name: without_time(path.read_bytes()) for path in page.parent.iterdir()}
    report([run])
    assert before == {path.name: without_time(path.read_bytes()) for path in page.parent.iterdir()}
    assert len(before) > 2


def test_what_ran(run: Path) -> None:
    page = page_of(run)
    for said in ("2 (1 done, 1 stopped)", "key `k3y`", "torch 2.15.0", "not yet", "abc1234"):
        assert said in page


def test_a_search_that_was_halted_has_ended(run: Path) -> None:
    path = run / "manifest.json"
    noted = json.loads(path.read_text())
    noted |= {
        "sessions": [{"finished": "2026-11-25"}],
        "machine": {"cores": 2, "memory_gib": 23.5},
    }
    path.write_text(json.dumps(noted))
    page = page_of(run)
    assert "| finished | 2026-11-25, with trials left |" in page
    assert "| machine | cores 2, memory 23.5 GiB |" in page


def test_measured_on_drawn_faces_is_said(run: Path) -> None:
    path = run / "manifest.json"
    path.write_text(path.read_text().replace("cfp-dataset.zip", "drawn"))
    assert "Measured on drawn faces." in page_of(run)


def test_a_run_with_nan_and_a_failed_trial_still_gets_its_page(run: Path) -> None:
    with (run / "trials.jsonl").open("a") as file:
        file.write(json.dumps(line("B", "B", "failed", augment=True)) + "\n")
        file.write(json.dumps(line("C", "C", "failed", net="vgg16_bn")) + "\n")
    with (run / "epochs.jsonl").open("a") as file:
        broken = lines("C", [float("nan")])[0] | {"val_loss": float("nan")}
        file.write(json.dumps(broken) + "\n")
    rows = table_rows(page_of(run), "Test")
    assert rows["B"][12] == "–" and rows["B"][-1] == "0 of 60, failed"
    assert (run / "report" / "curves-C.png").is_file()


def test_command_prints_the_path(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report' / 'report.html'}\n"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "manifest.json").unlink(), "manifest.json: missing"),
        (lambda run: (run / "epochs.jsonl").unlink(), "epochs.jsonl) is not whole: epochs"),
        (lambda run: (run / "space.yaml").unlink(), "not a run folder"),
        (lambda run: write_test(run, "A", 0, "high"), "test.json: not a test result"),
    ],
    ids=["no manifest", "no epochs", "no space", "bad test"],
)
def test_damage_is_one_sentence_and_exit_2(
    run: Path, damage: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    assert main([str(run)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
    assert not (run / "report").exists()


def test_a_second_run_that_is_missing_is_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), str(run.parent / "cod2")]) == 2
    assert f"cod2: no such run folder; did you mean {run}?\n" in capsys.readouterr().err


def test_figures_cut_a_loss_that_would_flatten_the_rest() -> None:
    frame = pd.DataFrame(lines("A", [0.5, 0.6]))
    assert curves.highest_loss(frame, None) == pytest.approx(1.2 * 0.693147, abs=1e-5)
    frame.loc[0, "val_loss"] = 50.0
    assert curves.highest_loss(frame, None) == 50.0


def test_numbers_as_the_study_writes_them() -> None:
    assert [published.scientific(value) for value in (1e-3, 5e-4, 1e-5, 0.0, 0)] == [
        "1E-3",
        "5E-4",
        "1E-5",
        "0",
        "0",
    ]
    assert [published.letter(value) for value in (True, False, None, "...", "T")] == [
        "T",
        "F",
        "…",
        "…",
        "T",
    ]


def test_pictures_that_are_not_a_reports_stay_and_a_link_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "report").mkdir()
    for name in ("holiday.png", "curves-old.png"):
        (run / "report" / name).write_bytes(b"precious")
    page_of(run)
    assert (run / "report" / "holiday.png").read_bytes() == b"precious"
    assert not (run / "report" / "curves-old.png").exists()
    shutil.rmtree(run / "report")
    album = tmp_path / "album"
    album.mkdir()
    (album / "curves-A.png").write_bytes(b"precious")
    (run / "report").symlink_to(album)
    assert main([str(run)]) == 2
    assert f"{run / 'report'}: is a link to {album}" in capsys.readouterr().err
    assert (album / "curves-A.png").read_bytes() == b"precious"
