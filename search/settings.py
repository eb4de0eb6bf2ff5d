"""The command that says what can be searched: each setting's meaning, bounds, choices, default.

python -m search.settings             all of them, a line or two each
python -m search.settings lr momentum
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import count

from facesiam import cli
from facesiam.cli.terminal import columns, folded
from facesiam.config import SETTINGS, TrialConfig, Value
from facesiam.config.constraints import CONSTRAINTS
from facesiam.config.field_docs import field_docs
from facesiam.config.settings import Setting

FEW = 4
"""Choices that the list of all settings names."""
WIDE = 110
"""Columns of a terminal in which a setting and its meaning stand side by side."""
LABEL = 13
"""Columns of the labels before what is said of one setting."""
SAME = "never: trials are judged by it, so it is the same in all of them"
RANGES: dict[str, str] = {
    "lr": "{low: 1e-5, high: 1e-2, log: true}",
    "head_lr": "{low: 1, high: 100, log: true}",
    "margin": "{low: 0.1, high: 1}",
    "loss_scale": "{low: 8, high: 64, log: true}",
    "sub_centres": "[2, 3]",
    "ema": "[0, 0.99, 0.999]",
    "fpr": "[0.01, 0.001]",
    "cohort": "[0, 200]",
    "hard_negatives": "[0.1, 1]",
    "momentum": "{choices: [0.8, 0.9], when: {optimizer: sgd}}",
    "weight_decay": "{low: 1e-6, high: 1e-2, log: true}",
    "label_smoothing": "[0, 0.1]",
    "rotate": "{low: 0, high: 20}",
    "net": "[alexnet, resnet18]",
    "hidden": "[512, 4096]",
    "embedding": "[128, 256]",
    "batch_size": "[16, 32, 64]",
    "epochs": "[20, 60]",
    "image_size": "[64, 112]",
    "first_image_size": "[0, 112]",
    "packed_size": "[112, 224]",
    "freeze_stages": "{low: 0, high: 4}",
    "images_per_person": "[2, 4]",
    "lookalike_people": "[0, 0.5]",
    "people": "[100, 0]",
    "seed": "[0, 1, 2]",
    "pair_seed": "[0, 1]",
    "fold": "{low: 1, high: 10}",
}
"""What `search:` may say of a setting, where no rule makes a sensible example."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 for a name that is no setting."""
    options = parser().parse_args(arguments)
    return cli.run(lambda: _main(options.names))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(
        prog=cli.program("search.settings"),
        description="What can be fixed or searched: meaning, bounds, choices, default, example.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as lr; without it, all")
    return parser


def _main(names: Sequence[str]) -> int:
    if names:
        from search.space import SpaceError
        from search.space.overrides import no_setting

        if wrong := [no_setting(name) for name in names if name not in SETTINGS]:
            raise SpaceError("\n".join(wrong))
        cli.show("\n\n".join(described(SETTINGS[name], columns(100)) for name in names))
    else:
        cli.show(listed(columns()))
        here = cli.program("search.settings")
        cli.show(f"\n{len(SETTINGS)} settings; `{here} NAME` says all of one, with an example")
    return cli.DONE


def listed(width: int) -> str:
    """Return all settings as text of so many columns: name, default, values, meaning."""
    meanings = field_docs(TrialConfig)
    rows = [
        (name, written(setting.default), _values(setting, FEW), meanings[name])
        for name, setting in SETTINGS.items()
    ]
    widths = [max(len(row[at]) for row in rows) + 2 for at in range(3)]
    lines = []
    for *parts, meaning in [("setting", "default", "values", "meaning"), *rows]:
        head = "".join(part.ljust(wide) for part, wide in zip(parts, widths, strict=True))
        if width >= WIDE:
            lines.append(folded(meaning, width, head, " " * len(head)))
        else:
            lines += [head.rstrip(), folded(meaning, width, "    ", "    ")]
    return "\n".join(lines)


def described(setting: Setting, width: int) -> str:
    """Return all that there is to say of one setting, as text of so many columns."""
    from search.space.constraints import JUDGED_BY

    value = _other_value(setting)
    searched = f"search: {{{setting.name}: {example(setting)}}}"
    parts = {
        setting.name: field_docs(TrialConfig)[setting.name],
        "values": _values(setting),
        "default": written(setting.default),
        "fixed": f"fixed: {{{setting.name}: {value}}}",
        "searched": SAME if setting.name in JUDGED_BY else searched,
        "command": f"--set {setting.name}={value}",
    }
    labels = max(LABEL, len(setting.name) + 2)
    return "\n".join(
        folded(text, width, label.ljust(labels), " " * labels) for label, text in parts.items()
    )


def example(setting: Setting) -> str:
    """Return what `search:` may say of a setting."""
    if setting.name in RANGES:
        return RANGES[setting.name]
    if setting.type is bool:
        return "[false, true]"
    if setting.choices:
        return f"[{', '.join(setting.choices[:3])}]"
    return f"{{low: 0, high: {min(0.5, setting.high or 0.5):g}}}"


def written(value: Value) -> str:
    """Return a value as a space file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _other_value(setting: Setting) -> str:
    """Return a value that is not the default: the last one that the example names."""
    values = re.sub(r", (log|when): .*|low: |high: |choices: |[][{}]", "", example(setting))
    *_, last = (one for one in values.split(", ") if setting.parse(one) != setting.default)
    return last


def _values(setting: Setting, most: int | None = None) -> str:
    """Return the values that a setting may have; of a long list the first ones."""
    if setting.type is bool:
        return "true, false"
    if setting.choices:
        few = setting.choices[: most and most - 1]
        cut = most is not None and len(setting.choices) > most
        known = few if cut else setting.choices
        return ", ".join(known) + (f", … ({len(setting.choices)})" if cut else "")
    if most:
        return bounds(setting)
    kind = "a whole number" if setting.type is int else "a number"
    plain = setting.above is None and _least_above_zero(setting) == 1
    return f"{kind}, {'from ' * plain}{bounds(setting)}"


def bounds(setting: Setting) -> str:
    """Return the values that a number may have, such as `above 0 to 1`, `0, or 2 to 9`.

    A constraint of the setting alone counts, too: its bounds let the 1 of `0, or 2 to 9` through.
    """
    low = written(setting.low or 0) if setting.above is None else f"above {setting.above:g}"
    if (least := _least_above_zero(setting)) > 1:
        low = f"0, or {least}"
    return f"{low} to {written(setting.high or 0)}"


def _least_above_zero(setting: Setting) -> int:
    """Return the least value after 0 that no constraint refuses by itself; 1: no 0, or no gap."""
    alone = [one for one in CONSTRAINTS if one.fields == (setting.name,)]
    if setting.type is not int or setting.low != 0:
        return 1
    return next(n for n in count(1) if not any(one.broken({setting.name: n}) for one in alone))


if __name__ == "__main__":
    sys.exit(main())
