"""Ray clusters of several machines on one machine, for tests and for soak.py.

Where root may make network namespaces, every node has its own, with its own address on a bridge
that leads nowhere else; elsewhere the nodes are raylets side by side on the loopback network.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

RAY = str(Path(sys.executable).parent / "ray")
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
"""All that a node inherits: another machine has none of this process's settings."""
# Ray's memory monitor is off: a node would kill its trials for what others use of this machine.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",  # as in conftest.py
    # A driver's workers have an environment of their own: those started ahead would do nothing.
    "RAY_prestart_worker_first_driver": "0",
}
NOTICING = {
    # A killed node refuses the connection, which fails at once: 4 of those make it dead. A busy
    # one only answers late, which fails after the timeout: that takes 4 times 10 s.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
    "RAY_health_check_timeout_ms": "10000",
}
_HIDE = """while [ "$1" != -- ]; do mount -t tmpfs -o size=256m none "$1" || exit 1; shift; done
shift; exec "$@" """
_WAIT = """import sys, time
from ray._raylet import GcsClient
while True:
    try:
        found = GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5).values()
        if sum(node.state == 0 for node in found) == int(sys.argv[2]):  # GcsNodeState.ALIVE
            break
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
    time.sleep(0.1)"""
_BUCKET = """import sys, time, urllib.request
while True:
    try:
        urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="PUT"), timeout=5)
        break
    except OSError:
        time.sleep(0.1)"""
_numbers = itertools.count()


@dataclass(frozen=True)
class Node:
    """A machine: its number (the head's is 0), IP, network namespace if any, process and log."""

    number: int
    address: str
    space: str
    process: subprocess.Popen[bytes]
    log: Path


class Cluster:
    """Machines to start and to kill; all of it ends with the ``with`` block.

    A node also ends with the thread that started it, so that a killed test leaves none.
    `kind` is "namespaces" or "loopback"; `hides` says whether workers see `hidden` empty.
    """

    def __init__(
        self, folder: Path, hidden: Sequence[Path] = (), store: int = 256 * 2**20
    ) -> None:
        """Prepare the network.

        Args:
            folder: for homes, working directories and logs.
            hidden: existing folders that workers see empty.
            store: bytes of each node's object store.
        """
        if missing := [path for path in hidden if not path.is_dir()]:
            raise FileNotFoundError(f"no folders to hide: {missing}")
        self.folder, self.hidden, self.store = folder.absolute(), list(hidden), store
        self.nodes: list[Node] = []
        self._others: list[subprocess.Popen[Any]] = []
        # Not in `folder`: the path of a socket in it may have 107 characters.
        self._temp = Path(tempfile.mkdtemp(prefix="rn", dir="/tmp"))
        number, self._count = next(_numbers), 0
        self._name, self._spaces = f"rn{os.getpid()}-{number}", list[str]()
        self.kind = "namespaces" if self._bridge() else "loopback"
        # On loopback not 127.0.0.1, which Ray turns into the machine's outside address.
        net = "10.77" if self.kind == "namespaces" else "127.77"
        self._net = f"{net}.{(os.getpid() + number) % 256}"
        self._port = 6379 if self.kind == "namespaces" else _free_port()
        self.address = f"{self._net}.1:{self._port}"
        self.hides = bool(hidden) and _works([*_hiding([self._temp]), "true"])

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def head(self, cpus: int = 0, env: Mapping[str, str] | None = None) -> Node:
        """Start the head, first of all; ``wait_for`` tells when it is up."""
        flags = ["--head", f"--port={self._port}", "--include-dashboard=false"]
        return self._start(flags, cpus, [], {**NOTICING, **(env or {})})

    def worker(self, cpus: int = 1, env: Mapping[str, str] | None = None) -> Node:
        """Start a worker; it joins as soon as it and the head are up."""
        hiding = _hiding(self.hidden) if self.hides else []
        return self._start([f"--address={self.address}"], cpus, hiding, dict(env or {}))

    def run(
        self, command: Sequence[str], on: Node | None = None, **popen: Any
    ) -> subprocess.Popen[Any]:
        """Start a command, a driver say, on the network of the head or of another node."""
        mine = {key: text for key, text in os.environ.items() if not key.startswith("RAY_")}
        popen.setdefault("env", {**mine, **QUIET})
        process = subprocess.Popen([*_within((on or self.nodes[0]).space), *command], **popen)
        self._others.append(process)
        return process

    def wait_for(self, nodes: int, seconds: float = 30) -> None:
        """Return when just this many nodes are alive.

        Raises:
            TimeoutError: they are not, after so many seconds or as a node did not start.
        """
        until = time.monotonic() + seconds
        with (self.folder / "wait.log").open("wb") as log:
            ask = [sys.executable, "-c", _WAIT, self.address, str(nodes)]
            process = self.run(ask, stderr=log)
        while process.poll() is None and time.monotonic() < until and not self._ended():
            time.sleep(0.05)
        if process.poll() != 0:
            _end(process)
            logs = [self.folder / "wait.log", *(node.log for node in self._ended() or self.nodes)]
            said = "\n".join(f"{log}: {log.read_text()[-1000:]}" for log in logs)
            raise TimeoutError(f"not {nodes} nodes after {seconds} s\n{said}")

    def kill(self, node: Node) -> None:
        """End all processes of a node at once, as a power cut does; on the head, drivers too."""
        _end(node.process, node.space)
        self.nodes.remove(node)
        # Other machines could not read it either. The logs are for whoever looks for a failure.
        session = self._temp / str(node.number)
        if (logs := session / "session_latest" / "logs").is_dir():
            shutil.copytree(logs, self.folder / f"logs{node.number}", dirs_exist_ok=True)
        shutil.rmtree(session, ignore_errors=True)

    def close(self) -> None:
        """End all that was started, leave the logs in the folder and remove the rest."""
        for process in self._others:
            _end(process)
        for node in self.nodes[::-1]:
            self.kill(node)
        for space in self._spaces:
            _works(["ip", "netns", "del", space])
        shutil.rmtree(self._temp, ignore_errors=True)
        self._others, self._spaces = [], []

    def _ended(self) -> list[Node]:
        return [node for node in self.nodes if node.process.poll() is not None]

    def _start(self, flags: list[str], cpus: int, hiding: list[str], env: dict[str, str]) -> Node:
        number, self._count = self._count, self._count + 1
        address = f"{self._net}.{number + 1}"
        space = self._join(number, address) if self.kind == "namespaces" else ""
        home, elsewhere = self.folder / f"home{number}", self.folder / "elsewhere"
        home.mkdir(parents=True, exist_ok=True)
        elsewhere.mkdir(exist_ok=True)
        # Ports of 0 are picked by the system: the usual ones meet on loopback. Ray starts as many
        # workers ahead as there are CPUs.
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            *_within(space),
            *hiding,
            RAY,
            "start",
            "--block",
            *flags,
            f"--node-ip-address={address}",
            f"--num-cpus={cpus}",
            "--num-gpus=0",
            f"--temp-dir={self._temp / str(number)}",
            f"--object-store-memory={self.store}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            "--dashboard-agent-listen-port=0",
            "--disable-usage-stats",
        ]
        own = {key: os.environ[key] for key in KEPT if key in os.environ}
        log = self.folder / f"node{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=elsewhere,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**own, **QUIET, "HOME": str(home), **env},
            )
        self.nodes.append(Node(number, address, space, process, log))
        return self.nodes[-1]

    def _bridge(self) -> bool:
        """Make the namespace with the bridge, if this machine allows it."""
        hub = f"{self._name}-hub"
        if os.geteuid() or not _works(["ip", "netns", "add", hub]):
            return False
        self._spaces.append(hub)
        # The probe: a pair of interfaces as each node will need.
        steps = ("link add bridge type bridge", "link set bridge up", "link add probe type veth")
        if all(_works(["ip", "-n", hub, *step.split()]) for step in steps):
            return True
        _works(["ip", "netns", "del", self._spaces.pop()])
        return False

    def _join(self, number: int, address: str) -> str:
        """Make a node's namespace; return its name."""
        hub, space = self._spaces[0], f"{self._name}-{number}"
        _check("ip", "netns", "add", space)
        self._spaces.append(space)
        for step in (
            f"-n {hub} link add port{number} type veth peer name eth0 netns {space}",
            f"-n {hub} link set port{number} master bridge up",
            f"-n {space} link set lo up",
            f"-n {space} addr add {address}/24 dev eth0",
            f"-n {space} link set eth0 up",
            # Ray takes for its address what the way to 8.8.8.8 would start from; sends nothing.
            f"-n {space} route add 8.8.8.8 dev eth0",
        ):
            _check("ip", *step.split())
        return space


def s3_server(
    cluster: Cluster, folder: Path, python: str = sys.executable
) -> tuple[str, dict[str, str]]:
    """Start moto's S3 on the network of the head, which is started, with an empty bucket.

    Returns:
        Its URL for ``pyarrow.fs.FileSystem.from_uri``, and what nodes and drivers need in their
        environment. A path goes before the URL's "?".

    Args:
        python: an interpreter that has ``moto[s3]``, flask and flask-cors.
    """
    host, port = cluster.nodes[0].address, _free_port()
    with (folder / "s3.log").open("wb") as log:
        serve = [python, "-m", "moto.server", "-H", host, "-p", str(port)]
        server = cluster.run(serve, stdout=log, stderr=log)
    asking = cluster.run([sys.executable, "-c", _BUCKET, f"http://{host}:{port}/runs"])
    until = time.monotonic() + 30
    while asking.poll() is None and server.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    if asking.poll() != 0:
        _end(asking)
        raise RuntimeError(f"no S3: {(folder / 's3.log').read_text()[-1000:]}")
    return f"s3://runs?scheme=http&endpoint_override={host}:{port}", {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _within(space: str) -> list[str]:
    return ["ip", "netns", "exec", space] if space else []


def _hiding(folders: Sequence[Path]) -> list[str]:
    private = ["unshare", "--mount", "--propagation", "private"]
    return [*private, "sh", "-c", _HIDE, "hide", *map(str, folders), "--"]


def _end(process: subprocess.Popen[Any], space: str = "") -> None:
    """Kill a process and its descendants, or all that is in the namespace, within 10 s."""
    # Known before the first dies: then they are no longer its descendants.
    found = _pids(process, space)
    until = time.monotonic() + 10
    while found and time.monotonic() < until:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        found = _pids(process, space)  # and what they started meanwhile
    process.wait(timeout=10)


def _pids(process: subprocess.Popen[Any], space: str) -> list[int]:
    if space:
        return [int(pid) for pid in _check("ip", "netns", "pids", space).split()]
    if process.poll() is not None:
        return []
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    return [process.pid, *(child.pid for child in below)]


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _check(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
