"""Model files and state files: written whole or not at all, read without running code."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facesiam import cli, files, nearby
from facesiam.config import TrialConfig
from facesiam.errors import ConfigError, PluginError, WeightsError
from facesiam.nets.heads import widths
from facesiam.nets.models import kind_of
from facesiam.nets.precision import compute_in, dtype_of
from facesiam.nets.siamese import SiameseNet
from facesiam.nets.weight_files import read_weights
from facesiam.plugins import registry


def model_file(
    weights: Mapping[str, Tensor], config: TrialConfig, **info: float | str
) -> dict[str, Any]:
    """Return the content of a model file: weights in full precision, settings and `info`."""
    used = registry.used_by((config.net, config.loss))
    more: dict[str, Any] = {"plugins": used} if used else {}
    return {"config": config.to_dict(), "model": dict(weights), **more, **info}


def save_model(
    path: Path, weights: Mapping[str, Tensor], config: TrialConfig, **info: float | str
) -> None:
    """Write a model file, atomically; ``load_model`` reads it."""
    save_atomically(model_file(weights, config, **info), path)


def load_model(
    path: str | Path, dtype: torch.dtype | None = None
) -> tuple[SiameseNet, TrialConfig, dict[str, Any]]:
    """Read a file of ``save_model``.

    Where the file of its net's plugin has changed since, a line on standard error says so.

    Args:
        path: the file.
        dtype: of the layers; None: as the settings say.

    Returns:
        The net in evaluation mode, on the GPU where there is one; its settings; the other entries.

    Raises:
        WeightsError: no such file (with the nearest one), a damaged one, code in it, not written
            by this project, or its net is of a plugin that was not loaded.
    """
    file = Path(path)
    if not files.exists(file):
        raise WeightsError(f"{path}: no such file of weights{nearby.nearest_weights(file)}")
    return model_of(path, read_weights(file), dtype)


def model_of(
    path: str | Path, state: Any, dtype: torch.dtype | None = None
) -> tuple[SiameseNet, TrialConfig, dict[str, Any]]:
    """Return what ``load_model`` does, of what `path` holds: the entries of ``model_file``."""
    if not isinstance(state, dict) or not {"config", "model"} <= state.keys():
        raise WeightsError(f"{path}: not a model file of facesiam (it lacks config and model)")
    plugins = _declare_plugins(path, state.pop("plugins", []))
    config, weights = _config(path, state.pop("config")), _weights(path, state.pop("model"))
    if changed := registry.changed(plugins, config.net):
        cli.say(f"{path}: plugin {changed} has changed since: the net may compute something else")
    differ = [  # before gigabytes are drawn that a declared width asks for
        f"{name} is {tuple(weights[name].shape) if name in weights else 'not there'}, and its "
        f"settings say {tuple(shape)}"
        for name, shape in widths(config).items()
        if name not in weights or weights[name].shape != shape
    ]
    if differ:
        raise WeightsError(f"{path}: weights and settings disagree ({differ[0]})")
    with torch.random.fork_rng(devices=[]):  # its first weights are replaced at once
        net = SiameseNet(config)
    if net.nearest and "cohort" in weights:  # of as many people as trained
        people = weights["cohort"].shape[:1]
        net.cohort = net.cohort.new_empty(*people, *net.cohort.shape[1:])
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise WeightsError(f"{path}: weights and settings disagree ({said})") from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compute_in(net, dtype or dtype_of(config, device))
    return net.to(device, memory_format=torch.channels_last).eval(), config, state  # type: ignore[call-overload]


def _declare_plugins(path: str | Path, plugins: Any) -> list[registry.Plugin]:
    """Have the names of a model file's plugins be known, whose code may not be needed.

    Returns:
        What is noted of them.

    Raises:
        WeightsError: what it says of them cannot be read.
    """
    try:
        noted = [registry.noted(each) for each in plugins]
    except (PluginError, TypeError):
        raise WeightsError(f"{path}: what it says of its plugins cannot be read") from None
    registry.declare(noted)
    return noted


def _config(path: str | Path, settings: Any) -> TrialConfig:
    """Return the settings of a model file.

    Raises:
        WeightsError: it has none that can be used.
    """
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise WeightsError(f"{path}: not a model file of facesiam (its config is no settings)")
    try:
        config = TrialConfig.from_dict(settings)
        kind_of(config.net)
    except ConfigError as error:
        raise WeightsError(f"{path}: its settings cannot be used: {error}") from None
    except PluginError as error:
        raise WeightsError(f"{path}: its {error}") from None
    return config


def _weights(path: str | Path, model: Any) -> dict[str, Tensor]:
    """Return the weights of a model file, without those of a loss, which predictions do not need.

    Raises:
        WeightsError: they are not tensors by name.
    """
    named = isinstance(model, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in model.items()
    )
    if not named:
        raise WeightsError(
            f"{path}: not a model file of facesiam (its model is no weights by name)"
        )
    return {name: value for name, value in model.items() if not name.startswith("criterion.")}


def epoch_of(path: Path) -> int:
    """Return the epoch, from 0, of a model file's weights.

    Raises:
        WeightsError: it cannot be read, or does not say.
    """
    state = read_weights(path)
    epoch = state.get("epoch") if isinstance(state, dict) else None
    if not isinstance(epoch, int):
        raise WeightsError(f"{path}: does not say of which epoch its weights are")
    return epoch


def save_atomically(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain values with torch.save, as ``files.atomic``; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic(path) as partial, partial.open("wb") as file:
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:  # torch hides a full disk behind one of its own
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__cause__ or cause.__context__
            if cause is None and "PytorchStreamWriter" not in str(error):
                raise
            number = cause.errno if cause and cause.errno else errno.ENOSPC
            raise OSError(number, os.strerror(number), str(path)) from None


class Writer:
    """Writes files of tensors on a thread of its own, one after the other.

    A newer state for a path replaces one that still waits, at its place in the queue.

    Args:
        save: writes a state to a path, or to what a storage has under that name.
    """

    def __init__(self, save: Callable[[Mapping[str, Any], Path], None] | None = None) -> None:
        self.save = save or save_atomically
        self.seconds: dict[Path, float] = {}
        """What the last write of each path took, its snapshot included."""
        self._waiting: dict[Path, dict[str, Any]] = {}
        self._writing: Path | None = None
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, path: Path, state: Mapping[str, Any]) -> None:
        """Queue a copy of `state` to be written to `path`, atomically.

        Raises:
            Exception: what an earlier write failed with.
        """
        self._complain()
        start = time.monotonic()
        copy = snapshot(state)
        with self._changed:
            self._waiting[path] = copy
            self.seconds[path] = time.monotonic() - start
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="writer")
                self._thread.start()
            self._changed.notify_all()

    def busy(self, path: Path) -> bool:
        """Return whether an earlier state for `path` is not on the disk yet."""
        return path in self._waiting or self._writing == path

    def flush(self) -> None:
        """Wait until everything is written.

        Raises:
            Exception: what a write failed with.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and self._writing is None)
        self._complain()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                path = next(iter(self._waiting))
                self._writing, state = path, self._waiting.pop(path)
            start = time.monotonic()
            try:
                self.save(state, path)
            except Exception as error:  # whatever it is, the caller must be told, not kept waiting
                self._error = error
            del state  # gigabytes
            with self._changed:
                self.seconds[path] = self.seconds.get(path, 0.0) + time.monotonic() - start
                self._writing = None
                self._changed.notify_all()

    def _complain(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def snapshot(state: Any) -> Any:
    """Return a copy whose tensors are on the CPU and share nothing with `state`."""
    if isinstance(state, Tensor):
        copy = state.detach().to("cpu")
        return copy.clone() if copy.data_ptr() == state.data_ptr() else copy
    if isinstance(state, Mapping):
        return {key: snapshot(value) for key, value in state.items()}
    return list(state) if isinstance(state, list) else state
