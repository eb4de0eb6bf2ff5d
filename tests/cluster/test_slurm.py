"""The job script on a real Slurm: three nodes, each in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import ROOT

from search.cluster import __main__ as cluster
from search.runs.journal import read_epochs, read_trials
from search.runs.layout import manifest

NODES = 3
_PRIVATE = """while [ "$1" != -- ]; do mkdir -p "$1"; mount -t tmpfs none "$1" || exit 1; shift; done
shift; exec "$@" """
CONFIGURATION = """
ClusterName=loop
SlurmctldHost={host}({net}.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
FirstJobId={first}
"""
SPACE = """
fixed: {net: squeezenet1_1, image_size: 64, hidden: 16, batch_size: 4, people: 8, epochs: 6}
search: {lr: [1e-4, 3e-4, 1e-3]}
algorithm: grid
prune: false
resources: {cpus: 1}
"""
MISSING = [name for name in ("slurmctld", "slurmd", "munged", "nsenter") if not shutil.which(name)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: apt install slurm-wlm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces"),
]


class RealSlurm:
    """slurmctld on a bridge, a slurmd in each namespace on it, munge for all; ends with ``with``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = os.getpid() % 250
        self.net = f"10.88.{self.number}"
        self.spaces = [f"sl{os.getpid()}-{name}" for name in ("hub", *range(1, NODES + 1))]
        self.first = 100_000 + os.getpid()
        # Ray's temporary folders of these jobs; each machine has its own.
        self.private = [Path(f"/tmp/ray-{self.first + more}") for more in range(3)]
        self.environment = {
            name: text for name, text in os.environ.items() if not name.startswith("RAY_")
        } | {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> RealSlurm:
        try:
            self._network()
            self._munge()
            self._daemons()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def call(self, *command: str, within: int = 0, cwd: Path | None = None) -> str:
        """Run a command on the network of a node, 0 for the controller's."""
        enter = ["nsenter", f"--net=/run/netns/{self.spaces[within]}"]
        done = subprocess.run(
            [*enter, *command], env=self.environment, cwd=cwd, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def state(self, job: str) -> str:
        shown = self.call("scontrol", "show", "job", job, "--oneliner")
        return shown.split("JobState=")[1].split()[0]

    def _network(self) -> None:
        hub = self.spaces[0]
        for name in self.spaces:
            _do("ip", "netns", "add", name)
            _do("ip", "-n", name, "link", "set", "lo", "up")
        _do("ip", "-n", hub, "link", "add", "bridge", "type", "bridge")
        _do("ip", "-n", hub, "addr", "add", f"{self.net}.1/24", "dev", "bridge")
        _do("ip", "-n", hub, "link", "set", "bridge", "up")
        for number, name in enumerate(self.spaces[1:], start=2):
            for step in (
                f"-n {hub} link add p{number} type veth peer name eth0 netns {name}",
                f"-n {hub} link set p{number} master bridge up",
                f"-n {name} addr add {self.net}.{number}/24 dev eth0",
                f"-n {name} link set eth0 up",
                # Ray takes for its address what the way to 8.8.8.8 would start from; sends nothing.
                f"-n {name} route add 8.8.8.8 dev eth0",
            ):
                _do("ip", *step.split())

    def _munge(self) -> None:
        place = self.folder / "munge"
        place.mkdir(parents=True)
        key = place / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        files = {"key": key, "socket": "munge.sock", "pid": "munged.pid", "log": "munged.log"}
        options = [f"--{name}-file={place / str(file)}" for name, file in files.items()]
        options[1] = f"--socket={place / 'munge.sock'}"
        # --force: the folders above a test's are open to others.
        _do("munged", *options, f"--seed-file={place / 'seed'}", "--force")

    def _daemons(self) -> None:
        folder, host = self.folder, os.uname().nodename.split(".")[0]
        names = [f"n{number}" for number in range(1, NODES + 1)]
        lines = CONFIGURATION.format(folder=folder, host=host, net=self.net, first=self.first)
        for number, name in enumerate(names, start=2):
            lines += f"NodeName={name} NodeHostname={host} NodeAddr={self.net}.{number} "
            lines += f"Port={17000 + number} CPUs=1 RealMemory=1000\n"
        lines += f"PartitionName=debug Nodes={','.join(names)} Default=YES State=UP\n"
        (folder / "slurm.conf").write_text(lines)
        (folder / "state").mkdir()
        self.call("slurmctld", "-f", str(folder / "slurm.conf"))
        for number, name in enumerate(names, start=1):
            (folder / "spool" / name).mkdir(parents=True)
            alone = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PRIVATE, "sh"]
            start = ["slurmd", "-N", name, "-f", str(folder / "slurm.conf")]
            self.call(*alone, *map(str, self.private), "--", *start, within=number)
        until = time.monotonic() + 60
        while "idle" not in self.call("sinfo", "--noheader", "--format=%T"):
            assert time.monotonic() < until, (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.2)

    def close(self) -> None:
        """End what runs in the namespaces, and munge, by their ids; remove the namespaces."""
        pids = [path.read_text() for path in self.folder.glob("munge/*.pid")]
        for name in self.spaces:
            found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            pids += found.stdout.split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for name in self.spaces:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        for place in self.private:
            shutil.rmtree(place, ignore_errors=True)


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[RealSlurm]:
    # Not in tmp_path: the path of munge's socket may have 107 characters.
    folder = Path(f"/tmp/slurm-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        with RealSlurm(folder) as slurm:
            yield slurm
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(600)
def test_a_search_on_three_nodes_goes_on_after_a_requeue_and_ends(
    slurm: RealSlurm, tmp_path: Path, faces: Path
) -> None:
    space = tmp_path / "three.yaml"
    space.write_text(SPACE)
    file, run = tmp_path / "three.sbatch", tmp_path / "runs" / "three"
    activate = (
        f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={ROOT} OMP_NUM_THREADS=1"
    )
    given = ["slurm", str(space), "--nodes", str(NODES), "--cpus", "1", "--gpus", "0"]
    given += ["--out", str(run.parent), "--file", str(file), "--time", "30", "--account", "phys"]
    given += ["--partition", "debug", "--setup", activate, "--data", str(faces)]
    assert cluster.main(given) == 0
    slurm.call("sbatch", "--test-only", str(file), cwd=tmp_path)
    job = slurm.call("sbatch", "--parsable", str(file), cwd=tmp_path).strip()
    log = tmp_path / f"three-{job}.log"
    _wait(lambda: len(read_epochs(run)) == 3 if (run / "epochs.jsonl").exists() else False, log)
    slurm.call("scontrol", "requeue", job)
    _wait(lambda: slurm.state(job) == "PENDING", log)
    # Else two minutes after the first attempt began, at the least.
    slurm.call("scontrol", "update", f"JobId={job}", "StartTime=now")
    _wait(lambda: slurm.state(job) in ("COMPLETED", "FAILED"), log)
    assert slurm.state(job) == "COMPLETED", log.read_text()[-3000:]
    trials = read_trials(run).values()
    assert [line["status"] for line in trials] == ["done"] * 3
    assert {line["machine"] for line in trials} <= {f"{slurm.net}.{n}" for n in range(2, 5)}
    sessions = manifest(run)["sessions"]
    assert [len(session["nodes"]) for session in sessions] == [3, 3]
    assert sessions[1]["command"].endswith("--resume")


def _wait(true: object, log: Path) -> None:
    until = time.monotonic() + 280
    while not true():
        assert time.monotonic() < until, log.read_text()[-3000:] if log.exists() else "no log"
        time.sleep(0.5)
