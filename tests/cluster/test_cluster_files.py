"""The files for clusters, each tried as far as it can be without the service it is for.

Slurm's script runs here with stand-ins for Slurm; test_slurm.py has a real one.
"""

from __future__ import annotations

import copy
import fnmatch
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate
import pytest
import yaml
from builders import ROOT
from ray.autoscaler._private.util import prepare_config, validate_config

from facesiam.storage.bucket import Bucket
from search.cli.run_parser import parser
from search.cluster import __main__ as cluster
from search.cluster import render
from search.space import load
from search.tuning import ray_environment

CLUSTER = ROOT / "scripts" / "cluster"
TEMPLATES = [render.FOLDER / "slurm.sh", render.FOLDER / "rayjob.yaml"]
REQUIREMENTS = (ROOT / "requirements.txt").read_text()

# What Slurm's and Ray's commands are called with goes into one file, in order. srun starts its
# command here; Ray's nodes live until they are told to end.
FAKES = {
    "scontrol": "printf 'one\\ntwo\\nthree\\n'",
    "hostname": "echo '127.0.0.1 10.0.0.7'",
    "srun": """
        options=
        while [ "${1#--}" != "$1" ]; do options="$options $1"; shift; done
        say srun$options -- "$@"
        exec "$@" """,
    "ray": """
        if [ "$1" = health-check ]; then exec grep -q '^ray start --head' "$LOG"; fi
        sleep 30 > /dev/null 2>&1 &
        trap 'say ray ended; kill %1; exit 0' TERM
        say ray "$@" token=${#RAY_AUTH_TOKEN}
        wait""",
    # The driver makes the run and, asked to be slow, waits for SIGTERM as the real one does.
    "python": """
        if [ "$1" = - ]; then
            until [ "$(grep -c '^ray start' "$LOG")" = "$3" ]; do sleep 0.02; done
            say joined "$3"
            exit 0
        fi
        if [ "$1" = -c ]; then exit "${FOUND:-1}"; fi
        if [ -n "${SLOW:-}" ]; then sleep 30 > /dev/null 2>&1 & fi
        trap 'say driver ended; kill %1; exit 143' TERM
        say "python$(printf ' %q' "$@")"
        touch "$MANIFEST"
        wait
        exit "${CODE:-0}" """,
}


SPACE = "search: {lr: [1e-4, 1e-3]}\n"


def rendered(kind: str, folder: Path, *arguments: str) -> Path:
    """Write a job file by the command; its name is out of the way of other files here."""
    file = folder / f"job.{kind}"
    assert cluster.main([kind, *arguments, "--force", "--file", str(file)]) == 0
    return file


class Slurm:
    """A node with nothing but the fakes in front of its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.manifest = folder / "runs" / "mine" / "manifest.json"
        self.manifest.parent.mkdir(parents=True)
        bin = folder / "bin"
        bin.mkdir()
        for name, body in FAKES.items():
            file = bin / name
            file.write_text(f'#!/bin/bash\nsay() {{ echo "$*" >> "$LOG"; }}\n{body}\n')
            file.chmod(0o755)
        self.environment = {
            "PATH": f"{bin}:/usr/bin:/bin",
            "LOG": str(self.log),
            "MANIFEST": str(self.manifest),
            "SLURM_JOB_ID": str(10**7 + os.getpid()),
            "SLURM_JOB_NODELIST": "nodes",
            "SLURM_CPUS_PER_TASK": "8",
        }
        self.space = folder / "a space.yaml"
        self.space.write_text(SPACE)

    def start(
        self, *arguments: str, out: str | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """Write the script and start it as Slurm does, in a session of its own."""
        self.log.write_text("")
        given = [str(self.space), "--name", "mine", "--out", out or str(self.folder / "runs")]
        file = rendered("slurm", self.folder, *given, "--setup", "true", *arguments)
        return subprocess.Popen(
            ["bash", str(file)],
            env=self.environment | environment,
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, str]:
        """Run it to its end; return the exit code and what it said on stderr."""
        process = self.start(*arguments, **more)
        said = process.communicate(timeout=15)[1]
        return process.returncode, said

    def lines(self, start: str = "") -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(start)]


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


def test_slurm_starts_head_then_workers_then_the_driver(slurm: Slurm) -> None:
    assert slurm.run("--set", "lr=1e-4", "--seed", "3") == (0, "")
    lines = slurm.lines()
    steps = [line for line in lines if line.startswith("srun")]
    head, *workers = [step for step in steps if "ray start" in step]
    node = "--nodes=1 --ntasks=1 --nodelist={} --cpus-per-task=8 --export=ALL -- ray start"
    assert node.format("one") + " --head --block --node-ip-address=127.0.0.1" in head
    assert "--include-dashboard=false" in head
    port = re.findall(r"--port=(\d+)", head)[0]
    assert 20000 <= int(port) < 32768  # below what the kernel hands out
    # The steps of two nodes start at the same time, in either order.
    for name, worker in zip(("three", "two"), sorted(workers), strict=True):
        assert f"{node.format(name)} --block --address=127.0.0.1:{port} " in worker
    # In order: the head is up, the workers have been started, all three are there, the search.
    up = next(i for i, line in enumerate(lines) if line.startswith("ray start --head"))
    driver = next(i for i, line in enumerate(lines) if line.startswith("python -m"))
    assert up < min(lines.index(worker) for worker in workers)
    assert lines.index("joined 3") < driver
    assert shlex.split(lines[driver]) == [
        "python",
        "-m",
        "search.run",
        str(slurm.space),
        "--address",
        f"127.0.0.1:{port}",
        "--out",
        f"{slurm.folder}/runs",
        "--name",
        "mine",
        "--set",
        "lr=1e-4",
        "--seed",
        "3",
    ]
    # Each node has the token, of 32 bytes; at the end each one has been told to end.
    started = slurm.lines("ray start")
    assert len(started) == 3 and all(line.endswith(" token=64") for line in started)
    assert slurm.lines("ray ended") == ["ray ended"] * 3
    assert "rm -rf /tmp/ray-" in steps[-1]


def test_slurm_gives_the_driver_what_its_parser_takes(slurm: Slurm) -> None:
    assert slurm.run("--algorithm", "random", "--trials", "3")[0] == 0
    command = slurm.lines("python -m")[0]
    options = parser().parse_args(shlex.split(command)[3:])
    assert (options.space, options.name, options.trials) == (str(slurm.space), "mine", 3)
    assert options.address.startswith("127.0.0.1:") and not options.resume


def test_a_sigterm_reaches_the_driver_and_the_script_ends_with_its_code(slurm: Slurm) -> None:
    process = slurm.start(SLOW="1")
    until = time.monotonic() + 10
    while not slurm.lines("python -m") and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)  # to the script alone, as Slurm's B: does
    process.communicate(timeout=10)
    assert process.returncode == 143
    # The driver first: Ray is there until it has saved.
    ended = [line for line in slurm.lines() if line.endswith(" ended")]
    assert ended == ["driver ended"] + ["ray ended"] * 3


@pytest.mark.parametrize("code", [1, 2, 130])
def test_slurm_ends_with_the_drivers_code(slurm: Slurm, code: int) -> None:
    assert slurm.run(CODE=str(code))[0] == code


def test_the_same_job_again_resumes(slurm: Slurm) -> None:
    assert slurm.run(CODE="1")[0] == 1
    assert "--resume" not in slurm.lines("python -m")[0]
    assert slurm.manifest.exists()
    assert slurm.run("--algorithm", "random", "--trials", "3")[0] == 0
    assert slurm.lines("python -m")[0].endswith(
        " --name mine --algorithm random --trials 3 --resume"
    )


@pytest.mark.parametrize(("found", "resumes"), [("0", True), ("1", False)])
def test_a_run_in_a_bucket_is_looked_for_there(slurm: Slurm, found: str, resumes: bool) -> None:
    assert slurm.run(out="s3://bucket/runs", FOUND=found)[0] == 0
    driver = slurm.lines("python -m")[0]
    assert " --out s3://bucket/runs " in driver and ("--resume" in driver) == resumes


@pytest.mark.parametrize(
    ("kind", "arguments", "sentence"),
    [
        ("slurm", ["--resume"], "--resume: leave it out; the job itself starts and resumes"),
        ("slurm", ["--address", "auto"], "--address: leave it out; the job itself"),
        ("slurm", ["--dry-run"], "--dry-run: leave it out"),
        ("slurm", ["--set", "lrr=1"], "--set lrr: not a setting; did you mean lr?"),
        ("slurm", ["--account", "two words"], "'two words': Slurm takes no blanks"),
        ("slurm", ["--qos", "a'b"], """"a'b": Slurm takes no blanks, quotes"""),
        ("slurm", ["--account", "a#b"], "'a#b': Slurm takes no blanks, quotes, backslashes or #"),
        ("kubernetes", ["--out", "runs"], "--out runs: it would lie in a pod; give s3://BUCKET/"),
        ("kubernetes", ["--image", "a: b"], "--image 'a: b': nothing that Kubernetes takes; such"),
        (
            "kubernetes",
            ["--memory", "9}"],
            "--memory '9}': nothing that Kubernetes takes; such as",
        ),
        ("kubernetes", ["--secret", "a\nb"], r"--secret 'a\nb': nothing that Kubernetes takes"),
        ("kubernetes", ["--claim", "c}"], "--claim 'c}': nothing that Kubernetes takes; such as"),
        ("kubernetes", ["--name", "x" * 43], f"--name {'x' * 43}: Kubernetes takes at most 42"),
        ("kubernetes", ["--image", "ü/it:1"], "--image 'ü/it:1': nothing that Kubernetes takes"),
        ("slurm", ["--account", "a\x07b"], r"'a\x07b': Slurm takes no blanks"),
    ],
)
def test_what_no_job_could_run_is_refused_before_a_file_is_written(
    kind: str,
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mine.yaml").write_text(SPACE)
    file = tmp_path / "job"
    given = [kind, str(tmp_path / "mine.yaml"), "--file", str(file)]
    if kind == "kubernetes":
        given += ["--image", "here/it:1", "--out", "s3://bucket/runs"]
    assert cluster.main([*given, *arguments]) == 2
    assert capsys.readouterr().err.startswith(sentence) and not file.exists()


def test_an_option_that_the_search_lacks_is_its_own_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cluster.main(["slurm", "code2", "--file", str(tmp_path / "job"), "--epochs", "2"])
    assert stopped.value.code == 2 and list(tmp_path.iterdir()) == []
    assert "unrecognized arguments: --epochs 2" in capsys.readouterr().err


AWKWARD = """it's "two"\n  $(touch bad) `touch bad`; touch bad\n#SBATCH ü\\n @NAME@"""
"""What a shell, YAML, Slurm or the template could take for its own."""


def test_words_reach_the_search_through_slurms_script_as_they_were_given(slurm: Slurm) -> None:
    file = slurm.folder / AWKWARD.replace("\n", " ")
    file.write_text(SPACE)
    slurm.space = file
    given = ["--data", AWKWARD, "--weights", AWKWARD + "\t"]
    assert slurm.run(*given, out=f"{slurm.folder}/{AWKWARD}") == (0, "")
    script = (slurm.folder / "job.slurm").read_text()
    assert (
        len([line for line in script.splitlines() if line.startswith("#SBATCH")])
        == len(re.findall(r"(?:^|@)#SBATCH", TEMPLATES[0].read_text(), re.MULTILINE)) + 2
    )  # GPUs, and the nodes alone
    assert script.index("\n#SBATCH") < script.index("\nset -euo pipefail")
    (driver,) = re.findall(r"^python -m search\.run .*", slurm.log.read_text(), re.MULTILINE)
    shown = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {driver}"], capture_output=True, text=True, check=True
    )
    words = shown.stdout.split("\0")[3:-1]
    options = parser().parse_args(words)
    assert (options.space, options.data, options.weights) == (str(file), AWKWARD, AWKWARD + "\t")
    assert options.out == f"{slurm.folder}/{AWKWARD}"
    assert not (slurm.folder / "bad").exists()


def test_the_lines_of_setup_are_run_once_and_hide_nothing_from_slurm(slurm: Slurm) -> None:
    lines = 'echo first >> "$LOG"\necho "it\'s second" >> "$LOG"'
    assert slurm.run("--setup", lines) == (0, "")
    assert slurm.lines()[:2] == ["first", "it's second"] and len(slurm.lines("first")) == 1
    before = (slurm.folder / "job.slurm").read_text().split("\n#SBATCH")[0]
    assert all(line.startswith("#") for line in before.splitlines())


def test_slurm_ends_when_the_head_does_not_start(slurm: Slurm) -> None:
    ray = slurm.folder / "bin" / "ray"
    ray.write_text("#!/bin/bash\nexit 3\n")
    assert slurm.run() == (1, "Ray's head did not start on one\n")
    assert not slurm.lines("python -m")


def asked(file: Path) -> list[str]:
    """What a script asks Slurm for."""
    return re.findall(r"^#SBATCH (\S+)", file.read_text(), re.MULTILINE)


def test_slurm_asks_for_the_signal_and_the_requeue(tmp_path: Path) -> None:
    file = rendered("slurm", tmp_path, "code2", "--nodes", "4", "--account", "phys")
    found = asked(file)
    assert {"--signal=B:TERM@60", "--requeue", "--open-mode=append"} <= set(found)
    assert {"--ntasks-per-node=1", "--nodes=4", "--cpus-per-task=8", "--gpus-per-node=1"} <= set(
        found
    )
    assert {"--job-name=code2", "--account=phys", "--exclusive", "--time=24:00:00"} <= set(found)
    # Slurm reads its lines up to the first command only.
    before = file.read_text().split("\nset -euo pipefail\n")[0]
    assert before.count("#SBATCH ") == len(found)
    subprocess.run(["bash", "-n", str(file)], check=True)


def test_the_time_limit_follows_from_the_spaces_minutes(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SPACE + "algorithm: random\ntrials: 4\nminutes: 100\n")
    given = [str(tmp_path / "mine.yaml"), "--gpus", "0", "--shared-nodes"]
    found = asked(rendered("slurm", tmp_path, *given))
    assert "--time=02:10:00" in found  # 100 minutes and half an hour
    assert not [line for line in found if line.startswith(("--gpus", "--exclusive", "--account"))]
    for limit in ("5", "90:30", "24:00:00", "2-12", "2-12:30", "1-0:0:30", "unlimited"):
        assert f"--time={limit}" in asked(rendered("slurm", tmp_path, *given, "--time", limit))
    (tmp_path / "mine.yaml").write_text(SPACE + "algorithm: random\ntrials: 4\nminutes: 0.2\n")
    assert "--time=00:31:00" in asked(rendered("slurm", tmp_path, *given))  # not a second less


@pytest.mark.parametrize("limit", ["3x", "1:2:3:4", "1-2:3:4:5", "2-", "-1", "3 h", "٣", "1\n2"])
def test_a_time_limit_that_slurm_does_not_take_is_refused(
    limit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job"
    words = ["slurm", "code2", f"--time={limit}", "--file", str(file)]
    assert cluster.main(words) == 2
    assert "Slurm takes M, M:SS, H:MM:SS, D-H, D-H:MM or D-H:MM:SS" in capsys.readouterr().err
    assert not file.exists()


def test_a_name_may_have_as_many_characters_as_kubernetes_takes(tmp_path: Path) -> None:
    found = kubernetes(tmp_path, "--name", "x" * 42)
    assert found["RayJob"]["metadata"]["name"] == "x" * 42


def test_a_job_file_that_is_there_may_have_been_edited_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = rendered("slurm", tmp_path, "code2")
    file.write_text("edited")
    assert cluster.main(["slurm", "code2", "--file", str(file)]) == 2
    assert capsys.readouterr().err.endswith(
        f"\n{file}: exists; give another --file, or --force to write over it\n"
    )
    assert file.read_text() == "edited"
    assert rendered("slurm", tmp_path, "code2").read_text().startswith("#!/usr/bin/env")


def test_slurms_log_has_the_name_and_its_comment_no_secret(tmp_path: Path) -> None:
    out = ["--out", "s3://KEY:SECRET@bucket/runs"]
    file = rendered("slurm", tmp_path, "code2", "--name", "half%j", *out)
    assert [line for line in asked(file) if "half%%j" in line]  # %j is the job's number
    comments = [line for line in file.read_text().splitlines() if line.startswith("# ")]
    assert [line for line in comments if "s3://***@bucket/runs" in line]
    assert not [line for line in comments if "SECRET" in line]


def launcher() -> dict[str, Any]:
    """The launcher's file, with Ray's defaults for AWS filled in as `ray up` does."""
    given = yaml.safe_load((CLUSTER / "ray.yaml").read_text())
    prepared: dict[str, Any] = prepare_config(copy.deepcopy(given))
    validate_config(prepared)
    return prepared


def test_rays_launcher_takes_the_file() -> None:
    config = launcher()
    assert config["head_node_type"] == "head"
    worker = config["available_node_types"]["worker"]
    # The search sizes its trials by the machines that are there when it starts.
    assert worker["min_workers"] == worker["max_workers"] == config["max_workers"]
    assert config["available_node_types"]["head"]["max_workers"] == 0


def test_nothing_of_rays_examples_is_left_in_the_launchers_commands() -> None:
    """Ray's defaults install a nightly build and open the dashboard to the network."""
    config = launcher()
    commands = [c for key, value in config.items() if key.endswith("_commands") for c in value]
    assert not [c for c in commands if "://" in c or "0.0.0.0" in c or "--index" in c]
    heads = [c for c in config["head_start_ray_commands"] if "ray start" in c]
    assert len(heads) == 1 and "--dashboard-host=127.0.0.1" in heads[0]
    assert "IpPermissions" not in config["provider"]["security_group"]


def test_the_launchers_commands_install_the_pins_that_are_mounted() -> None:
    config = launcher()
    assert config["file_mounts"] == {"~/requirements.txt": "requirements.txt"}
    assert (ROOT / "requirements.txt").is_file()
    for kind in ("head", "worker"):
        installs = [c for c in config[f"{kind}_setup_commands"] if "--requirement" in c]
        assert len(installs) == 1
        # Ray has no version here, so that it cannot be another one than the pinned.
        assert installs[0].endswith('--requirement ~/requirements.txt "ray[default]"')


def test_the_launchers_commands_are_shell() -> None:
    config = launcher()
    for command in [c for k, v in config.items() if k.endswith("_commands") for c in v]:
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_every_search_named_in_the_launchers_file_is_one_that_the_command_takes() -> None:
    text = (CLUSTER / "ray.yaml").read_text()
    commands = re.findall(r"python -m search\.run (spaces/[^'\"\n]+)", text)
    assert commands
    for command in commands:
        options = parser().parse_args(shlex.split(command))
        load(ROOT / options.space)


def test_no_file_has_a_secret_or_a_path_of_one_machine() -> None:
    for file in (*CLUSTER.iterdir(), *TEMPLATES, ROOT / ".dockerignore"):
        text = file.read_text()
        assert not re.search(r"AKIA[0-9A-Z]{16}|SECRET_ACCESS_KEY=[^.]", text), file
        # The checkout and its parent, but for places that every machine has.
        places = {ROOT, ROOT.parent, Path.home()} - {Path("/"), Path(tempfile.gettempdir())}
        assert not [place for place in places if f"{place}/" in text], file


Manifests = dict[str, dict[str, Any]]


def kubernetes(folder: Path, *arguments: str) -> Manifests:
    """The parts of a job's file by kind."""
    image = ["--image", "REGISTRY/siamsearch:0.1.0", "--out", "s3://BUCKET/runs"]
    file = rendered("kubernetes", folder, "code2", *image, *arguments)
    return {part["kind"]: part for part in yaml.safe_load_all(file.read_text())}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    return kubernetes(tmp_path_factory.mktemp("job"))


@pytest.mark.parametrize(
    "text",
    [
        "  # indented\n  search: {lr: [1e-4, 1e-3]}\n# and not\n",
        "\n\n# ü – 漢字: @NAME@ {claim} |\nsearch: {lr: [1e-4, 1e-3]}\n",
        "search: {lr: [1e-4, 1e-3]}\ndata: drawn",
    ],
)
def test_a_space_file_is_in_the_job_as_it_is(text: str, tmp_path: Path) -> None:
    space = tmp_path / "on.yaml"
    space.write_text(text)
    given = ["--image", "here/it:1", "--out", "s3://bucket/runs", "--data-file", AWKWARD]
    file = rendered("kubernetes", tmp_path, str(space), *given, "--weights", AWKWARD)
    parts = {part["kind"]: part for part in yaml.safe_load_all(file.read_text())}
    assert parts["ConfigMap"]["data"]["space.yaml"] == text.rstrip("\n") + "\n"
    assert {part["metadata"]["name"] for part in parts.values()} == {"on"}  # not YAML's true
    head = dict(pods(parts))["ray-head"]["spec"]
    env = {one["name"]: one["value"] for one in head["containers"][0]["env"]}
    drawn = "data: drawn" in text
    assert env.get("FACESIAM_DATA") == (None if drawn else f"/data/{AWKWARD}")
    assert len(head["volumes"]) == 2 + (not drawn)


def test_words_reach_the_search_through_the_job_as_they_were_given(
    slurm: Slurm, tmp_path: Path
) -> None:
    manifests = kubernetes(tmp_path, "--weights", AWKWARD, "--data", f"{AWKWARD}\n\t")
    command = job_script(manifests, "start.sh", slurm)
    assert subprocess.run(command, env=slurm.environment, cwd=tmp_path, timeout=10).returncode == 0
    (driver,) = re.findall(r"^python -m search\.run .*", slurm.log.read_text(), re.MULTILINE)
    shown = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {driver}"], capture_output=True, text=True, check=True
    )
    options = parser().parse_args(shown.stdout.split("\0")[3:-1])
    assert (options.weights, options.data) == (AWKWARD, f"{AWKWARD}\n\t")
    assert not (tmp_path / "bad").exists()


def pods(manifests: Manifests) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod's template, by the name of its only container."""
    spec = manifests["RayJob"]["spec"]
    cluster = spec["rayClusterSpec"]
    for template in (
        spec["submitterPodTemplate"],
        cluster["headGroupSpec"]["template"],
        *(group["template"] for group in cluster["workerGroupSpecs"]),
    ):
        (container,) = template["spec"]["containers"]
        yield container["name"], template


def amount(text: str) -> float:
    """A quantity of Kubernetes: 500m, 2, 16Gi."""
    number, unit = re.fullmatch(r"([\d.]+)(m|[KMGT]i)?", str(text)).groups()
    scale = {None: 1.0, "m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
    return float(number) * scale[unit]


def test_the_job_is_one_of_kuberay_for_the_pinned_ray(manifests: Manifests) -> None:
    job, spec = manifests["RayJob"], manifests["RayJob"]["spec"]
    assert job["apiVersion"] == "ray.io/v1"
    assert spec["submissionMode"] == "K8sJobMode" and spec["shutdownAfterJobFinishes"] is True
    assert f"ray=={spec['rayClusterSpec']['rayVersion']}\n" in REQUIREMENTS


# KubeRay's API reference, ray.io/v1: the fields of each level that a search may have a use for, by type.
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT, WORD, FLAG = {"type": "integer", "minimum": 0}, {"type": "string"}, {"type": "boolean"}


def level(required: list[str], **fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


WORKERS = level(
    ["groupName", "template", "rayStartParams"],
    **dict.fromkeys(("replicas", "minReplicas", "maxReplicas", "numOfHosts"), COUNT),
    idleTimeoutSeconds=COUNT,
    groupName=WORD,
    rayStartParams=TEXTS,
    template={"type": "object"},
)
RAY_CLUSTER = level(
    ["headGroupSpec"],
    authOptions=level(["mode"], mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling=FLAG,
    headGroupSpec=level(
        ["template", "rayStartParams"],
        enableIngress=FLAG,
        headService={"type": "object"},
        rayStartParams=TEXTS,
        serviceType=WORD,
        template={"type": "object"},
    ),
    headServiceAnnotations=TEXTS,
    rayVersion=WORD,
    suspend=FLAG,
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
RAY_JOB = level(
    [],
    **dict.fromkeys(("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"), COUNT),
    **dict.fromkeys(("entrypoint", "jobId", "runtimeEnvYAML", "entrypointResources"), WORD),
    **dict.fromkeys(("shutdownAfterJobFinishes", "suspend"), FLAG),
    clusterSelector=TEXTS,
    rayClusterSpec=RAY_CLUSTER,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    submitterPodTemplate={"type": "object"},
)
KUBERNETES = "1.30"
"""The version whose schemas are taken."""


def test_the_job_has_fields_of_kuberay_alone(manifests: Manifests) -> None:
    jsonschema.validate(manifests["RayJob"]["spec"], RAY_JOB)
    spec = copy.deepcopy(manifests["RayJob"]["spec"])
    spec["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="'replica' was unexpected"):
        jsonschema.validate(spec, RAY_JOB)


def test_pods_config_and_policy_are_what_kubernetes_takes(manifests: Manifests) -> None:
    for kind in ("ConfigMap", "NetworkPolicy"):
        kubernetes_validate.validate(manifests[kind], KUBERNETES, strict=True)
    for name, template in pods(manifests):
        pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        pod["spec"]["containers"][0]["imag"] = name
        with pytest.raises(kubernetes_validate.ValidationError, match="'imag' was unexpected"):
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_the_claim_of_the_docs_is_what_kubernetes_takes() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text()
    (block,) = re.findall(r"<< 'EOF'\n(.+?)EOF\n", text, re.DOTALL)
    parts = list(yaml.safe_load_all(block))
    for part in parts:
        kubernetes_validate.validate(part, KUBERNETES, strict=True)
    assert [part["kind"] for part in parts] == ["PersistentVolumeClaim", "Pod"]
    default = cluster.parser().parse_args(["kubernetes", "x", "--image", "i", "--out", "o"]).claim
    assert parts[0]["metadata"]["name"] == default


def test_all_pods_run_the_image_of_the_dockerfile(manifests: Manifests) -> None:
    tag = re.search(r"--tag (\S+) ", (CLUSTER / "Dockerfile").read_text())
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert tag and version and tag[1].endswith(f":{version[1]}")
    images = {t["spec"]["containers"][0]["image"] for _, t in pods(manifests)}
    assert images == {tag[1]}


def test_the_jobs_search_is_the_space_file_and_the_options(tmp_path: Path) -> None:
    parts = kubernetes(tmp_path, "--nodes", "5", "--gpus", "2", "--cpus", "6", "--set", "lr=1e-4")
    assert parts["ConfigMap"]["data"]["space.yaml"] == (ROOT / "spaces/code2.yaml").read_text()
    start = parts["ConfigMap"]["data"]["start.sh"]
    assert "--name code2 --set lr=1e-4 " in start
    (workers,) = parts["RayJob"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert [workers[f"{kind}eplicas"] for kind in ("r", "minR", "maxR")] == [5] * 3
    resources = workers["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"] == {"cpu": "6", "memory": "32Gi", "nvidia.com/gpu": "2"}


def test_a_job_without_gpus_or_data_asks_for_neither(tmp_path: Path) -> None:
    parts = kubernetes(tmp_path, "--gpus", "0", "--data", "drawn")
    text = yaml.safe_dump(parts)
    assert "nvidia.com" not in text and "persistentVolumeClaim" not in text
    assert "FACESIAM_DATA" not in text


def test_every_volume_that_is_mounted_is_there_and_mounted(manifests: Manifests) -> None:
    for name, template in pods(manifests):
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        (container,) = template["spec"]["containers"]
        mounts = {mount["name"]: mount for mount in container.get("volumeMounts", [])}
        assert set(mounts) == set(volumes), name
        if name == "ray-job-submitter":
            continue
        assert mounts["shm"]["mountPath"] == "/dev/shm"
        assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
        # It is memory of the container, and Ray's store has to fit, or Ray puts it on the disk.
        assert amount(container["resources"]["limits"]["memory"]) > amount("2Gi")
    cluster = manifests["RayJob"]["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert int(group["rayStartParams"]["object-store-memory"]) < amount("2Gi")


def test_the_pods_have_the_secret_and_no_rights(manifests: Manifests) -> None:
    for name, template in pods(manifests):
        (container,) = template["spec"]["containers"]
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 1000  # the image's
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        secrets = [source["secretRef"]["name"] for source in container.get("envFrom", [])]
        assert secrets == ([] if name == "ray-job-submitter" else ["siamsearch-aws"])
    # The command that makes it is in the docs, under the same name.
    assert "create secret generic siamsearch-aws " in (ROOT / "docs" / "cluster.md").read_text()


def test_no_pod_asks_for_more_than_its_limit(manifests: Manifests) -> None:
    for name, template in pods(manifests):
        asked = template["spec"]["containers"][0]["resources"]
        assert set(asked["requests"]) == set(asked["limits"])
        for what, limit in asked["limits"].items():
            assert amount(asked["requests"][what]) <= amount(limit), (name, what)
    workers = dict(pods(manifests))["ray-worker"]["spec"]["containers"][0]["resources"]
    assert workers["requests"]["nvidia.com/gpu"] == workers["limits"]["nvidia.com/gpu"] == "1"


def test_the_policy_lets_in_this_jobs_pods_and_the_operator_at_one_port(
    manifests: Manifests,
) -> None:
    policy = manifests["NetworkPolicy"]["spec"]
    ours = {"app": "code2"}
    assert policy["podSelector"]["matchLabels"] == ours and policy["policyTypes"] == ["Ingress"]
    assert [template["metadata"]["labels"] for _, template in pods(manifests)] == [ours] * 3
    inside, operator = policy["ingress"]
    assert inside == {"from": [{"podSelector": {"matchLabels": ours}}]}
    assert operator["ports"] == [{"port": 8265, "protocol": "TCP"}]


def test_the_pods_end_late_enough_for_the_driver_to_save(manifests: Manifests) -> None:
    """It takes up to 10 seconds, in which the trials have to live."""
    by_name = dict(pods(manifests))
    for name in ("ray-head", "ray-worker"):
        assert by_name[name]["spec"]["terminationGracePeriodSeconds"] == 60
    worker = by_name["ray-worker"]["spec"]["containers"][0]["lifecycle"]["preStop"]
    assert worker["exec"]["command"] == ["sleep", "15"]
    head = by_name["ray-head"]["spec"]["containers"][0]
    assert head["lifecycle"]["preStop"]["exec"]["command"] == ["bash", "/etc/siamsearch/stop.sh"]
    waits = {entry["name"]: entry["value"] for entry in head["env"]}
    assert int(waits["RAY_JOB_STOP_WAIT_TIME_S"]) > 10


def job_script(manifests: Manifests, name: str, slurm: Slurm) -> list[str]:
    """A command that runs a script of the ConfigMap here, at this test's own paths.

    From a file, as in the pod: `bash -c` would replace itself by the script's last command.
    """
    mount = "/etc/siamsearch/"
    assert manifests["RayJob"]["spec"]["entrypoint"] == f"bash {mount}start.sh"
    text = manifests["ConfigMap"]["data"][name]
    text = text.replace("/tmp/", f"{slurm.folder}/")
    file = slurm.folder / name
    file.write_text(text.replace("/home/search/siamsearch", str(slurm.folder)))
    return ["bash", str(file)]


@pytest.mark.parametrize(("found", "resumes"), [("0", True), ("1", False)])
@pytest.mark.parametrize("code", [0, 2])
def test_the_job_resumes_a_run_that_is_there_and_hides_no_exit_code(
    manifests: Manifests, slurm: Slurm, found: str, resumes: bool, code: int
) -> None:
    environment = slurm.environment | {"FOUND": found, "CODE": str(code)}
    command = job_script(manifests, "start.sh", slurm)
    assert subprocess.run(command, env=environment, timeout=10).returncode == code
    (driver,) = slurm.lines("python -m search.run")  # once: no second try
    options = parser().parse_args(shlex.split(driver)[3:])
    assert options.resume == resumes
    assert (options.space, options.address, options.out, options.name) == (
        "/etc/siamsearch/space.yaml",
        "auto",
        "s3://BUCKET/runs",
        "code2",
    )
    script = manifests["ConfigMap"]["data"]["start.sh"]
    assert f"' {options.out} {options.name}\n" in script  # where it is looked for


def test_before_the_heads_pod_ends_the_driver_is_told_and_waited_for(
    manifests: Manifests, slurm: Slurm
) -> None:
    start = job_script(manifests, "start.sh", slurm)
    driver = subprocess.Popen(start, env=slurm.environment | {"SLOW": "1"})
    until = time.monotonic() + 10
    while not (slurm.log.exists() and slurm.lines("python -m")) and time.monotonic() < until:
        time.sleep(0.02)
    stop = subprocess.Popen(job_script(manifests, "stop.sh", slurm))
    assert driver.wait(timeout=10) == 143
    assert stop.wait(timeout=10) == 0
    assert slurm.lines("driver") == ["driver ended"]


@pytest.mark.parametrize("file", ["slurm.sh", "rayjob.yaml"])
def test_a_run_is_found_by_its_manifest_and_not_where_there_is_none(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code by which both files look into a bucket, run on one in this process's memory."""
    found = re.search(r"python -c '\n(.+?)' ", (render.FOLDER / file).read_text(), re.DOTALL)
    assert found
    code = "\n".join(line.strip() for line in found[1].splitlines())
    bucket = f"memory://{file.split('.')[0]}/runs"
    monkeypatch.setattr("sys.argv", ["-c", bucket, "mine"])
    for there in (False, True):
        if there:
            Bucket(f"{bucket}/mine").write("manifest.json", b"{}")
        with pytest.raises(SystemExit) as ended:
            exec(code, {})
        assert int(ended.value.code or 0) == int(not there)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, lines that go on joined."""
    text = (CLUSTER / "Dockerfile").read_text()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def test_all_that_the_image_copies_is_here_and_let_in_and_nothing_else_is() -> None:
    copied = {
        source.rstrip("/")
        for word, rest in instructions()
        if word == "COPY"
        for source in rest.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert all((ROOT / source).exists() for source in copied)
    assert rules[0] == "*" and {rule[1:] for rule in rules if rule.startswith("!")} == copied
    for secret in (".git", ".venv", "ray_results", "cfp-dataset.zip", ".env"):
        assert not any(fnmatch.fnmatch(secret, rule[1:]) for rule in rules if rule[0] == "!")


def test_the_image_is_pinned_and_ends_as_a_user_without_rights() -> None:
    words = dict(instructions())  # of each word the last one
    assert re.fullmatch(r"python:3\.11-slim", words["FROM"])
    assert words["USER"] == "1000:1000"
    assert "RAY_USAGE_STATS_ENABLED=0" in words["ENV"]
    order = [rest for _, rest in instructions()]
    assert order.index("1000:1000") == len(order) - 1
    assert any("useradd --uid 1000 " in rest for rest in order)


def test_the_image_installs_the_pins_and_the_package_alone() -> None:
    runs = [rest for word, rest in instructions() if word == "RUN"]
    installs = [rest for rest in runs if "pip install" in rest]
    assert installs == [
        'pip install --no-cache-dir --requirement requirements.txt "ray[default]"',
        "pip install --no-cache-dir --no-deps --editable .",
    ]
    assert not any("://" in rest or "latest" in rest for rest in runs)


def test_all_rules_act_in_the_image_as_they_do_here(tmp_path: Path) -> None:
    """What chance rests on is in what the image copies, without the runs of this checkout."""
    for word, rest in instructions():
        for source in rest.split()[:-1] if word == "COPY" else ():
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / source.rstrip("/"))
    asked = (
        "from search.pruning import inactive_rules as acting\n"
        "from search import space\n"
        "from search.space import shipped\n"
        "from search.pruning.recorded_runs import shipped as runs\n"
        "print(shipped.PACKAGE, len(runs()), acting.cannot_act(space.load('spaces/code2.yaml')))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", asked]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path / 'search'} 18 []\n", done.stderr


def test_what_chance_rests_on_comes_to_the_machines_of_a_cluster() -> None:
    """By Ray's launcher onto the head, and with the code to every worker."""
    kept = ("search/pruning/recordings/index.csv", "spaces/code2.yaml")
    for rule in yaml.safe_load((CLUSTER / "ray.yaml").read_text())["rsync_exclude"]:
        assert not any(fnmatch.fnmatch(part, rule) for path in kept for part in path.split("/"))
    (search,) = (
        Path(p) for p in ray_environment.runtime_env()["py_modules"] if Path(p).name == "search"
    )
    assert (search / "pruning" / "recordings" / "index.csv").is_file()
