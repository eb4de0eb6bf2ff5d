"""How often a race says the truth, and what it costs: races drawn from tables whose best is known.

    python scripts/check_race.py --races 1000 --seed 0
    python scripts/check_race.py --races 1000 --seeds 10 --within 0.01
    python scripts/check_race.py --train

The first table is of real trainings: the best five of the first FIRST configurations that
scripts/bench_search.py draws, each with 20 further seeds on drawn faces, as --train makes it (100
trainings, 8 to 28 s of a CPU core each; it goes on where it was). A race draws its seeds from the
20, each once; the truth are the means of all 20. The other tables are drawn: normal scores over
gaps and noises, and three that are not as the test takes them to be.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.evaluation.metrics import wilson
from search.analysis.best_chance import chances
from search.analysis.elimination import Standing, standing
from search.space import load
from search.space.finalists import Finalists

TABLE = Path(__file__).parent.parent / "ray_results/reference/race/finalists.csv"
SEEDS = range(1, 21)
"""Of the trainings; 0 is that by which they were chosen."""
FIRST = 60
FINALISTS = ("0052", "0046", "0041", "0014", "0056")
EXACT = 1e-12
"""Difference of two means that are equal."""
DRAWS = 1000
"""Worlds by which the chances of a race are counted here, where there are many races."""
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
"""Returns the scores of a race, (finalists, seeds), and their true levels."""


def train(file: Path, seeds: Sequence[int] = SEEDS) -> None:
    """Train what the table lacks, one line a training."""
    from search_bench import record  # it imports torch

    space = load(record.SPACE)
    data, weights = record.prepared(space), record.weights_of(space)
    drawn = {trial.name: trial.settings for trial in record.plan(space, FIRST)}
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.write_text("trial,seed,val_acc\n")
    known = {(row["trial"], int(row["seed"])) for row in csv.DictReader(file.open())}
    for seed in seeds:
        for trial in FINALISTS:
            if (trial, seed) in known:
                continue
            config = TrialConfig.from_dict(drawn[trial] | {"seed": seed})
            best = max(row["val_acc"] for row in record.trained(config, data, weights))
            with file.open("a") as table:
                table.write(f"{trial},{seed},{best:.6g}\n")
            print(f"{trial} seed {seed}: {100 * best:.1f} %", flush=True)


def read(file: Path) -> Floats:
    """Return the (finalists, seeds) scores of the table of real trainings."""
    rows = list(csv.DictReader(file.open()))
    trials = sorted({row["trial"] for row in rows})
    scores = [[float(row["val_acc"]) for row in rows if row["trial"] == one] for one in trials]
    return np.array(scores)


def of_table(table: Floats) -> Draw:
    """Return what draws a race from a table; the finalists in any order, as costs are equal."""

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Floats, Floats]:
        columns = rng.permutation(table.shape[1])[:seeds]
        order = rng.permutation(len(table))
        levels: Floats = table.mean(1)
        return table[order][:, columns], levels[order]

    return draw


def normal(gap: float, noise: float, kind: str = "", count: int = 5) -> Draw:
    """Return what draws a race of finalists that are each a gap worse than the next.

    Args:
        gap: between two finalists that follow each other.
        noise: standard deviation over seeds, of each finalist's own.
        kind: "" as the test has it; "wild": the second best has three times the noise; "tails":
            Student's t with 3 degrees; "faults": a seventh of the best one's trainings are 20
            points worse, which its level counts.
        count: finalists.
    """

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Floats, Floats]:
        levels: Floats = 0.8 - gap * np.arange(count, dtype=np.float64)
        own = rng.standard_normal((count, seeds))
        if kind == "tails":
            own = rng.standard_t(3, (count, seeds)) / math.sqrt(3)
        if kind == "wild":
            own[1] *= 3
        scores = levels[:, None] + noise * (own + 0.5 * rng.standard_normal(seeds))
        if kind == "faults":
            scores[0] += 0.2 / 7 - 0.2 * (rng.random(seeds) < 1 / 7)
        order = rng.permutation(count)
        return scores[order], levels[order]

    return draw


def play(drawn: Floats, terms: Finalists) -> tuple[Standing, Floats]:
    """Return how a race ends whose scores are known, and those of the trainings that it took."""
    count, seeds = drawn.shape
    scores, now = np.full(drawn.shape, math.nan), Standing.begun(count)
    for at in range(seeds):
        scores[now.alive, at] = drawn[now.alive, at]
        now = standing(scores, np.isfinite(scores), [0.0] * count, terms)
        if now.over:
            break
    return now, scores


def simulate(draw: Draw, races: int, terms: Finalists, seed: int) -> dict[str, float]:
    """Return shares of so many races, and means in points.

    "the best": it takes the best; "near it": or one that is worse by `within` at most; "true": or
    it says that several are not told apart, and the best is one of them.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(races):
        drawn, levels = draw(rng, terms.seeds)
        ended, scores = play(drawn, terms)
        taken = ended.taken if ended.taken is not None else 0
        lost = levels.max() - levels[taken]
        near, decided = lost <= terms.within + EXACT, ended.decided(terms.within)
        among = bool((levels[ended.alive] == levels.max()).any())
        likely = chances(scores, draws=DRAWS)
        first = 0 if likely is None else int(likely.argmax())
        rows.append(
            {
                "the best": lost <= EXACT,
                "near it": near,
                "true": near or (not decided and among),
                "decided": decided,
                "decided wrongly": decided and not near,
                "bound held": lost <= ended.bound(taken) + EXACT,
                "points lost": 100 * lost,
                "by one seed": 100 * (levels.max() - levels[drawn[:, 0].argmax()]),
                "best by one seed": levels.max() - levels[drawn[:, 0].argmax()] <= EXACT,
                "by all": 100 * (levels.max() - levels[drawn.mean(1).argmax()]),
                "best by all": levels.max() - levels[drawn.mean(1).argmax()] <= EXACT,
                "epochs": np.isfinite(scores).sum() / drawn.size,
                "chance of the first": math.nan if likely is None else likely[first],
                "the first is the best": levels.max() - levels[first] <= EXACT,
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def cases(table: Floats | None) -> Iterator[tuple[str, Draw]]:
    """Yield the tables by name."""
    if table is not None:
        yield "real trainings", of_table(table)
    for noise in (0.005, 0.01, 0.02):
        for gap in (0.0, 0.005, 0.01, 0.02):
            yield f"gaps of {100 * gap:g}, noise {100 * noise:g}", normal(gap, noise)
    for kind in ("wild", "tails", "faults"):
        yield f"gaps of 1, noise 1, {kind}", normal(0.01, 0.01, kind)


def main() -> None:
    """Train, or print a line per table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--level", type=float, default=0.05)
    parser.add_argument("--within", type=float, default=0.005)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--train", action="store_true", help="make the table of real trainings")
    options = parser.parse_args()
    if options.train:
        return train(options.table)
    table = read(options.table) if options.table.exists() else None
    for seeds in options.seeds:
        terms = Finalists(seeds=seeds, level=options.level, within=options.within)
        print(f"up to {seeds} seeds, level {terms.level:g}, within {100 * terms.within:g} points")
        for name, draw in cases(table):
            found = simulate(draw, options.races, terms, options.seed)
            print(f"{name:24} {text(found, options.races)}", flush=True)
    return None


def text(found: Mapping[str, float], races: int) -> str:
    """Return what so many races came to, as a line."""

    def share(name: str) -> str:
        """Return a share in percent, with its interval."""
        low, high = wilson(round(found[name] * races), races)
        return f"{100 * found[name]:.1f} [{100 * low:.1f}, {100 * high:.1f}] %"

    return (
        f"takes the best {share('the best')}, one near it {share('near it')}, says the truth "
        f"{share('true')}; decided {100 * found['decided']:.0f} % (wrongly "
        f"{100 * found['decided wrongly']:.1f}), bound held {100 * found['bound held']:.1f} %; "
        f"points lost {found['points lost']:.2f}, by one seed {found['by one seed']:.2f} (best "
        f"{100 * found['best by one seed']:.0f} %), by all {found['by all']:.2f} (best "
        f"{100 * found['best by all']:.0f} %); {100 * found['epochs']:.0f} % of the epochs; "
        f"chance of the first {100 * found['chance of the first']:.0f} %, it is the best "
        f"{100 * found['the first is the best']:.0f} %"
    )


if __name__ == "__main__":
    main()
