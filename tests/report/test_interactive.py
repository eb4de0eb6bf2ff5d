"""The HTML page, as headless Chromium shows it: charts, sorting, filtering, two widths, dark and light."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from builders import REFERENCE, ROOT

from facesiam.config import TrialConfig
from search.report import interactive, style
from search.report.__main__ import WATCH_SECONDS, main
from search.report.chart import Chart
from search.report.html_page import Page, Section, render
from search.report.page import refresh, report
from search.runs.journal import read_trials
from search.runs.journal_writer import Journal
from search.runs.lock import locked

sys.path.insert(0, str(ROOT / "scripts"))
from browser import Browser, find

OF_SETTINGS = [
    "effects",
    *(f"slice-{name}" for name in ("loss", "lr", "weight-decay", "erase", "freeze-stages")),
    *("contour-loss-lr", "contour-loss-weight-decay", "contour-lr-weight-decay"),
]
CHARTS = ["best-epochs", "best-hours", "curves", "parallel", *OF_SETTINGS, "timeline"]
MARKS = "path.js-line, .points path, path.point"
EVIL = "</script><img src=x onerror=window.evil=1><b>bold</b>"
SPACE = """name: hostile
fixed: {net: alexnet, join: difference, epochs: 3}
search:
  loss: [two, single]
  lr: {low: 1e-5, high: 1e-3, log: true}
  optimizer: [adam, sgd]
  momentum: {choices: [0.8, 0.9], when: {optimizer: sgd}}
trials: 5
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with Browser(path) as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", lambda figure, path, title: path.touch())
        yield


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of eight real trials on the CPU, five of them stopped by ASHA, two tested."""
    run = tmp_path_factory.mktemp("runs") / "cpu"
    shutil.copytree(REFERENCE / "cpu", run)
    return report([run])


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A run that goes on, with texts that would be markup; trials of each kind of end."""
    run = tmp_path / "hostile"
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("done", {}),
        ("stopped", {"stop_rule": "plateau", "stop_reason": EVIL, "stop_epoch": 1}),
        ("failed", {"stop_rule": "error", "stop_reason": EVIL}),
        ("running", {}),
        ("pending", {}),
    ]
    trials: list[dict[str, Any]] = []
    epochs: list[dict[str, Any]] = []
    for number, (status, more) in enumerate(kinds):
        name = f"000{number}"
        sgd = {"optimizer": "sgd", "momentum": 0.8} if number % 2 else {"optimizer": "adam"}
        config = TrialConfig(
            net="alexnet", join="difference", epochs=3, loss="single" if number else "two",
            lr=10 ** -(3 + number / 4), **sgd,
        )  # fmt: skip  # the settings of a trial on two lines
        line = {"trial": name, "status": "pending", "row": None, "time": 1000.0}
        trials += [line | {"settings": config.to_dict()}]
        if status != "pending":
            trials += [line | {"status": "running", "machine": EVIL, "time": 1000.0 + number}]
        if status not in ("pending", "running"):
            trials += [line | {"status": status, "time": 1100.0 + number, **more}]
        ran = 0 if status in ("failed", "pending") else 3 if status == "done" else 2
        epochs += [
            {"trial": name, **builders.epoch(at, 0.9 - 0.1 * number + 0.02 * at)}
            for at in range(ran)
        ]
    for place, one in enumerate([*trials, *epochs], 1):
        one["n"] = place
    builders.write_run(run, trials, epochs, SPACE)
    noted = {"name": EVIL, "started": "2026-01-01T00:00:00", "finished": None, "seed": 0}
    noted |= {
        "command": EVIL,
        "commit": None,
        "versions": {"torch": EVIL},
        "machine": {"os": EVIL},
    }
    (run / "manifest.json").write_text(json.dumps(noted | {"data": {"source": EVIL, "key": "k"}}))
    return run


def marks(browser: Browser) -> dict[str, int]:
    count = f"[p.dataset.chart, p.querySelectorAll('{MARKS}').length]"
    script = (
        f"Object.fromEntries([...document.querySelectorAll('[data-chart]')].map(p => {count}))"
    )
    return dict(browser.value(script))


def trial_order(browser: Browser) -> list[str]:
    rows = "[...document.querySelectorAll('#trials tbody tr')]"
    return list(browser.value(f"{rows}.filter(row => !row.hidden).map(row => row.dataset.trial)"))


def type_filter(browser: Browser, text: str) -> None:
    box = "document.getElementById('filter')"
    browser.value(f"{box}.value = {json.dumps(text)}; {box}.dispatchEvent(new Event('input'))")
    browser.until(f"state.filter === {json.dumps(text)}")


def is_whole(browser: Browser) -> None:
    """Nothing is wider than the screen, nothing was complained of, nothing was asked for."""
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert browser.errors() == []
    assert browser.requests() == []


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1400, False)])
def test_every_chart_has_marks_at_both_widths(
    browser: Browser, reference: Path, width: int, dark: bool
) -> None:
    browser.open(reference, width, dark)
    found = marks(browser)
    assert set(CHARTS) <= set(found)
    # Steps of the best; a dot for each of eight trials; a bar for each of nine periods.
    assert found["curves"] > 8 and found["parallel"] >= 8 and found["timeline"] >= 8
    assert all(found.values())
    is_whole(browser)
    back = browser.value("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    fills = browser.value(
        "[...document.querySelectorAll('.main-svg')].map(s => s.style.background).filter(Boolean)"
    )
    assert set(fills) == {back}


CUT = """[...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
  const all = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('.ytitle')].filter(title => {
    const one = title.getBoundingClientRect();
    return one.top < all.top || one.bottom > all.bottom || one.left < all.left;
  }).map(title => title.textContent);
})"""
"""The titles of vertical axes that are cut."""


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of eight recorded trials by a metric with a long name, of nets that end alike."""
    run = tmp_path_factory.mktemp("runs") / "low-far"
    shutil.copytree(REFERENCE / "low-far", run)
    return report([run])


def test_long_names_are_whole_on_a_phone(browser: Browser, long_names: Path) -> None:
    browser.open(long_names, 390)
    is_whole(browser)
    titles = browser.value("[...document.querySelectorAll('.ytitle')].map(t => t.textContent)")
    assert len([one for one in titles if one.startswith("validation true accepts")]) >= 10
    assert browser.value(CUT) == []
    drawn = "[...document.querySelectorAll('[data-chart=parallel] {}')].map(t => t.textContent)"
    names = browser.value(drawn.format(".xtick text"))
    assert names[0] == "net" and names[-1] == "val_tpr_at_fpr" and len(names) == 7
    choices = browser.value(drawn.format(".annotation-text"))
    assert "effici…t_lite0" in choices and "effici…t_lite2" in choices


def test_the_first_axis_of_the_settings_has_its_name_on_a_phone(
    browser: Browser, reference: Path
) -> None:
    browser.open(reference, 390)
    assert browser.value(
        "[...document.querySelectorAll('[data-chart=parallel] .xtick text')].map(t => t.textContent)"
    ) == ["freeze_stages", "loss", "lr", "weight_decay", "erase", "val_acc"]
    first = "document.querySelector('[data-chart=parallel] .xtick text').getBoundingClientRect()"
    chart = "document.querySelector('[data-chart=parallel]').getBoundingClientRect()"
    assert browser.value(f"{first}.left >= {chart}.left")


def test_a_small_number_at_an_axis_is_written_as_in_the_table(
    browser: Browser, reference: Path
) -> None:
    browser.open(reference)
    found = browser.value(
        "[1e-5, 3.16227766e-5, 1e-4, 0.00234567, 0, 91.45, -2e-12].map(shortNumber)"
    )
    assert found == ["1e-05", "3.16e-05", "0.0001", "0.00235", "0", "91.5", "-2e-12"]


def test_a_printed_page_has_whole_tables_and_charts_in_light_colours(
    browser: Browser, reference: Path
) -> None:
    browser.open(reference, 1400, dark=True)
    width = "Math.max(...[...document.querySelectorAll('.main-svg')].map(s => s.clientWidth))"
    back = "document.querySelector('[data-chart=curves] .main-svg').style.background"
    assert browser.value(width) > 1200
    browser.value("dispatchEvent(new Event('beforeprint'))")
    browser.until(f"{width} <= 940 && {back} === 'rgb(255, 255, 255)'")
    browser.look(1000, dark=True)
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    browser.send("Emulation.setEmulatedMedia", media="print", features=[scheme])
    # What scrolls on the screen would be cut on paper, in its rows or its columns.
    assert browser.value("document.querySelectorAll('.scroll').length") > 5
    cut = "[...document.querySelectorAll('.scroll, .plot')].filter(one => {})"
    assert browser.value(cut.format("getComputedStyle(one).overflowX !== 'visible'")) == []
    wide = (
        "[...document.querySelectorAll('.scroll table')].filter(t => t.offsetWidth > innerWidth)"
    )
    assert browser.value(f"{wide}.length") == 0
    browser.send("Emulation.setEmulatedMedia", media="", features=[scheme])
    browser.look(1400, dark=True)
    browser.value("dispatchEvent(new Event('afterprint'))")
    browser.until(f"{width} > 1200 && {back} === 'rgb(20, 23, 27)'")
    assert browser.errors() == []


def test_colours_follow_the_screen(browser: Browser, reference: Path) -> None:
    browser.open(reference)
    fill = "document.querySelector('[data-chart=curves] .main-svg').style.background"
    line = "document.querySelector('[data-chart=best-epochs] path.js-line').style.stroke"
    assert (browser.value(fill), browser.value(line)) == (
        "rgb(255, 255, 255)",
        "rgb(217, 102, 31)",
    )
    browser.look(1400, dark=True)
    browser.until(f"{fill} === 'rgb(20, 23, 27)' && {line} === 'rgb(240, 139, 75)'")


def test_the_keyboard_sorts_and_what_is_not_there_comes_last(
    browser: Browser, hostile: Path
) -> None:
    browser.open(report([hostile]))
    head = "document.querySelector('#trials th[data-name=momentum]')"
    assert browser.value(f"{head}.ariaSort") is None
    browser.value(f"{head}.querySelector('button').focus()")
    browser.key("Enter", "\r")
    assert browser.value(f"{head}.ariaSort") == "ascending"
    assert set(trial_order(browser)[:2]) == {"0001", "0003"}
    browser.value("document.querySelector('#trials th[data-name=val_acc] button').focus()")
    browser.key("Enter", "\r")
    assert trial_order(browser) == ["0003", "0001", "0000", "0002", "0004"]
    browser.key("Enter", "\r")
    assert trial_order(browser) == ["0000", "0001", "0003", "0002", "0004"]
    assert browser.value(f"{head}.ariaSort") is None


def test_tab_reaches_every_control_and_chart_with_a_visible_focus(
    browser: Browser, hostile: Path
) -> None:
    browser.open(report([hostile]))
    every = "[...document.querySelectorAll('a[href],button,input,select,summary,[tabindex]')]"
    browser.value(f"window.every = {every}.filter(one => one.checkVisibility()); every.length")
    browser.value("document.activeElement.blur(); window.seen = new Map()")
    look = "const one = document.activeElement; seen.set(one, getComputedStyle(one).outlineStyle)"
    for _ in range(browser.value("every.length") + 20):
        browser.key("Tab")
        browser.value(f"{{ {look} }} 1")
    missed = "every.filter(one => !seen.has(one)).map(one => one.outerHTML.slice(0, 80))"
    assert browser.value(missed) == []
    assert browser.value("every.filter(one => seen.get(one) === 'none').length") == 0
    place = "document.querySelector('[data-chart=curves]')"
    browser.value(f"{place}.focus()")
    tip = f"{place}.querySelector('.hoverlayer').textContent"
    assert browser.value(tip) == ""
    browser.key("ArrowRight")
    browser.until(f"{tip}.includes('epoch 0')")
    browser.key("ArrowRight")
    browser.until(f"{tip}.includes('epoch 1')")
    browser.key("ArrowLeft")
    browser.until(f"{tip}.includes('epoch 0')")
    browser.key("Escape")
    browser.until(f"{tip} === ''")


def test_a_column_of_costs_is_sorted_by_amount(browser: Browser, hostile: Path) -> None:
    browser.open(report([hostile]))
    texts = ["2 M (2)", "1,197 ms (1)", "900 k (1)", "1,000 k", "–"]
    rows = "".join(f"<tr><td>{text}</td></tr>" for text in texts)
    html = f"<thead><tr><th>macs</th></tr></thead><tbody>{rows}</tbody>"
    browser.value("window.costs = document.createElement('table'); 1")
    browser.value(f"costs.innerHTML = {json.dumps(html)}; order(costs, 0, false); 1")
    found = "[...costs.tBodies[0].rows].map(row => row.textContent)"
    assert browser.value(found) == ["1,197 ms (1)", "900 k (1)", "1,000 k", "2 M (2)", "–"]


def test_a_filter_holds_for_table_and_charts_and_outlives_a_reload(
    browser: Browser, reference: Path
) -> None:
    browser.open(reference)
    drawn = "document.querySelector('[data-chart=curves]').data"
    drawn += ".filter(trace => trace.showlegend !== false).map(trace => trace.name)"
    assert browser.value(drawn) == ["done", "stopped by asha", "interrupted", "trial 0004, rank 1"]
    type_filter(browser, "loss=supcon weight_decay<0.2 asha")
    assert trial_order(browser) == ["0006"]
    assert browser.value("document.getElementById('shown').textContent") == "1 of 8 trials"
    browser.until(f"{drawn}.join() === 'stopped by asha,trial 0006, rank 6'")
    for chart in ("slice-lr", "contour-lr-weight-decay"):
        points = f"document.querySelector('[data-chart={chart}]').data.find(isOfTrials)"
        browser.until(
            f"{points}.selectedpoints?.map(at => {points}.customdata[at]).join() === '0006'"
        )
    browser.value("document.documentElement.dataset.ready = 'no'; keep(); location.reload()")
    browser.until("document.documentElement?.dataset.ready === 'yes'")
    assert trial_order(browser) == ["0006"]
    browser.value("document.getElementById('all').click()")
    browser.until(f"{points}.selectedpoints === undefined")
    browser.value("document.querySelector('tr[data-trial=\"0002\"] a').click()")
    browser.until(f"{drawn}.at(-1) === 'trial 0002, rank 3'")
    assert browser.value("location.hash") == "#curves"
    browser.value("document.getElementById('metric').value = 'train_acc'")
    browser.value("document.getElementById('metric').dispatchEvent(new Event('change'))")
    label = "document.querySelector('[data-chart=curves]').layout.yaxis.title.text"
    browser.until(f"{label} === 'training accuracy, %'")
    is_whole(browser)


def test_a_box_over_an_axis_becomes_a_filter(browser: Browser, reference: Path) -> None:
    browser.open(reference)
    browser.value("brushed({range: {x: [0.8, 2.2], y: [0.9, 1.1]}})")
    assert browser.value("document.getElementById('filter').value").split() == [
        "loss=supcon",
        "lr>=0.00215",
    ]


def test_texts_of_a_run_are_no_markup(browser: Browser, hostile: Path) -> None:
    page = report([hostile])
    browser.open(page)
    assert browser.value("window.evil ?? 0") == 0
    assert browser.value("document.images.length") == 0
    assert browser.value("document.querySelectorAll('b').length") == 0
    assert browser.value("document.querySelector('h1').textContent") == EVIL
    reason = "document.querySelector('tr[data-trial=\"0001\"] td.long').textContent"
    assert browser.value(reason) == f"plateau: {EVIL}"
    assert all(marks(browser).values())
    is_whole(browser)


def test_a_chart_cannot_end_the_script_that_holds_it() -> None:
    figure = {"data": [{"name": EVIL, "y": [float("nan"), np.float32(0.5)]}], "layout": {}}
    section = Section("s", "S", [Chart("c", "C", figure)])
    text = render(Page("t", [], "", [section], {}, ""))
    assert text.count("</script") == text.count("<script") == 4
    found = re.search(r'id="report-data">(.*?)</script>', text)
    assert found
    assert json.loads(found[1])["charts"]["c"]["data"] == [{"name": EVIL, "y": [None, 0.5]}]


def test_a_note_shows_commands_and_keeps_a_number_with_its_unit() -> None:
    chart = Chart("c", "C", {"data": [], "layout": {}}, "At 0.1 % by `search.retrain RUN`.")
    text = render(Page("t", [], "", [Section("s", "S", [chart])], {}, ""))
    assert '<p class="note">At 0.1\u00a0% by <code>search.retrain RUN</code>.</p>' in text


def test_the_verdict_names_the_winner_its_test_and_how_sure(reference: Path) -> None:
    text = reference.read_text(encoding="utf-8")
    verdict = re.search(r'<div class="verdict">(.*?)</div>', text)
    assert verdict and verdict[1] == (
        "<p>Of 8 trials, 0004 with freeze_stages 2, loss supcon, lr 0.00179, weight_decay 0.01, "
        "erase 0 is the best: 91.5 [90.1, 92.6]\u00a0% of its validation pairs are judged right at "
        "epoch 9; trained again with 2 seeds it has 90.8 ± 0.5\u00a0% of the 2,000 test pairs right "
        "(mean ± standard deviation), at the threshold where most validation pairs are judged right.</p><p>Do not read much into the first place: 1 of the "
        "other 7 is not told from it on the same pairs (McNemar&#x27;s exact test, corrected for "
        "the number of comparisons), 1 could not be compared, and its validation score is the best "
        "of several, and so a little too good.</p>"
    )
    assert "Tables of the 2019 study" not in text
    assert len(text) < 6e6


def test_a_page_of_a_running_search_reloads_until_its_end(hostile: Path) -> None:
    page, over = refresh([hostile], WATCH_SECONDS)
    text = page.read_text(encoding="utf-8")
    assert not over and '"reload":30}' in text and 'id="reload" checked' in text
    assert "The search has not ended: 1 done, 1 failed, 1 pending, 1 running, 1 stopped" in text
    assert not (page.parent / "report.md").exists()
    noted = json.loads((hostile / "manifest.json").read_text())
    ended = "2026-01-01T01:00:00"
    for finished, said in ((None, "was halted before its end"), (ended, "has ended")):
        noted |= {"finished": finished, "sessions": [{"finished": ended}]}
        (hostile / "manifest.json").write_text(json.dumps(noted))
        assert main([os.fspath(hostile), "--watch"]) == 0
        text = page.read_text(encoding="utf-8")
        assert '"reload":0}' in text and 'id="reload"' not in text
        assert f"The search {said}: 1 done" in text
    assert (page.parent / "report.md").exists()


def test_many_epochs_are_thinned_and_that_is_said(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def curves() -> dict[str, Any]:
        text = page.read_text(encoding="utf-8")
        found = re.search(r'id="report-data">(.*?)</script>', text)
        assert found
        return dict(json.loads(found[1])["curves"])

    page = report([hostile])
    assert "One epoch in" not in page.read_text()
    assert curves()["0000"] == {"epoch": [0, 1, 2], "val_acc": [90.0, 92.0, 94.0]}
    monkeypatch.setattr(interactive, "MOST_POINTS", 4)  # of 7
    report([hostile])
    assert "One epoch in 2 is drawn, and each trial's last." in page.read_text()
    assert curves()["0000"] == {"epoch": [0, 2], "val_acc": [90.0, 94.0]}
    assert curves()["0001"] == {"epoch": [0, 1], "val_acc": [80.0, 82.0]}


def test_watch_writes_until_the_search_has_ended(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        noted = json.loads((hostile / "manifest.json").read_text())
        noted["finished"] = "2026-01-01T01:00:00" if len(slept) > 1 else None
        (hostile / "manifest.json").write_text(json.dumps(noted))

    monkeypatch.setattr(time, "sleep", sleep)
    with locked(hostile):  # as its driver does
        assert main([os.fspath(hostile), "--watch"]) == 0
    assert slept == [WATCH_SECONDS, WATCH_SECONDS]
    page = hostile / "report" / "report.html"
    said = f"{page}: written every {WATCH_SECONDS} s until the search has ended\n{page}\n"
    assert capsys.readouterr().out == said


def test_watch_ends_where_the_driver_was_killed(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:  # it still goes on
            Journal(hostile).trial(going, "running")

    (going,) = (name for name, line in read_trials(hostile).items() if line["status"] == "running")
    (hostile / ".lock").touch()  # a killed driver leaves it, and holds it no more
    monkeypatch.setattr(time, "sleep", sleep)
    assert main([os.fspath(hostile), "--watch"]) == 0
    assert slept == [WATCH_SECONDS, WATCH_SECONDS]
    assert f"{hostile}: its driver was killed; " in capsys.readouterr().err
    assert '"reload":0}' in (hostile / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_page_of_a_thousand_trials_of_a_hundred_epochs(browser: Browser, tmp_path: Path) -> None:
    drawn = random.Random(0)
    trials: list[dict[str, Any]] = []
    epochs: list[dict[str, Any]] = []
    for number in range(1000):
        name = f"{number:04d}"
        config = TrialConfig(
            net="alexnet", epochs=100, loss=drawn.choice(["two", "single"]),
            lr=10 ** drawn.uniform(-5, -2), optimizer=drawn.choice(["adam", "sgd", "adamw"]),
        )  # fmt: skip  # the settings of a trial on two lines
        line = {"trial": name, "row": None, "time": 1000.0 * (number // 16), "machine": "node"}
        trials.append(line | {"status": "running", "settings": config.to_dict()})
        for at in range(100):
            score = min(1.0, 0.5 + 0.004 * at + drawn.gauss(0, 0.01))
            more = {"train_acc": score, "val_loss": 1 - score, "train_loss": 1.1 - score}
            epochs.append({"trial": name, **builders.epoch(at, score), **more})
        trials.append(line | {"status": "done", "time": line["time"] + 990.0})
    for place, one in enumerate([*trials, *epochs], 1):
        one["n"] = place
    text = SPACE.replace("epochs: 3", "epochs: 100").replace("hostile", "large")
    run = builders.write_run(tmp_path / "large", trials, epochs, text)
    (run / "manifest.json").write_text('{"name": "large", "finished": "2026-01-01T00:00:00"}')
    page = report([run])
    assert page.stat().st_size < 6_000_000
    browser.open(page)
    assert len(trial_order(browser)) == 1000
    type_filter(browser, "optimizer=sgd lr>1e-3")
    assert 0 < len(trial_order(browser)) < 300
    assert all(marks(browser).values())
    is_whole(browser)
