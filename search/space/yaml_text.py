"""Plain data as the text of a space file."""

from __future__ import annotations

import yaml


def written(plain: object) -> str:
    """Return plain data as YAML, its innermost lists and mappings on one line each."""
    return yaml.dump(
        plain,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=99,
        default_flow_style=None,
    )


class _Dumper(yaml.SafeDumper):
    """Writes values out instead of referring back to an equal one."""

    def ignore_aliases(self, data: object) -> bool:
        return True
