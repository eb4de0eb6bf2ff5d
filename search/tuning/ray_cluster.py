"""This process's Ray, on this machine or in a cluster, and all that is used of its private API.

Ray promises nothing of a name that begins with an underscore. Each one in use is listed in
``PRIVATE``, ``connect`` refuses a Ray that lacks one, and pyproject.toml bounds Ray's version.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pkgutil
import sys
import time
from collections.abc import Callable
from typing import Any

import ray

from facesiam.cli import interrupts
from facesiam.cli.streams import hidden_stderr
from facesiam.device.cores import cores
from facesiam.errors import first_line
from search.resources.allocation import DriverError, Node, check_address, this_machine
from search.tuning import ray_environment, ray_session

PRIVATE = (
    "ray._common.utils.try_make_directory_shared",
    "ray._private.authentication.authentication_token_setup"
    ".maybe_enable_token_auth_if_token_available",
    "ray._private.node.Node.dead_processes",
    "ray._private.node.Node.gcs_address",
    "ray._private.node.Node.raylet_socket_name",
    "ray._private.node.Node.start_api_server",
    "ray._private.node.Node.start_log_monitor",
    "ray._private.node.Node.start_monitor",
    "ray._private.ray_constants.ENABLE_RAY_CLUSTER",
    "ray._private.services.ConsolePopen",
    "ray._private.services.canonicalize_bootstrap_address",
    "ray._private.state.actors",
    "ray._private.utils.set_sigterm_handler",
    "ray._private.worker._global_node",
    "ray._private.worker.custom_excepthook",
    "ray._private.worker.get_dashboard_url",
    "ray._private.worker.normal_excepthook",
    "ray._private.worker.print_to_stdstream",
    "ray._raylet.AuthenticationTokenLoader.instance",
    "ray._raylet.Config.initialize",
    "ray._raylet.GcsClient",
    "ray.actor.ActorHandle._actor_id",
    "ray.tune.experiment.trial._TemporaryTrialState",
    "ray.tune.experiment.trial._TrainingRunMetadata",
)
"""Each private name of Ray that is used here; none is used elsewhere."""
SUPPORTED = "2.60"
"""The Ray that has them all; pyproject.toml asks for it."""
MACHINES_SECONDS = 600
"""How long a search waits for a cluster's first worker."""
LOOK_SECONDS = 5.0
"""Between two looks at which machines a cluster has."""
OBJECT_STORE_BYTES = 256 * 2**20
"""Ray's shared store of a local run: results are small and the pixels are mapped from a file."""
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


def connect(address: str | None, dashboard: bool = False) -> None:
    """Start Ray on this machine, or join the cluster at `address`; quietly, once a process.

    Args:
        address: of a cluster, whose workers get this code; None: a Ray of its own.
        dashboard: for a Ray of its own: serve it, on loopback.

    Raises:
        DriverError: this Ray lacks a private name; nobody answers at the address; there is no
            place for a session, or Ray does not start in it (a RayStartError).
    """
    check_private_names()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the table tells why trials fail
    if ray.is_initialized():
        gc.collect()  # until then Ray Tune of a search that was cut short holds its trials' cores
        ray_environment.set_environment(local=False)
        return
    ray_environment.set_environment(local=address is None)
    # What its daemons say of each other's deaths, dozens of lines: see ray_watchdog.py.
    ray._private.utils.set_sigterm_handler = lambda handler: None  # this process has its own
    ray._private.worker.print_to_stdstream = lambda *given, **more: None
    ray._raylet.Config.initialize("")  # type: ignore[attr-defined]  # Ray had read the environment when it was imported
    if address is None:
        _start(dashboard)
        return
    check_address(address)
    from ray._private.authentication import authentication_token_setup

    # Where there is a token, `ray start` asks for it unasked, and ray.init does not bring it.
    authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        _check_token(address)
        ray.init(address=address, runtime_env=ray_environment.runtime_env(), **_QUIET)
    except ray.exceptions.AuthenticationError:
        has_one = os.environ.get("RAY_AUTH_MODE") == "token"
        trouble = "refuses the token that is set here" if has_one else "asks for a token"
        raise DriverError(
            f"--address {address}: the cluster {trouble}; set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN to the one that its head was started with"
        ) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DriverError(
            f"--address {address}: {first_line(error)}; if the cluster asks for a token, "
            "set RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN, else RAY_AUTH_MODE=disabled"
        ) from None


def _check_token(address: str) -> None:
    """Ask the cluster's head once whether it answers this process.

    ``ray.init`` asks a head that refuses its token twenty times, a second apart, and its C++ part
    writes a line to stderr each time.

    Raises:
        AuthenticationError: it asks for another token, or for one at all.
    """
    head = ray._private.services.canonicalize_bootstrap_address(address)
    if head is None:
        return
    with hidden_stderr(), contextlib.suppress(ray.exceptions.RpcError):  # ray.init tells that
        ray._raylet.GcsClient(address=head)  # type: ignore[attr-defined]


def check_private_names() -> None:
    """Refuse a Ray whose private API is another one.

    Raises:
        DriverError: names what is missing, and the version that has it.
    """
    for name in PRIVATE:
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            raise DriverError(
                f"Ray {ray.__version__} has no {name}, which a search needs; install Ray "
                f"{SUPPORTED}: pip install 'ray[tune]=={SUPPORTED}.*'"
            ) from None


def _start(dashboard: bool) -> None:
    """Start a Ray of this machine alone, in a folder of its own, which goes when it ends."""
    # On loopback. Ray turns 127.0.0.1 into the outside address unless clusters are off, which it
    # reads once, at import.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    # It opens its folders to everybody.
    ray._common.utils.try_make_directory_shared = lambda place: None
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()  # type: ignore[attr-defined]
    _use_own_process_groups()
    _leave_out_idle_processes()
    folder = ray_session.new_folder()
    ray_session.ends_with_this_process(folder, ray.shutdown)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)  # what its processes leave goes with it
    try:
        # "local", as without an address Ray would join whatever $RAY_ADDRESS names.
        ray.init(
            address="local",
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            num_cpus=cores(),  # Ray itself knows of no affinity, and of no half cores
            # It asks the maker's library, which may see what torch cannot use, or be missing.
            num_gpus=int(this_machine()[0].gpus),
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder),
            **_QUIET,
        )
    except (Exception, SystemExit) as error:  # whatever Ray meets there
        try:
            interrupts.check()  # it may be what became of a Ctrl-C, which leaves nothing behind
            told = ray_session.not_started(folder, first_line(error))
        finally:
            ray.shutdown()
        raise told from None
    finally:
        os.environ.pop("TMPDIR")
        os.environ.update({} if before is None else {"TMPDIR": before})


def _use_own_process_groups() -> None:
    """Start each of Ray's processes of this machine in a process group of its own.

    A Ctrl-C in the terminal, or a SIGTERM to the whole group, would end them before the trials'
    states are saved. They end with this process all the same.
    """

    class GroupedPopen(ray._private.services.ConsolePopen):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more, process_group=0)

    if ray._private.services.ConsolePopen.__name__ != "GroupedPopen":
        ray._private.services.ConsolePopen = GroupedPopen  # type: ignore[misc]


def _leave_out_idle_processes() -> None:
    """Do not start three of Ray's processes that a search on one machine has no use for.

    They are the autoscaler's monitor, the one that brings the workers' logs to a driver that does
    not show them, and the API server where no dashboard is asked for.
    """

    class LocalNode(ray._private.node.Node):
        def start_monitor(self) -> None:
            """Start nothing: the machine cannot grow."""

        def start_log_monitor(self) -> None:
            """Start nothing: see ``_QUIET``."""

        def start_api_server(self, *, include_dashboard: bool | None, **more: Any) -> None:
            """Start it if a dashboard is asked for."""
            if include_dashboard:
                super().start_api_server(include_dashboard=True, **more)

    module: Any = ray._private.node
    if module.Node.__name__ != "LocalNode":
        module.Node = LocalNode


def dashboard() -> str:
    """Return where the dashboard of this process's Ray is served, and the token it asks for."""
    address: str | None = ray._private.worker.get_dashboard_url()  # type: ignore[no-untyped-call]
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    return f"http://{address}, which asks for the token {token}" if address else "did not start"


def remove_excepthook() -> None:
    """Have Python show an error that ends this process without telling Ray's head first."""
    worker = ray._private.worker
    if sys.excepthook is worker.custom_excepthook:
        sys.excepthook = worker.normal_excepthook


def this_node() -> Any:
    """Return Ray's record of this process's node: its daemons and the address of the head."""
    return ray._private.worker._global_node


def machines() -> list[Node]:
    """Return the machines of the cluster that this process is connected to."""
    offers = [node["Resources"] for node in alive()]
    return [Node(offer.get("CPU", 0.0), offer.get("GPU", 0.0)) for offer in offers]


def wait_for_machines(address: str | None, say: Callable[[str], None]) -> list[Node]:
    """Return the machines of the cluster, once one of them can run a trial.

    A head often has no cores to give, and its workers come minutes after it.

    Args:
        address: of the cluster; None: this machine alone.
        say: shows a line where it waits.

    Raises:
        DriverError: none came within MACHINES_SECONDS.
    """
    for waited in range(0, MACHINES_SECONDS + 1, int(LOOK_SECONDS)):
        found = machines()
        if not address or any(node.cpus > 0 for node in found):
            return found
        if not waited:
            say(
                f"{address}: no machine of the cluster has a core to give yet; waiting up to "
                f"{MACHINES_SECONDS // 60} minutes for workers to join"
            )
        time.sleep(LOOK_SECONDS)
    raise DriverError(
        f"--address {address}: within {MACHINES_SECONDS // 60} minutes no machine joined that has "
        "a core to give; start a worker with: ray start --address=HEAD:PORT"
    )


def alive() -> list[dict[str, Any]]:
    """Return Ray's records of the cluster's machines that are up."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def worker_of(trial: Any) -> tuple[str, int] | None:
    """Return the machine, by Ray's id, and the process of a trial's worker; None: it has none."""
    actor = trial.temporary_state.ray_actor
    found = ray._private.state.actors(actor._actor_id.hex()) if actor else {}
    return (found["Address"]["NodeID"], int(found["Pid"])) if found.get("Pid") else None


def forget_results(trial: Any) -> None:
    """Free what Ray keeps of the results of a trial that has ended, for its own tables.

    The driver's memory grew by some 50 KiB a trial; nothing reads it here.
    """
    if metadata := getattr(trial, "run_metadata", None):
        metadata.metric_analysis.clear()
        metadata.metric_n_steps.clear()
        metadata.last_result = {}
