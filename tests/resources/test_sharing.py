"""Which nets are measured, how a share is chosen from measurements, and one real measurement."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from builders import space

from facesiam.config import TrialConfig, Value
from facesiam.data.dataset import FaceData, cache_root
from facesiam.training import throughput
from facesiam.training.throughput import Share, Way, choose, share_of
from search.resources import cost, sharing
from search.resources.allocation import Node, Setup

CPU, GPU = [Node(8, 0)], [Node(16, 2)]


NETS = "search: {net: [alexnet, vgg16_bn], join: [difference, concat], lr: [1e-3, 1e-4]}\n"


@pytest.mark.parametrize(
    ("text", "setup", "nodes", "expected"),
    [
        ("", {}, CPU, {"alexnet", "vgg16_bn"}),
        ("", {}, GPU, {"alexnet", "vgg16_bn"}),
        ("", {"concurrent": 2}, CPU, set()),
        ("", {"cpus": 2}, CPU, set()),
        ("", {"cpus": 2}, GPU, {"alexnet", "vgg16_bn"}),  # a GPU's share is still open
        ("", {"gpus": 0.5}, GPU, set()),
        ("resources: {per_net: {alexnet: {cpus: 1}}}", {}, CPU, {"vgg16_bn"}),
        ("trials: 1", {}, CPU, set()),
        ("fixed: {epochs: 1, people: 2}", {}, CPU, set()),  # over before it is measured
    ],
)
def test_only_what_is_open_in_a_search_that_is_long_enough_is_measured(
    tmp_path: Path, text: str, setup: dict[str, float], nodes: list[Node], expected: set[str]
) -> None:
    given = Setup(run=tmp_path, data="", **setup)
    found = sharing.nets_to_measure(space(tmp_path, NETS + text), given, nodes, cost.CFP)
    assert set(found) == expected
    assert {config["join"] for config in found.values()} <= {"concat"}  # the larger head


def test_a_search_on_drawn_faces_is_shorter(tmp_path: Path) -> None:
    few = space(tmp_path, "fixed: {epochs: 1}\nsearch: {lr: {low: 0.1, high: 1}}\ntrials: 8\n")
    setup = Setup(run=tmp_path, data="")
    assert len(sharing.nets_to_measure(few, setup, CPU, cost.CFP)) == 1
    assert sharing.nets_to_measure(few, setup, CPU, cost.DRAWN) == {}


def test_a_search_on_few_images_of_ones_own_is_shorter(tmp_path: Path) -> None:
    few = space(
        tmp_path,
        "fixed: {protocol: dataset-pairs}\nsearch: {lr: {low: 0.1, high: 1}}\ntrials: 8\n",
    )
    setup, own = Setup(run=tmp_path, data=""), cost.Samples({"dataset-pairs": 8}, {}, 4)
    assert len(sharing.nets_to_measure(few, setup, CPU, cost.CFP)) == 1
    assert sharing.nets_to_measure(few, setup, CPU, own) == {}


def test_what_was_found_is_said_and_given_by_net(tmp_path: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    def measured(settings: Mapping[str, Value], cores: int, gpu: bool) -> Share:
        asked.append((settings["net"], cores, gpu))
        best = Way({"alexnet": 4, "vgg16_bn": 1}[str(settings["net"])], 2, 99.5, 1000, 80_000)
        return Share(best, [best])

    said: list[str] = []
    setup = Setup(run=tmp_path, data="")
    found = sharing.measure(space(tmp_path, NETS), setup, GPU, cost.CFP, measured, said.append)
    assert found == {"alexnet": 4, "vgg16_bn": 1}
    assert sorted(asked) == [("alexnet", 8, True), ("vgg16_bn", 8, True)]  # half of the cores
    assert "alexnet: 4 on a GPU, 2 threads each: 99.5 pairs/s together, 1000 MiB each" in said
    assert "alexnet: 4 at once on a GPU" in said


def measured(monkeypatch: pytest.MonkeyPatch, rates: dict[int, float], mib: float = 100) -> None:
    """Have the machine, of 1,000 MiB, reach these rates by trials at once."""

    def measure(task: Mapping[str, Any], at_once: int, threads: int) -> Way:
        fits = rates[at_once] > 0
        return Way(at_once, threads, rates[at_once], mib * fits, 1000.0 * fits)

    monkeypatch.setattr(throughput, "measure", measure)


@pytest.mark.parametrize(
    ("rates", "mib", "tried", "best"),
    [
        ({1: 10, 2: 18, 4: 30, 8: 31}, 100, [1, 2, 4, 8], 8),
        ({1: 10, 2: 18, 4: 18.5, 8: 99}, 100, [1, 2, 4], 4),  # no gain worth a doubling: enough
        ({1: 10, 2: 9}, 100, [1, 2], 1),
        ({1: 10, 2: 18, 4: 30}, 230, [1, 2], 2),  # four would fill 920 of 850 MiB
        ({1: 10, 2: 0}, 100, [1, 2], 1),  # two did not come up
        ({1: 0}, 100, [1], 1),
    ],
)
def test_the_number_is_doubled_while_it_pays_and_fits(
    monkeypatch: pytest.MonkeyPatch,
    rates: dict[int, float],
    mib: float,
    tried: list[int],
    best: int,
) -> None:
    measured(monkeypatch, rates, mib)
    share = choose(TrialConfig().to_dict(), "", {}, 8, gpu=False)
    assert [way.at_once for way in share.tried] == tried
    assert [way.threads for way in share.tried] == [8 // n for n in tried]
    assert share.best.at_once == best


def test_what_was_measured_is_kept_for_trials_of_the_same_cost(
    monkeypatch: pytest.MonkeyPatch, tiny: TrialConfig, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path))
    measured(monkeypatch, {1: 10, 2: 9})
    first = share_of(tiny.to_dict(), "", {}, 2, False)
    monkeypatch.setattr(throughput, "measure", lambda *_: pytest.fail("measured again"))
    cheaper = dataclasses.replace(tiny, lr=0.5, seed=7)
    assert share_of(cheaper.to_dict(), "", {}, 2, False) == first
    measured(monkeypatch, {1: 10, 2: 30})
    larger = dataclasses.replace(tiny, batch_size=64)
    assert share_of(larger.to_dict(), "", {}, 2, False).best.at_once == 2
    file = cache_root() / "shares.json"
    for damage in (
        "{half",
        "5",
        "[" * 3000,
        json.dumps(dict.fromkeys(json.loads(file.read_text()), [1, 2])),
        json.dumps(dict.fromkeys(json.loads(file.read_text()), [[0, 1, 2, 3, 4], [[1] * 5]])),
    ):  # a damaged cache is measured anew
        file.write_text(damage)
        assert share_of(tiny.to_dict(), "", {}, 2, False).best.at_once == 2


def test_two_real_processes_train_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, tiny: TrialConfig, data: FaceData
) -> None:
    task = {"settings": tiny.to_dict(), "data": str(data.folder), "weights": {}, "gpu": False}
    way = throughput.measure(task, 2, 1)
    assert way.at_once == 2 and way.threads == 1
    assert way.pairs_per_second > 1 and 100 < way.memory_mib < way.there_mib
    broken = {**task, "data": "/nowhere"}
    assert throughput.measure(broken, 1, 1) == Way(1, 1, 0, 0, 0)
    assert json.dumps(way)


def test_a_measurement_that_failed_or_hangs_is_given_up_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, tiny: TrialConfig, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path))
    monkeypatch.setattr(throughput, "MOST_SECONDS", 0.2)  # before torch is imported
    share = share_of(tiny.to_dict(), str(tmp_path), {}, 1, False)
    assert share == Share(Way(1, 1, 0, 0, 0), [Way(1, 1, 0, 0, 0)])
    assert not (cache_root() / "shares.json").exists()
    hanging = [sys.executable, "-c", "print('hello, I am no JSON', flush=True); input(); input()"]
    monkeypatch.setattr(throughput, "COMMAND", hanging)
    assert throughput.measure({}, 1, 1).pairs_per_second == 0
