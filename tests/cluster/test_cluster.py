"""A search on three machines, in which drivers, trials and machines are killed."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import ROOT, SQUEEZE
from machines import Machines
from nodes import Cluster, Node
from soak import Soak

from facesiam.data.dataset import FaceData
from facesiam.data.preparation import prepare
from facesiam.nets.weight_files import read_weights
from search.runs.journal import read_lines, read_trials
from search.runs.line_format import EPOCHS
from search.runs.mirror import folder_for


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Iterator[Machines]:
    """The machines of all tests here, as their start takes longer than most searches on them."""
    with Machines(tmp_path_factory.mktemp("machines"), s3=True, faces=faces) as machines:
        yield machines


@pytest.fixture(scope="module")
def larger(machines: Machines) -> Node:
    """A machine of three cores beside the others, for the last tests here."""
    node = machines.machine(cores=3)
    machines.cluster.wait_for(4, 200)
    return node


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("storage", "trials", "kills", "kinds"),
    [
        ("s3", 3, 2, ("machine", "driver")),
        pytest.param("folder", 6, 3, ("driver",), marks=pytest.mark.slow),
        pytest.param("s3", 6, 2, ("machine", "driver"), marks=pytest.mark.slow),
    ],
)
def test_whatever_dies_every_trial_ends_once(
    tmp_path: Path,
    machines: Machines,
    storage: str,
    trials: int,
    kills: int,
    kinds: tuple[str, ...],
) -> None:
    soak = Soak(machines, tmp_path, trials=trials, seed=1, storage=storage, lines=4)
    # How many epochs run again depends on how fast the machine saves; where a trial goes on from is
    # told by the next test.
    searched_to_its_end(soak, kills, kinds)
    assert sum(soak.killed.values()) == kills


def searched_to_its_end(soak: Soak, kills: int = 0, kinds: tuple[str, ...] = ()) -> dict[str, Any]:
    """Search on with so many kills; assert that each trial ended once; return the figures."""
    code = soak.go(kills, kinds)
    found = soak.figures()
    print(found)
    assert code == 0, soak.log.read_text()[-3000:]
    assert found["trials"] == soak.trials and found["lost"] == found["ended twice"] == 0
    assert found["ran again after their end"] == 0
    assert set(found["status"]) <= {"done", "stopped"}
    assert found["hidden"] or found["machines"] == "loopback"
    return found


@pytest.mark.timeout(600)
def test_after_a_kill_and_after_preemption_each_trial_goes_on_from_its_saved_state(
    tmp_path: Path, machines: Machines
) -> None:
    """The driver is killed once a state is saved, and told to end once both trials go on."""
    soak = Soak(machines, tmp_path, trials=2, seed=1)
    text = soak.space.read_text().replace("prune: {asha: {grace: 2, factor: 2}}", "prune: false")
    # Long epochs: there is time to save a state after each, and on busy cores for the signal.
    soak.space.write_text(text.replace("batch_size: 4", "batch_size: 1, people: 8"))
    driver, files = soak.start(), soak.run / "state"
    while driver.poll() is None and not {f.stem for f in files.glob("*.pt")} & {*noted(soak.run)}:
        time.sleep(0.1)
    driver.kill()
    driver.wait()
    saved = {name: state["epoch"] for name, state in states(soak.run).items()}
    before, lines = noted(soak.run), len(read_lines(soak.run / EPOCHS))
    known = saved.keys() & before.keys()
    assert known

    driver = soak.start()
    while driver.poll() is None and len(noted(soak.run, lines)) < 2:
        time.sleep(0.1)
    driver.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    code = driver.wait(60)
    print(f"ended after {time.monotonic() - asked:.1f} s")
    assert code == 143, soak.log.read_text()[-3000:]
    after = noted(soak.run, lines)
    for trial in known:
        # What the driver had not noted any more comes first; the worker may have saved again.
        assert 1 <= min(saved[trial], len(before[trial])) <= after[trial][0] <= len(before[trial])
    going = [n for n, line in read_trials(soak.run).items() if line["status"] == "interrupted"]
    left, twice = states(soak.run), soak.figures()["epochs noted twice"]
    assert going and set(going) == set(left)  # one may have come to its end meanwhile
    # Nearly always within an epoch; one that was just between two is saved there.
    assert any("within" in state for state in left.values())
    assert searched_to_its_end(soak)["epochs noted twice"] == twice


def noted(run: Path, since: int = 0) -> dict[str, list[int]]:
    """Return the epochs of each trial that a run's journal has from a line on, as they came."""
    found: dict[str, list[int]] = {}
    for row in read_lines(run / EPOCHS)[since:]:
        found.setdefault(row["trial"], []).append(row["epoch"])
    return found


def states(run: Path) -> dict[str, Any]:
    """Return the saved state of each trial."""
    return {path.stem: read_weights(path) for path in (run / "state").glob("*.pt")}


def test_the_doctor_examines_each_machine_and_names_a_folder_of_ones_own(
    tmp_path: Path, machines: Machines
) -> None:
    cluster = machines.cluster
    command = [sys.executable, "-m", "search.doctor", "--address", cluster.address, "--out"]
    outs = [str(tmp_path / "shared"), machines.url]
    outs += [str(machines.own / "runs")] if cluster.hides else []
    asked = [
        cluster.run(
            [*command, out],
            cwd=ROOT,
            env=machines.environment | {"COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for out in outs
    ]
    said = [process.communicate(timeout=200) for process in asked]
    folder, bucket = (text for text, _ in said[:2])
    assert asked[0].returncode == 0, said[0]
    for worker in machines.workers:
        assert f"ok    {worker.address:14} Python 3" in folder
        assert f"machine {worker.address}" not in bucket
    assert "this machine and 3 of the cluster can write there" in folder
    assert "note  token          none: whoever reaches the cluster's ports" in folder
    # The head has no credentials: what it writes is refused, or arrives as something else.
    head = cluster.nodes[0].address
    assert asked[1].returncode == 1 and f"FAIL  storage        --out {machines.url}" in bucket
    assert f": machine {head}: " in bucket
    if cluster.hides:
        assert asked[2].returncode == 1
        for worker in machines.workers:
            assert f"machine {worker.address}: does not see this folder" in said[2][0]


UNEQUAL = """
fixed: {image_size: 64, hidden: 16, batch_size: 8, people: 4, epochs: 1, protocol: cfp-pairs}
search: {net: [alexnet, squeezenet1_1], lr: [1e-4, 1e-3]}
rows:
  narrow: {settings: {net: alexnet, lr: 1e-3}}
  wide: {settings: {net: squeezenet1_1, lr: 1e-3}}
  wide2: {settings: {net: squeezenet1_1, lr: 1e-4}}
algorithm: grid
prune: false
resources: {cpus: 1, per_net: {squeezenet1_1: {cpus: 2}}}
"""


@pytest.mark.timeout(400)
def test_unequal_machines_run_what_fits_them_and_a_folder_of_ones_own_is_refused(
    tmp_path: Path, machines: Machines, larger: Node
) -> None:
    (tmp_path / "unequal.yaml").write_text(UNEQUAL)
    cluster, own = machines.cluster, machines.own
    command = [sys.executable, "-m", "search.run", str(tmp_path / "unequal.yaml")]
    command += ["--data", str(machines.faces), "--address", cluster.address]
    command += ["--rows", "narrow,wide,wide2", "--out"]
    runs = [
        cluster.run(
            [*command, str(out)],
            cwd=ROOT,
            env=machines.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for out in (own / "runs", tmp_path / "shared")
        if cluster.hides or out.name == "shared"
    ]
    said = [run.communicate(timeout=300) for run in runs]
    if len(runs) == 2:
        assert runs[0].returncode == 2 and not list(own.iterdir())
        assert "of the cluster does not see this folder; give one that all of them" in said[0][1]
    assert runs[-1].returncode == 0, said[-1]
    lines = read_trials(tmp_path / "shared" / "unequal").values()
    assert [line["status"] for line in lines] == ["done"] * 3
    wide = [line for line in lines if line["settings"]["net"] == "squeezenet1_1"]
    assert [(line["machine"], line["ran"][0]["threads"]) for line in wide] == [
        (larger.address, 2)
    ] * 2


RACED = """
fixed: {image_size: 64, hidden: 16, batch_size: 8, people: 4, epochs: 3, protocol: cfp-pairs}
search: {lr: [1e-4, 1e-3]}
algorithm: grid
prune: false
finalists: {top: 2, seeds: 2}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_race_behind_a_url_goes_on_after_its_driver_was_killed(
    tmp_path: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raced.yaml").write_text(RACED)
    cluster, out = machines.cluster, machines.url.replace("?", f"/{tmp_path.name}?")
    command = [sys.executable, "-m", "search.run", str(tmp_path / "raced.yaml"), "--out", out]
    command += ["--data", str(machines.faces), "--address", cluster.address, "--cpus", "1"]
    monkeypatch.setenv("FACESIAM_CACHE", str(machines.cache))
    race = folder_for(out.replace("?", "/raced-race?"))

    def started(*more: str) -> subprocess.Popen[str]:
        return cluster.run(
            [*command, *more],
            cwd=ROOT,
            env=machines.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    driver = started()
    while driver.poll() is None and not noted(race):
        time.sleep(0.1)
    driver.kill()
    driver.communicate()
    before = noted(race)
    assert before
    driver = started("--resume")
    said, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, said[-3000:]
    after, trials = noted(race), read_trials(race)
    assert sorted(trials) == ["0001-s1", "0001-s2", "0002-s1", "0002-s2"]
    assert {line["status"] for line in trials.values()} == {"done"}
    assert {line["machine"] for line in trials.values()} <= {n.address for n in machines.workers}
    assert all(after[trial][: len(epochs)] == epochs for trial, epochs in before.items())
    assert " ".join(said.split()).count("the search alone would have named") == 1

    command = [sys.executable, "-m", "search.results", out.replace("?", "/raced?")]
    elsewhere = machines.environment | {"FACESIAM_CACHE": str(tmp_path / "cache")}
    shown = cluster.run(
        command,
        cwd=ROOT,
        env=elsewhere,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    told, _ = shown.communicate(timeout=200)
    assert "raced with further seeds:" in " ".join(told.split()), told


LOOK = """
import sys
from pathlib import Path
import ray
from search.tuning.file_server import serve_files
from search.tuning.ray_environment import runtime_env
ray.init(address=sys.argv[1], runtime_env=runtime_env(), log_to_driver=False)
server = serve_files(Path(sys.argv[2]), {})

class Look:
    def __init__(self, server, folder):
        from facesiam.config.trial import Packing
        from facesiam.data.dataset import open_packed
        from facesiam.trainable import _fetched
        there = Path(folder)  # on the driver's machine; this one sees nothing where it looks
        elsewhere = Path("/nowhere") / there.name
        fetch = lambda path: _fetched(server, there / path.name)
        self.pixels = open_packed(elsewhere, fetch).pixels(Packing("squeeze", 224))

    def touch(self):
        pixels = self.pixels
        return int(pixels[:, ::16, ::16].sum()), pixels.nbytes, pixels.flags.writeable

    def memory(self):
        found, ours = dict(Rss=0, Pss=0), False
        for line in open("/proc/self/smaps"):
            if "-" in line.split(" ")[0]:
                ours = "plasma" in line
            elif ours and line.split(":")[0] in found:
                found[line.split(":")[0]] += int(line.split()[1]) * 1024
        return found

where = dict(num_cpus=1, resources={"node:" + sys.argv[3]: 0.01})
looks = [ray.remote(Look).options(**where).remote(server, sys.argv[2]) for _ in range(3)]
touched = ray.get([look.touch.remote() for look in looks])
memory = ray.get([look.memory.remote() for look in looks])
print(repr((touched, memory)))
"""


def looked(cluster: Cluster, node: Node, packed: Path, cwd: Path) -> tuple[Any, Any]:
    """Have three workers of a machine read the pixels; return what they saw and their memory."""
    command = [sys.executable, "-c", LOOK, cluster.address, str(packed), node.address]
    driver = cluster.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said, noise = driver.communicate(timeout=300)
    assert driver.returncode == 0, noise[-3000:]
    touched, memory = ast.literal_eval(said.splitlines()[-1])
    return touched, memory


def check_one_copy(packed: FaceData, touched: Any, memory: Any) -> None:
    """Assert that three workers saw the same read-only pixels, of which there is one copy."""
    size = packed.pixels(SQUEEZE).nbytes
    expected = int(packed.pixels(SQUEEZE)[:, ::16, ::16].sum())
    assert touched == [(expected, size, False)] * 3
    rss, pss = ([one[kind] for one in memory] for kind in ("Rss", "Pss"))
    print(
        f"{size / 2**20:.0f} MiB of pixels; of them in three trials: "
        f"Rss {[round(n / 2**20) for n in rss]}, Pss {[round(n / 2**20) for n in pss]} MiB"
    )
    assert min(rss) > 0.9 * size and sum(pss) < 1.1 * size


@pytest.mark.timeout(400)
def test_three_trials_on_a_machine_without_the_data_share_one_copy_of_the_pixels(
    tmp_path: Path, data: FaceData, machines: Machines, larger: Node
) -> None:
    check_one_copy(data, *looked(machines.cluster, larger, data.folder, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_three_trials_share_one_copy_of_a_gigabyte(tmp_path: Path, real_faces: str) -> None:
    packed = prepare(real_faces, [SQUEEZE], progress=False)
    store = int(1.2 * packed.pixels(SQUEEZE).nbytes) + 200 * 2**20
    hidden = [ROOT / "search", ROOT / "facesiam", packed.folder]
    with Cluster(tmp_path, hidden=hidden, store=store) as cluster:
        cluster.head()
        node = cluster.worker(cpus=3)
        cluster.wait_for(2, 60)
        check_one_copy(packed, *looked(cluster, node, packed.folder, tmp_path))
