"""The training loop: ``Training(config, data)`` yields the metrics of one epoch after another.

Everything random in an epoch (order, augmentation, dropout) is drawn from (seed, epoch) alone, so
a resumed run is exactly as one without interruption, and two runs in one process do not disturb
each other. The data of an epoch are on the device before it begins, and its metrics are fetched
when it has ended: no step of a decision net waits for the host.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config import EpochMetrics, TrialConfig
from facesiam.config.trial import recorded
from facesiam.data.dataset import FaceData
from facesiam.device import cuda_graph
from facesiam.device.cuda_graph import GraphedStep
from facesiam.device.generators import generator_states, set_generator_states
from facesiam.device.hardware import keep_freed_memory, peak_memory_mib, reset_peak_memory
from facesiam.device.image_store import ImageStore
from facesiam.evaluation.cohort import cohort_images, people_embeddings
from facesiam.nets.precision import DTYPES, dtype_of
from facesiam.nets.siamese import SiameseNet, build
from facesiam.training.batch_loss import batch_loss
from facesiam.training.batches import Batches
from facesiam.training.gradient_health import GradientWatch
from facesiam.training.images import TrainingImages
from facesiam.training.optimizer import MasterWeightOptimizer
from facesiam.training.schedules import learning_rate
from facesiam.training.validation import Validation
from facesiam.training.weight_average import WeightAverage


class Halted(Exception):
    """Raised in a training that was told to stop; its ``state`` has the unfinished epoch."""


class Training(Iterator[EpochMetrics]):
    """A training run: iterate for its epochs, ``state`` between two of them to save it.

    Set ``halt`` from a signal handler or another thread to stop it within an epoch: ``next`` then
    raises Halted after the present step, and a training that loads its state finishes the epoch.

    Args:
        config: every setting of the run.
        data: opened, packed data.
        weights: file of pretrained weights per net; needed where `pretrained`.
        device: cuda or cpu; None: CUDA where there is one.
        precision: fp32 or bf16; None: that of `config`, with `auto` resolved here.

    Raises:
        WeightsError: pretrained weights are missing or do not fit.
        DataError: a part has no pairs under these settings.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: FaceData,
        weights: Mapping[str, str] | None = None,
        device: str | None = None,
        precision: str | None = None,
    ) -> None:
        self.config = config
        self.epoch = 0
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if self.device.type == "cpu":
            keep_freed_memory()
        self.dtype = DTYPES[precision] if precision else dtype_of(config, self.device)
        self.train_pairs = data.pairs_of(config, "train")
        self.validation = Validation(config, data)
        self.val_pairs, self.val_distinct = self.validation.pairs, self.validation.distinct
        self.batches = Batches(config, data, self.train_pairs, self.device)
        self.people = cohort_images(config, data) if config.lookalike_people else None
        self.centres: Tensor | None = None
        """Embeddings of these people before the epoch, by which they meet in its batches."""
        net = build(config, weights, self.batches.people).to(self.device)
        self.net: SiameseNet = net.to(memory_format=torch.channels_last)
        self.optimizer = MasterWeightOptimizer(
            self.net, self.dtype, config, trunk=self.net.trunk, early=self.net.head
        )
        self.average: WeightAverage | None = None
        if config.ema:
            self.average = WeightAverage(self.net, self.optimizer.masters, config.ema)
        self.pixels = ImageStore(data.pixels(config.packing), config.image_size, self.device)
        self.images = TrainingImages(config, self.pixels, self.batches.turnable, self.dtype)
        self.watch = GradientWatch(self.net.trunk, self.device)
        self.total = torch.zeros(2, dtype=torch.float64, device=self.device)
        """Sums of the epoch so far: loss times pairs, right predictions."""
        self.notes: list[str] = []
        """Remarks for the caller, a line each."""
        self.graphed_step = self._graphed_step()
        self.right: NDArray[np.bool_] | None = None
        """Whether each validation pair was predicted right in the last epoch, (P,)."""
        self.halt = threading.Event()
        self.steps, self.seen, self.spent = 0, 0, 0.0
        """Updates, pairs and seconds of the epoch so far; not 0 where it was resumed within."""
        self.rng: list[Tensor] | None = None
        """States of dropout's generators at the step where the epoch is resumed."""

    def __next__(self) -> EpochMetrics:
        """Train and validate one epoch.

        The first loss that is not finite ends the epoch early on a CPU; it is reported as it is.

        Raises:
            Halted: ``halt`` was set.
        """
        if self.epoch >= self.config.epochs:
            raise StopIteration
        reset_peak_memory(self.device)
        start = time.perf_counter() - self.spent
        try:
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                training = self._train()
            trained = time.perf_counter()
            with self.average.in_net() if self.average else nullcontext():
                validation = self._validate()
        except Halted:
            self.spent = time.perf_counter() - start
            raise
        metrics = EpochMetrics(
            epoch=self.epoch,
            **training,
            **validation,
            val_pairs=len(self.val_pairs.label),
            seconds=time.perf_counter() - start,
            samples_per_second=self.seen / (trained - start),
            peak_memory_mib=peak_memory_mib(self.device),
        )
        self.epoch += 1
        self._begin()
        return metrics

    def state(self) -> dict[str, Any]:
        """Return the state of the training, for ``load``: tensors and plain values.

        The tensors are not copies: copy or write them before the next step.
        """
        state = {
            "config": self.config.to_dict(),
            "epoch": self.epoch,
            "model": self.optimizer.weights(),
            "optimizer": self.optimizer.state(),
        }
        if self.average:
            state["average"] = self.average.state()
        if self.steps:  # halted within an epoch
            state["within"] = {
                "steps": self.steps,
                "seen": self.seen,
                "spent": self.spent,
                "total": self.total,
                "watch": self.watch.state(),
                "rng": self.rng,
                "centres": self.centres,
            }
        return state

    def weights(self) -> dict[str, Tensor]:
        """Return the state dict of the net that was validated, in full precision.

        With `ema` that is the averaged net. The tensors are not copies.
        """
        averaged = self.average.weights() if self.average else {}
        return {**self.optimizer.weights(), **averaged}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state`` of a run with the same settings (`epochs` may differ).

        Raises:
            ValueError: the state belongs to other settings.
        """
        mine, theirs = self.config.to_dict(), recorded(state["config"])
        differ = [k for k in mine if k != "epochs" and mine[k] != theirs[k]]
        if differ:
            raise ValueError(f"the saved state has other settings: {', '.join(differ)}")
        self.optimizer.load(state["model"], state["optimizer"])
        if self.average:
            self.average.load(state["average"])
        self.epoch = int(state["epoch"])
        self._begin()
        if within := state.get("within"):
            self.steps, self.seen = int(within["steps"]), int(within["seen"])
            self.spent, self.rng = float(within["spent"]), within["rng"]
            self.total.copy_(within["total"])
            self.watch.load(within["watch"])
            self.centres = within.get("centres")

    def measure(self, steps: int) -> float:
        """Train this number of updates without counting them; return pairs a second.

        What an epoch begins with, the embedding of look-alike people, is no part of it.
        """
        if self.people is not None and self.centres is None:
            self.centres = people_embeddings(self.net, self.pixels, self.people, self._check)
        start = time.perf_counter()
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            self._train(steps)  # has fetched its metrics: a GPU has finished
        pairs = self.seen
        self._begin()
        return pairs / (time.perf_counter() - start)

    def _graphed_step(self) -> GraphedStep | None:
        """Return what records a step, on a GPU where it can be recorded."""
        # The pairs of a batch by identity have no fixed number, which a recorded step needs.
        if self.net.embeds or not cuda_graph.wanted(self.device):
            return None
        return GraphedStep(self.optimizer.drop_gradients, self.notes.append)

    def _begin(self) -> None:
        """Reset the counters of the epoch."""
        self.steps, self.seen, self.spent, self.rng = 0, 0, 0.0, None
        self.total.zero_()
        self.watch.begin()
        if self.images.begin(self.epoch):
            self.graphed_step = self._graphed_step()  # a recorded step has the size of its images

    def _train(self, most: int | None = None) -> dict[str, Any]:
        """Train an epoch or what is left of it, or so many steps; return the metrics of these."""
        if not self.steps:
            self._begin()
            if self.people is not None and most is None:
                self.centres = people_embeddings(self.net, self.pixels, self.people, self._check)
        self.net.train()
        batches = itertools.islice(self._batches(), most)
        for _ in range(self.steps):
            next(batches)
        if self.rng is not None:
            set_generator_states(self.rng, self.device)
        config = self.config
        of_epoch = self.batches.per_epoch
        with closing(self.pixels.ahead(batches)) as ahead:
            for (chosen, draws), raw in ahead:
                if config.schedule != "constant" or config.warmup:
                    done = (self.epoch + self.steps / of_epoch) / config.epochs
                    self.optimizer.learn_at(learning_rate(config, done))
                if self.graphed_step:
                    self.graphed_step.run(self._update, chosen, draws, *raw)
                else:
                    self._update(chosen, draws, *raw)
                if self.average:
                    self.average.update()
                self.watch.updates += 1
                self.steps += 1
                self.seen += len(chosen) * self.batches.pairs_of_each
                if self.halt.is_set():
                    self.rng = generator_states(self.device)
                    raise Halted
                # Asking a GPU for the value would make it wait; there the epoch runs out.
                if self.device.type == "cpu" and not torch.isfinite(self.total[0]):
                    break
        mean = (self.total / self.seen).tolist()
        return {"train_loss": mean[0], "train_acc": mean[1], **self.watch.report()}

    def _batches(self) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        """Return the batches of this epoch with their images, and seed its random numbers."""
        seeds = np.random.SeedSequence([self.config.seed, self.epoch]).generate_state(2)
        torch.manual_seed(int(seeds[0]))  # dropout
        centres = None if self.centres is None else self.centres.cpu().numpy()
        return self.batches.epoch(torch.Generator().manual_seed(int(seeds[1])), centres)

    def _update(self, chosen: Tensor, draws: Tensor, raw: Tensor | None = None) -> None:
        """Train on one batch of ``Batches.epoch``: (n,) and (images, D) draws or (0, 3).

        `raw` are the bytes of its images, where they were gathered ahead.
        """
        indices = self.batches.images(chosen)
        features = self.net.vectors(self.images.batch(indices, draws, raw))
        loss, right, pairs = batch_loss(self.net, self.batches, features, chosen, indices)
        loss.backward()  # type: ignore[no-untyped-call]
        self.watch.look()
        self.optimizer.step()
        with torch.no_grad():
            self.total += torch.stack([loss.detach() * pairs, right])

    def _validate(self) -> dict[str, Any]:
        metrics, self.right = self.validation.measure(self.net, self.pixels, self._check)
        return metrics

    def _check(self) -> None:
        if self.halt.is_set():
            raise Halted  # all steps are done: they are not trained again
