"""Shares of a cluster, worked out by hand, and what is refused before Ray starts."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import builders
import pytest

from search.resources.allocation import (
    Allocation,
    DriverError,
    Node,
    Setup,
    check_address,
    check_gpus,
)
from search.space import SearchSpace
from search.tuning.failures import reason_of

NETS = "search: {net: [alexnet, vgg16_bn], lr: [1e-3, 1e-4]}\nalgorithm: grid\n"


def shares(
    tmp_path: Path,
    resources: str,
    there: tuple[float, float] | list[Node],
    text: str = NETS,
    **options: float,
) -> Allocation:
    """The shares of a small search on a machine with so many CPUs and GPUs, or on several."""
    setup = Setup(run=tmp_path, data="", **options)
    nodes = [Node(*there)] if isinstance(there, tuple) else there
    return Allocation(space(tmp_path, text, resources), setup, nodes)


def space(tmp_path: Path, text: str, resources: str) -> SearchSpace:
    """The space of a text with resources."""
    return builders.space(tmp_path, text + (f"resources: {resources}\n" if resources else ""))


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "of_alexnet", "concurrent"),
    [
        ("", 2, 0, (1, 0), 2),  # no GPU: a core each
        ("", 16, 2, (8, 1), 2),  # a whole GPU each, and the cores shared out
        ("{gpus: 0.5}", 16, 2, (4, 0.5), 4),
        ("{cpus: 2, gpus: 0}", 8, 0, (2, 0), 4),
        ("{gpus: 0.1, cpus: 1}", 16, 1, (1, 0.1), 10),  # 1 // 0.1 is 9 in floats
        # As many as fit of the smaller one: Ray holds the other one back.
        ("{per_net: {vgg16_bn: {gpus: 1}}, gpus: 0.25, cpus: 1}", 16, 2, (1, 0.25), 8),
    ],
)
def test_shares(
    tmp_path: Path,
    resources: str,
    cpus: float,
    gpus: float,
    of_alexnet: tuple[float, float],
    concurrent: int,
) -> None:
    found = shares(tmp_path, resources, (cpus, gpus))
    assert found.of("alexnet") == of_alexnet and found.concurrent == concurrent


def test_a_single_trial_gets_every_core(tmp_path: Path) -> None:
    one = shares(tmp_path, "", (8, 0), text="rows: {A: {settings: {lr: 1e-5}}}\n")
    assert one.of("alexnet") == (8, 0)


def test_options_win_over_the_space(tmp_path: Path) -> None:
    found = shares(tmp_path, "{cpus: 4, gpus: 1}", (8, 1), cpus=2, gpus=0)
    assert found.of("alexnet") == (2, 0)
    assert shares(tmp_path, "", (8, 0), concurrent=2).of("alexnet") == (4, 0)


def test_more_than_the_cluster_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="asks for 8 cpus and 4 gpus; no machine has both"):
        shares(tmp_path, "{gpus: 4}", (8, 1))


def test_a_trial_has_to_fit_on_one_machine(tmp_path: Path) -> None:
    pair = [Node(8, 0), Node(8, 0)]
    row = "rows: {A: {settings: {lr: 1e-5}}}\n"
    assert shares(tmp_path, "", pair, text=row).of("alexnet") == (8, 0)
    with pytest.raises(DriverError, match="asks for 12 cpus and 0 gpus; no machine has both"):
        shares(tmp_path, "{cpus: 12}", pair)
    mixed = [Node(4, 0), Node(16, 2)]
    found = shares(tmp_path, "", mixed)
    assert found.of("alexnet") == (8, 1) and found.concurrent == 2


def test_rays_client_is_refused() -> None:
    with pytest.raises(DriverError, match="Ray's client cannot run a search"):
        check_address("ray://127.0.0.1:10001")


@pytest.mark.usefixtures("local_ray")
def test_a_local_ray_listens_on_loopback_only() -> None:
    import psutil
    import ray

    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
    found = set()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # a worker of an earlier test, just ended
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(connection.laddr.ip)
    assert found and found <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_more_gpus_than_this_machine_has_is_refused_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facesiam.device.hardware.gpu_names", lambda: ["a GPU"])
    check_gpus(space(tmp_path, NETS, "{gpus: 0.5}"), None)
    with pytest.raises(DriverError, match=r"--gpus 2: more than the 1 GPU of this machine"):
        check_gpus(space(tmp_path, NETS, ""), 2)
    with pytest.raises(DriverError, match=r"resources of vgg16_bn: gpus 3: more than the 1"):
        check_gpus(space(tmp_path, NETS, "{per_net: {vgg16_bn: {gpus: 3}}}"), None)


def test_an_address_is_tried_before_ray_is(tmp_path: Path) -> None:
    check_address("auto")
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
        port = server.getsockname()[1]
    with pytest.raises(DriverError, match="nothing answers there"):
        check_address(f"127.0.0.1:{port}")


def test_what_answers_but_is_no_ray_is_refused_before_ray_asks_it_for_minutes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def serve() -> None:
            for answer in (b"\0\0\x18\4\0\0\0\0\0", b"HTTP/1.1 400 Bad Request\r\n", b""):
                connection, _ = server.accept()
                with connection:
                    connection.recv(64)
                    connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        check_address(address)
        for _ in range(2):
            with pytest.raises(DriverError, match="something else than Ray answers there; give"):
                check_address(address)
        serving.join()


@pytest.mark.parametrize(
    ("traceback", "reason"),
    [
        (
            "Traceback:\n  File x\nfacesiam.trainable.OutOfMemory: out of memory in epoch 3: CUDA\n",
            "out of memory in epoch 3: CUDA",
        ),
        ("Traceback:\n  File x\nValueError: shapes differ\n", "ValueError: shapes differ"),
        ("", "the worker died"),
    ],
)
def test_the_reason_is_the_sentence_of_a_traceback(traceback: str, reason: str) -> None:
    assert reason_of(traceback) == reason


def test_what_is_auto_follows_the_measured_number_at_once(tmp_path: Path) -> None:
    both = space(tmp_path, "search: {net: [alexnet, vgg16_bn], lr: {low: 0.1, high: 1}}\n", "")
    setup, at_once = Setup(run=tmp_path, data=""), {"alexnet": 4, "vgg16_bn": 1}
    gpu = Allocation(both, setup, [Node(16, 2)], at_once)
    assert gpu.of("alexnet") == (2, 0.25) and gpu.of("vgg16_bn") == (8, 1)
    assert gpu.concurrent == 8
    cores = Allocation(both, setup, [Node(16, 0)], at_once)
    assert cores.of("alexnet") == (4, 0) and cores.of("vgg16_bn") == (16, 0)


def test_a_share_doubles_up_to_the_whole_device(tmp_path: Path) -> None:
    one = space(tmp_path, "search: {net: [alexnet], lr: {low: 0.1, high: 1}}\n", "")
    gpu = Allocation(one, Setup(run=tmp_path, data=""), [Node(8, 1)], {"alexnet": 4})
    assert [gpu.of("alexnet", n)[1] for n in range(4)] == [0.25, 0.5, 1, 1]
    assert [gpu.can_double("alexnet", n) for n in range(3)] == [True, True, False]
    two = Allocation(one, Setup(run=tmp_path, data="", gpus=2), [Node(8, 4)])
    assert two.of("alexnet", 3)[1] == 2 and not two.can_double("alexnet", 0)
    cores = Allocation(one, Setup(run=tmp_path, data="", cpus=3), [Node(8, 0), Node(4, 0)])
    assert [cores.of("alexnet", n)[0] for n in range(4)] == [3, 6, 8, 8]


@pytest.mark.parametrize(("trials", "gpus"), [(2, 1), (3, 0.5), (8, 0.25), (20, 0.25)])
def test_no_gpu_idles_beside_one_that_is_shared(tmp_path: Path, trials: int, gpus: float) -> None:
    few = space(tmp_path, f"search: {{lr: {{low: 0.1, high: 1}}}}\ntrials: {trials}\n", "")
    two = Allocation(few, Setup(run=tmp_path, data=""), [Node(8, 2)], {"alexnet": 4})
    assert two.of("alexnet")[1] == gpus


def test_a_head_without_cpus_of_its_own_does_not_make_the_shares_small(tmp_path: Path) -> None:
    space = builders.space(tmp_path, "search: {lr: [1e-4, 1e-3, 1e-2]}\nalgorithm: grid\n")
    nodes = [Node(0, 0), Node(8, 0)]
    shares = Allocation(space, Setup(run=tmp_path, data=""), nodes)
    assert shares.of("alexnet") == (2, 0) and shares.concurrent == 4
    assert shares.at_once_on([Node(0, 0)]) == 0


@pytest.mark.parametrize("cpus", [0.5, 0.25])
def test_on_less_than_a_core_a_trial_gets_what_there_is(tmp_path: Path, cpus: float) -> None:
    found = shares(tmp_path, "", (cpus, 0))
    assert found.of("alexnet") == (cpus, 0) and found.concurrent == 1
    # Beside a whole machine it is not what all are sized by.
    both = shares(tmp_path, "", [Node(8, 0), Node(cpus, 0)])
    assert both.of("alexnet") == (2, 0) and both.concurrent == 4


def test_machines_without_a_core_to_give_run_nothing(tmp_path: Path) -> None:
    for nodes in ([Node(0, 0)], [Node(0, 0), Node(0, 1)], []):
        with pytest.raises(DriverError, match="no machine has a core to give"):
            shares(tmp_path, "", nodes)
    head = shares(tmp_path, "", [Node(0, 0), Node(4, 0)])
    assert head.of("alexnet") == (1, 0) and head.concurrent == 4
    assert head.at_once_on([Node(0, 0)]) == 0  # its worker is gone


def test_the_part_of_all_machines_that_a_trial_takes(tmp_path: Path) -> None:
    mixed = shares(tmp_path, "{per_net: {vgg16_bn: {gpus: 1}}, gpus: 0.25, cpus: 1}", (16, 2))
    assert (mixed.part("alexnet"), mixed.part("vgg16_bn")) == (1 / 8, 1 / 2)
    assert (mixed.part("alexnet", 1), mixed.part("vgg16_bn", 3)) == (1 / 4, 1.0)
    mixed.at_once_on([Node(16, 4)])
    assert mixed.part("alexnet") == 1 / 16
    mixed.at_once_on([Node(0, 0)])
    assert mixed.part("alexnet") == 1.0
