"""Job files from their templates, slurm.sh and rayjob.yaml beside this file.

What a scheduler is told stands in its template; here is what differs from search to search.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from facesiam.errors import UserError, masked
from facesiam.files import read_text
from search.space import SearchSpace
from search.space.run_options import RunOptions

FOLDER = Path(__file__).parent
HEADROOM_MINUTES = 30
"""Added to the space's minutes in Slurm's time limit: for the start of Ray, packing, saving."""
TIME = r"(\d+-\d+|\d+)(:\d+){0,2}|UNLIMITED|INFINITE"
TIME_FORMS = "M, M:SS, H:MM:SS, D-H, D-H:MM or D-H:MM:SS, such as 24:00:00, or UNLIMITED"
"""The forms of a time limit; Slurm reads its words in capitals or not."""
NAMED = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
"""Names of Kubernetes' objects."""
FORMS = {
    "image": (r"[\w.:/@-]+", "REGISTRY/siamsearch:0.1.0"),
    "memory": (r"\d+(\.\d+)?([kMGT]|[KMGT]i)?", "32Gi"),
    "secret": (NAMED, "siamsearch-aws"),
    "claim": (NAMED, "cfp"),
}
"""What the values of these options look like to Kubernetes, and an example of each."""


class JobError(UserError, ValueError):
    """A job file that cannot be written; the text says why."""


@dataclass(frozen=True)
class Job:
    """A search to be run by a cluster's scheduler."""

    options: RunOptions
    space: SearchSpace
    more: tuple[str, ...]
    """Further options of ``search.run``, as they were given."""
    command: str
    """The command that wrote the job file."""
    file: str
    """Name under which the job file is meant to be kept."""
    nodes: int
    cpus: int
    """Of each node."""
    gpus: int
    """Of each node."""

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.options.name or self.space.name


def slurm(
    job: Job, time: str | None, asked: Mapping[str, str | None], setup: str, exclusive: bool
) -> str:
    """Return a script for ``sbatch``.

    Args:
        job: the search.
        time: limit as Slurm takes it; None: the space's minutes and HEADROOM_MINUTES, or a day.
        asked: further options of ``sbatch`` by name, such as account; None: not asked for.
        setup: shell lines that make the environment, on each node.
        exclusive: keep other jobs off the nodes.

    Raises:
        JobError: the time, or another option, is none that Slurm takes.
    """
    wanted = {"gpus-per-node": str(job.gpus) if job.gpus else None, **asked}
    lines = [f"#SBATCH --{name}={text}\n" for name, text in wanted.items() if text]
    lines += ["#SBATCH --exclusive\n"] * exclusive
    if time and not re.fullmatch(TIME, time, re.ASCII | re.IGNORECASE):
        raise JobError(f"--time {time!r}: Slurm takes {TIME_FORMS}")
    for text in (job.name, *(text or "" for text in wanted.values())):
        if re.search(r"[\s\"'\\#]", text) or not text.isprintable():
            raise JobError(f"{text!r}: Slurm takes no blanks, quotes, backslashes or # there")
    return _filled(
        "slurm.sh",
        COMMAND=job.command,
        FILE=words([job.file]),
        JOB=job.name,
        LOG=job.name.replace("%", "%%"),
        NODES=str(job.nodes),
        CPUS=str(job.cpus),
        ASKED="".join(lines),
        TIME=time or _time_of(job.space.minutes),
        SETUP=setup,
        SPACE=words([job.options.space]),
        NAME=words([job.name]),
        OUT=words([job.options.out]),
        OPTIONS=words(job.more),
    )


def words(given: Iterable[str]) -> str:
    """Return words quoted for bash, as ``shlex.join``, but always in one line.

    They stand in comments, and in blocks whose lines are indented.
    """
    return " ".join(map(_quoted, given))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))


def _time_of(minutes: float) -> str:
    """Return Slurm's time limit for a search of so many minutes; 0: for one without a limit."""
    if not minutes:
        return "24:00:00"
    whole = int(minutes + HEADROOM_MINUTES + 0.999)
    return f"{whole // 60:02}:{whole % 60:02}:00"


def rayjob(
    job: Job, image: str, memory: str, secret: str, claim: str | None, data_file: str, text: str
) -> str:
    """Return the manifests of a RayJob: its scripts and space file, a network policy, the job.

    Args:
        job: the search.
        image: of head and workers.
        memory: of each worker, as Kubernetes writes it.
        secret: name of the secret with the credentials of the storage.
        claim: name of the volume claim with the data; None: the faces are drawn.
        data_file: the data's path within the claim.
        text: of the space file.

    Raises:
        JobError: the name is none that Kubernetes takes, or the runs would lie in a pod.
    """
    label = _label_of(job)
    given = {"image": image, "memory": memory, "secret": secret, "claim": claim or None}
    _refuse_what_cannot_run(job, given, text)
    gpus = f', nvidia.com/gpu: "{job.gpus}"' if job.gpus else ""
    needs = [f"the secret {secret} with the bucket's credentials"]
    if claim:
        needs.append(f"the claim {claim} with {words([data_file])} in it")
    mounts = _CLAIMED if claim else dict.fromkeys(_CLAIMED, "")
    blocks = {
        name: block.format(claim=claim, file=json.dumps(f"/data/{data_file}"))
        for name, block in mounts.items()
    }
    return _filled(
        "rayjob.yaml",
        COMMAND=job.command,
        FILE=words([job.file]),
        NEEDS=", ".join(needs),
        JOB=label,
        NAME=words([job.name]),
        OUT=words([job.options.out]),
        OPTIONS=words(job.more),
        SPACE="\n".join(f"    {line}".rstrip() for line in text.splitlines()),
        IMAGE=image,
        SECRET=secret,
        RAY=importlib.metadata.version("ray"),
        WORKERS=str(job.nodes),
        RESOURCES=f'cpu: "{job.cpus}", memory: "{memory}"{gpus}',
        **blocks,
    )


def _label_of(job: Job) -> str:
    """Return the name of the job's objects in Kubernetes."""
    label = job.name.lower().replace("_", "-").replace(".", "-")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", label):
        raise JobError(f"--name {job.name}: Kubernetes takes at most 42 letters, digits and -")
    return label


def _refuse_what_cannot_run(job: Job, given: Mapping[str, str | None], text: str) -> None:
    """Raise a JobError for what Kubernetes or the manifest cannot take; None: not given."""
    if "://" not in job.options.out:
        raise JobError(f"--out {job.options.out}: it would lie in a pod; give s3://BUCKET/runs")
    if "\t" in text:
        raise JobError(f"{job.options.space}: has tabs, which cannot stand in the job's manifest")
    for option, value in given.items():
        form, like = FORMS[option]
        if value is not None and not re.fullmatch(form, value, re.ASCII):
            raise JobError(f"--{option} {value!r}: nothing that Kubernetes takes; such as {like}")


_CLAIMED = {
    "DATA": "                - {{name: FACESIAM_DATA, value: {file}}}\n",
    "MOUNT": "                - {{name: data, mountPath: /data, readOnly: true}}\n",
    "VOLUME": "            - name: data\n              persistentVolumeClaim: "
    '{{claimName: "{claim}", readOnly: true}}\n',
}


def _filled(template: str, **values: str) -> str:
    """Return a template with each @NAME@ replaced; a name without a value is a KeyError."""
    values["COMMAND"] = masked(values["COMMAND"])
    text = read_text(FOLDER / template)
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], text)
