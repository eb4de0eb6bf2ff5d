"""Plain data as the text of a space file."""

from __future__ import annotations

import yaml


def written(plain: object, columns: int | None = None) -> str:
    """Return plain data as YAML, its innermost lists and mappings on one line each.

    Args:
        plain: lists, mappings and scalars.
        columns: that its lines fit, where their words do; None: as a file has it.
    """
    if columns is None:
        return _dumped(plain, 99)
    # PyYAML ends a line after the item that is beyond its width.
    for width in range(columns, columns // 2, -4):
        text = _dumped(plain, width)
        if max(map(len, text.splitlines()), default=0) <= columns:
            break
    return text


def _dumped(plain: object, width: int) -> str:
    return yaml.dump(
        plain,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=width,
        default_flow_style=None,
    )


class _Dumper(yaml.SafeDumper):
    """Writes values out instead of referring back to an equal one."""

    def ignore_aliases(self, data: object) -> bool:
        return True
