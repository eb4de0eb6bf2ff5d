"""Models of `resources:` in a space file: the CPUs and GPUs of a trial, also by net."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from facesiam.config import SETTINGS
from facesiam.config.settings import Setting
from search.space import domains
from search.space.fields import Part, filled, given, key, read


def _amount(value: object, above: float | None = None, low: float | None = None) -> float | str:
    if isinstance(value, str) and value[:1].isalpha():
        if value != "auto":
            raise ValueError(f"must be auto or a number, got {value!r}")
        return value
    return float(read(Setting("amount", float, "auto", above=above, low=low), value))


class Amounts(Part):
    """CPUs and GPUs of a trial."""

    cpus: Annotated[
        Annotated[float, Gt(0)] | Literal["auto"], BeforeValidator(partial(_amount, above=0))
    ] = key("auto")
    """CPUs of a trial; auto: an equal share."""
    gpus: Annotated[
        Annotated[float, Ge(0)] | Literal["auto"], BeforeValidator(partial(_amount, low=0))
    ] = key("auto")
    """GPUs of a trial, such as 0.5; auto: 1 if there is one."""


def _net(name: str) -> str:
    if name not in SETTINGS["net"].choices:
        raise PydanticCustomError("literal_error", "no net")
    return name


class Resources(Amounts):
    """CPUs and GPUs of a trial, of every net or of one."""

    per_net: Annotated[
        dict[Annotated[str, AfterValidator(_net)], Amounts], BeforeValidator(filled)
    ] = key({})
    """The same for one net, where nets differ."""

    def resources(self) -> domains.Resources:
        """Return the resources of a SearchSpace."""
        own = {str(net): given(amounts) for net, amounts in self.per_net.items()}
        return domains.Resources(self.cpus, self.gpus, own)
