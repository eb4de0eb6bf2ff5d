"""Warm start: which known trials enter the study, and what the study makes of them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import builders
import pytest
from builders import REFERENCE, SPACES

from facesiam.config import TrialConfig
from search.cli.run_command import main
from search.cli.run_parser import read_options
from search.runs import layout
from search.runs.journal import read_epochs
from search.runs.journal_writer import Journal
from search.runs.layout import RunError
from search.space import SearchSpace, load
from search.tuning import ablation, warm_start
from search.tuning.asked_space import resolve
from search.tuning.sampler import Sampler

SPACE = """
fixed: {epochs: 4, protocol: cfp-pairs}
search:
  lr: {low: 1e-5, high: 1e-2, log: true}
  augment: [false, true]
  weight_decay: {choices: [0.0, 0.1], when: {augment: true}}
trials: 5
"""


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    """A search with a condition."""
    return builders.space(tmp_path, SPACE)


def earlier(folder: Path, *trials: tuple[dict[str, Any], list[float], str]) -> str:
    """A run folder of such trials: settings, validation accuracy per epoch, status."""
    folder.mkdir()
    (folder / "space.yaml").write_text(SPACE)
    (folder / "manifest.json").write_text('{"name": "earlier"}')
    journal = Journal(folder)
    base = TrialConfig(epochs=4, protocol="cfp-pairs")
    for number, (settings, scores, status) in enumerate(trials, 1):
        name, whole = f"{number:04d}", dataclasses.replace(base, **settings).to_dict()
        journal.trial(name, status, row=None, settings=whole, stop_rule=None, stop_reason=None)
        rest = [min(scores)] * (4 - len(scores)) if status == "done" else []
        for epoch, score in enumerate(scores + rest):
            row = {"epoch": epoch, "train_loss": 0.6, "train_acc": 0.5, "val_loss": 0.6}
            more = {"val_pairs": 48, "seconds": 1.0, "samples_per_second": 9.0}
            journal.epoch(name, row | more | {"val_acc": score, "peak_memory_mib": 1.0})
    return str(folder)


def test_what_the_space_could_have_suggested_is_taken_with_its_best_score(
    space: SearchSpace, tmp_path: Path
) -> None:
    run = earlier(
        tmp_path / "run",
        ({"lr": 1e-3}, [0.6, 0.8, 0.7], "done"),
        ({"lr": 1e-4, "augment": True, "weight_decay": 0.1}, [0.9], "stopped"),
        ({"lr": 0.5}, [0.95], "done"),
        ({"lr": 1e-4, "augment": True, "weight_decay": 0.3}, [0.95], "done"),
        ({"lr": 1e-3, "protocol": "frontal-triplets"}, [0.95], "done"),
        ({"lr": 1e-3, "fold": 2}, [0.95], "done"),
        ({"lr": 1e-3, "people": 7}, [0.95], "done"),
        ({"lr": 1e-3, "pair_seed": 1}, [0.95], "done"),
        ({"lr": 1e-3}, [], "failed"),
        ({"lr": 2e-3, "weight_decay": 0.3, "net": "resnet18"}, [0.5], "done"),
    )
    known, (said,) = warm_start.gather([run], space)
    found = [
        (
            k.settings["lr"],
            k.settings["augment"],
            k.settings["weight_decay"],
            k.value,
            k.step,
            k.status,
        )
        for k in known
    ]
    assert found == [
        (1e-4, True, 0.1, 0.9, 1, "stopped"),
        (1e-3, False, 0.0, 0.8, 4, "done"),
        (2e-3, False, 0.0, 0.5, 4, "done"),
    ]
    assert known[2].settings["net"] == "alexnet"  # what the space fixes is the space's
    assert known[0].source == f"{run}/0002"
    assert said == (
        f"warm start: 3 of 10 trials of {run}; left out: 1 with lr 0.5, 1 with weight_decay 0.3, "
        "1 with protocol frontal-triplets, 1 with fold 2, 1 with people 7, 1 with pair_seed 1, "
        "1 with no val_acc"
    )


def test_a_known_trial_comes_with_what_stopped_it_and_how_it_went(
    space: SearchSpace, tmp_path: Path
) -> None:
    """So that what a rule stopped is the worst here too, also before it had a score."""
    run = earlier(
        tmp_path / "run",
        ({"lr": 1e-3}, [0.7, 0.65, 0.8], "stopped"),
        ({"lr": 2e-3}, [0.9], "stopped"),
        ({"lr": 3e-3}, [], "stopped"),
        ({"lr": 4e-3}, [math.nan], "done"),
    )
    journal = Journal(tmp_path / "run")
    for name, rule in (("0001", "asha"), ("0002", "dead"), ("0003", "diverged")):
        journal.trial(name, "stopped", stop_rule=rule, stop_reason="x")
    known, (said,) = warm_start.gather([run], space)
    assert [(k.settings["lr"], k.value, k.rule, k.scores, k.planned) for k in known] == [
        (2e-3, 0.9, "dead", (0.9,), 4),
        (1e-3, 0.8, "asha", (0.7, 0.7, 0.8), 4),
        (3e-3, None, "diverged", (), 4),
    ]
    assert said.endswith("3 of 4 trials of " + run + "; left out: 1 with no val_acc")
    tpe = Sampler(space, known).tpe
    assert tpe is not None and tpe.ranking.worst == [0, 2]
    assert tpe.ranking.order({})[0].tolist() == [1]


def test_a_known_trial_that_guesses_has_not_learned_where_only_its_score_says_so(
    tmp_path: Path,
) -> None:
    """As in a search: of unequal pairs, by true accepts at `fpr`, of which a guess has that share."""
    of_people = SPACE.replace("protocol: cfp-pairs", "protocol: cfp-pairs, people: 40, fpr: 0.01")
    trials: Any = [({"lr": lr, "people": 40, "fpr": 0.01}, [0.6], "done") for lr in (1e-3, 1e-4)]
    run, journal = earlier(tmp_path / "run", *trials), Journal(tmp_path / "run")
    for name, lines in read_epochs(tmp_path / "run").items():
        share = 0.01 if name == "0001" else 0.5
        ends = {"val_tpr_at_fpr_low": share - 0.005, "val_tpr_at_fpr_high": share + 0.005}
        for line in lines:
            known = {key: value for key, value in line.items() if key not in ("n", "trial")}
            journal.epoch(name, known | {"val_tpr_at_fpr": share} | ends)
    asked = builders.space(tmp_path, f"{of_people}metric: val_tpr_at_fpr\n")
    found = warm_start.gather([run], asked)[0]
    assert [(known.value, known.learned) for known in found] == [(0.5, True), (0.01, False)]


def test_a_trial_whose_settings_were_lost_is_left_out(space: SearchSpace, tmp_path: Path) -> None:
    run = earlier(tmp_path / "earlier", ({"lr": 1e-3}, [0.7], "done"))
    file = tmp_path / "earlier" / "trials.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text(
        "".join(
            json.dumps({k: v for k, v in line.items() if k != "settings"}) + "\n" for line in lines
        )
    )
    assert warm_start.gather([run], space) == (
        [],
        [f"warm start: 0 of 1 trial of {run}; left out: 1 with no settings"],
    )


def test_lower_is_better_where_the_space_says_so(space: SearchSpace, tmp_path: Path) -> None:
    run = earlier(tmp_path / "run", ({"lr": 1e-3}, [0.6, 0.8, 0.7], "done"))
    lower = dataclasses.replace(space, mode="min")
    assert [known.value for known in warm_start.gather([run], lower)[0]] == [0.6]


def test_the_documents_rows_are_a_prior_for_code_2() -> None:
    code2 = load(SPACES / "code2.yaml")
    known, (said,) = warm_start.gather(["documents"], code2)
    assert {one.source for one in known} == {f"documents/{row}" for row in "ABCDEFGHIJKLM"}
    best = known[0]
    assert (best.source, best.value, best.settings["net"]) == ("documents/E", 0.86, "vgg16_bn")
    assert "6 with protocol cfp-pairs" in said


def test_tpe_suggests_near_what_is_known_to_be_good(space: SearchSpace) -> None:
    base = {**TrialConfig().to_dict(), **space.fixed, "augment": False}
    known = [
        warm_start.WarmStartTrial({**base, "lr": lr}, value, 4, "done", "x")
        for lr, value in [(1e-3 * 1.1**n, 0.9 - 0.01 * n) for n in range(8)]
        + [(1e-5 * 1.3**n, 0.5) for n in range(12)]
    ]
    wide = dataclasses.replace(space, trials=30)
    warm, cold = Sampler(wide, known), Sampler(wide)
    far = []
    for sampler in (warm, cold):
        first = [one for _ in range(8) if (one := sampler.next())]
        away = [abs(math.log10(float(one.settings["lr"]) / 1.4e-3)) for one in first]
        far.append(sum(away) / len(away))
    assert far[0] < 0.6 < far[1]  # decades; a draw by chance is 1.1 away
    assert warm.handed_out == 8  # what was known does not count


def test_what_it_began_with_is_kept_for_a_resume(space: SearchSpace, tmp_path: Path) -> None:
    assert warm_start.read(tmp_path) == []
    settings = {**TrialConfig().to_dict(), **space.fixed, "lr": 1e-3}
    known = [
        warm_start.WarmStartTrial(settings, 0.7, 4, "done", "x/0001", None, (0.6, 0.7), 4, True),
        warm_start.WarmStartTrial(
            settings, None, 1, "stopped", "x/0002", "diverged", (), 4, False
        ),
    ]
    warm_start.write(tmp_path, known)
    assert warm_start.read(tmp_path) == known
    # One of before these fields were there.
    old = {"settings": settings, "value": 0.7, "step": 4, "status": "done", "source": "x/0001"}
    (tmp_path / layout.WARM_START).write_text(json.dumps([old]))
    assert warm_start.read(tmp_path) == [
        warm_start.WarmStartTrial(settings, 0.7, 4, "done", "x/0001")
    ]
    again = [Sampler(space, warm_start.read(tmp_path)).next() for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--warm-start", "none/there"], "none/there: no such run folder"),
        (
            ["--warm-start", "documents", "--algorithm", "random"],
            "--warm-start: algorithm random cannot begin with the scores of another run; tpe and gp can",
        ),
        (["--ablate", "none/there"], "none/there: no such run folder"),
    ],
)
def test_what_cannot_be_a_prior_is_refused(
    options: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    space: SearchSpace,
) -> None:
    given = [str(space.path), "--data", "drawn", "--out", str(tmp_path / "out"), *options]
    assert main(given) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_ablation_changes_one_searched_setting_at_a_time(
    space: SearchSpace, tmp_path: Path
) -> None:
    run = earlier(
        tmp_path / "run",
        ({"lr": 1e-3, "augment": True, "weight_decay": 0.1}, [0.9], "done"),
        ({"lr": 1e-4}, [0.8], "done"),
    )
    rows = ablation.rows(space, run, rank=1, seeds=2)
    best = {
        **TrialConfig(epochs=4, protocol="cfp-pairs").to_dict(),
        "lr": 1e-3,
        "augment": True,
        "weight_decay": 0.1,
    }
    assert list(rows) == [
        f"{name}-s{seed}"
        for seed in (0, 1)
        for name in ("best", "lr-1e-05", "lr-0.01", "augment-false", "weight_decay-0")
    ]
    for name, row in rows.items():
        changed = {key for key, value in row.settings.items() if value != best[key]}
        assert changed - {"seed"} == ({name.split("-")[0]} - {"best"}), name
    with pytest.raises(RunError, match="no trial of rank 9"):
        ablation.rows(space, run, rank=9, seeds=1)


def test_an_ablation_is_of_a_trial_that_the_space_has(space: SearchSpace, tmp_path: Path) -> None:
    run = earlier(tmp_path / "run", ({"lr": 1e-3, "people": 7}, [0.9], "done"))
    assert ablation.misfit(space, run) is None  # a shorter one is of the same settings
    smaller = dataclasses.replace(space, fixed={**space.fixed, "packed_size": 112})
    assert ablation.misfit(smaller, run) == "packed_size 224, and it is 112 now"
    assert ablation.misfit(dataclasses.replace(smaller, packed_given=False), run) is None
    other = earlier(tmp_path / "other", ({"lr": 1e-3, "hidden": 8}, [0.9], "done"))
    assert ablation.misfit(space, other) == "hidden 8, and it is 4096 now"


def test_an_ablation_is_judged_as_its_space_says_and_names_the_trial_that_it_changes() -> None:
    run = str(REFERENCE / "cpu")
    asked = [str(SPACES / "low-far.yaml"), "--ablate", run, "--seeds", "2"]
    more = ("people=80", "epochs=3", "precision=bf16")
    made = resolve(read_options([*asked, *(word for one in more for word in ("--set", one))]))
    assert len(made.rows) == 16 and made.metric == "val_tpr_at_fpr"
    for id in made.rows:
        settings = made.row_settings(id)
        assert (settings["fpr_pairs"], settings["people"], settings["epochs"]) == ("people", 80, 3)
        assert settings["precision"] == "bf16"  # of the trial it was auto
    said = f"ablation of {run}: changes trial 0004, its best by val_acc"
    judged = "; this search ranks by val_tpr_at_fpr (fpr: 0.01, fpr_pairs: people)"
    assert ablation.told(made, run) == said + judged
    assert ablation.told(dataclasses.replace(made, metric="val_acc"), run) == said


def test_the_plan_of_an_ablation_names_the_trial_that_it_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(f"{SPACE}metric: val_auc\n")
    run = earlier(tmp_path / "run", ({"lr": 1e-4}, [0.8], "done"), ({"lr": 1e-3}, [0.9], "done"))
    asked = [str(file), "--data", "drawn", "--out", str(tmp_path / "out"), "--ablate", run]
    assert main([*asked, "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{run}: changes trial 0002, its best by val_acc; this search ranks by val_auc" in said


def test_runs_on_other_data_are_left_out(space: SearchSpace, tmp_path: Path) -> None:
    run = earlier(tmp_path / "run", ({"lr": 1e-3}, [0.9], "done"))
    (tmp_path / "run" / "manifest.json").write_text('{"data": {"key": "one"}}')
    assert len(warm_start.gather([run], space, "one")[0]) == 1
    known, (said,) = warm_start.gather([run], space, "two")
    assert not known and said == f"warm start: 0 of 1 trial of {run}; left out: 1 with other data"


def test_where_the_documents_have_no_score_that_is_said() -> None:
    code2 = load(SPACES / "code2.yaml")
    known, (said,) = warm_start.gather(["documents"], dataclasses.replace(code2, metric="val_auc"))
    assert not known and "13 with no val_auc" in said and "0 of 19" in said


def test_an_ablation_is_not_cut_off_by_the_spaces_minutes(
    space: SearchSpace, tmp_path: Path
) -> None:
    run = earlier(tmp_path / "run", ({"lr": 1e-3}, [0.9], "done"))
    file = tmp_path / "limited.yaml"
    file.write_text(SPACE + "\nminutes: 5\n")
    asked = [str(file), "--ablate", run]
    for more, minutes in (([], 0), (["--minutes", "7"], 7)):
        assert resolve(read_options([*asked, *more])).minutes == minutes
    assert resolve(read_options([str(file)])).minutes == 5
