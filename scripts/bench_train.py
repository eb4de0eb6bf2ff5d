"""The speed of training, beside a plain loop and beside what the hardware allows.

    python scripts/bench_train.py                          drawn faces, AlexNet, both joins
    python scripts/bench_train.py --data cfp-dataset.zip --cases alexnet/difference --rounds 10
    python scripts/bench_train.py --without allocator      what one of the measures brings
    python scripts/bench_train.py --device cuda --cases all --json
    python scripts/bench_train.py --cases nets --steps 2 --rounds 3       other nets, embeddings

The reference is the loop of the 2019 study (docs/results.md), in reference_loop.py; roofline.py
works out what the hardware allows, and timed_sides.py times the two loops in turn, end to end,
data included, without validation.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from roofline import BYTES_A_WEIGHT, measure_machine, work_of_a_step
from timed_sides import WITHOUT, Died, Side, in_turn

from facesiam.config import TrialConfig
from facesiam.config.settings import positive
from facesiam.config.trial import GEOMETRY, Packing
from facesiam.data.dataset import FaceData, cache_root
from facesiam.data.preparation import prepare
from facesiam.data.synthetic import writer
from facesiam.device import hardware
from facesiam.errors import ConfigError, DataError
from facesiam.nets import models
from facesiam.nets.precision import dtype_of

CASES = (
    "alexnet/difference",
    "alexnet/concat",
    "vgg16_bn/difference",
    "vgg16_bn/concat",
    "vgg16_bn/linear",
)
NETS = tuple(f"{net}/cosine" for net in models.MODELS)
"""Embedding nets that `--cases nets` times, ours alone: ArcFace on batches of four images each of
some people, one image counting as a pair."""


def measure_case(
    case: str,
    options: argparse.Namespace,
    data: FaceData,
    source: str,
    machine: dict[str, float],
) -> dict[str, Any]:
    """Time one net and join on both sides and hold ours against the roofline.

    Raises:
        Died: a side's process did not live to the end.
    """
    config = case_config(case, options)
    steps = {"ours": options.steps}
    if not options.ours and config.join != "cosine":
        steps["reference"] = options.steps
    return {"case": case} | measure_config(config, options, steps, data, source, machine)


def measure_config(
    config: TrialConfig,
    options: argparse.Namespace,
    steps: Mapping[str, int],
    data: FaceData,
    source: str,
    machine: Mapping[str, float],
) -> dict[str, Any]:
    """Time a configuration and hold it against the roofline.

    Args:
        config: what is trained.
        options: `device`, `threads`, `without` and `rounds`.
        steps: of a block, by side: ours, and reference where it is timed beside it.
        data: packed.
        source: the dataset, whose images the reference decodes.
        machine: what ``measure_machine`` returned.

    Raises:
        Died: a side's process did not live to the end.
    """
    args = (config, str(data.folder), source, options.device, options.threads, options.without)
    sides = {kind: Side(kind, *args) for kind in steps}
    try:
        rates = in_turn(sides, steps, options.rounds)
        memory = {kind: side.ask("memory") for kind, side in sides.items()}
    finally:
        for side in sides.values():  # what one holds is not there for the next case
            side.stop()
    found = {"memory_mib": memory, **_figures(config, options, rates, machine)}
    if "reference" in rates:
        ratios = [a / b for a, b in zip(rates["ours"], rates["reference"], strict=True)]
        found |= {
            "ratio": statistics.mean(ratios),
            "ratio_std": statistics.stdev(ratios) if len(ratios) > 1 else None,
        }
    return found


def _figures(
    config: TrialConfig,
    options: argparse.Namespace,
    rates: Mapping[str, Sequence[float]],
    machine: Mapping[str, float],
) -> dict[str, Any]:
    """Return what a step costs, and its share of what the machine can do, from pairs a second."""
    flops, weights = work_of_a_step(config)
    wanted = dtype_of(config, torch.device(options.device))
    bf16 = wanted == torch.bfloat16 and options.without != "bf16"
    product = machine["bf16_product" if bf16 else "fp32_product"]
    floors = {
        name: flops / product + BYTES_A_WEIGHT * weights / machine[stream]
        for name, stream in (("roofline", "copy"), ("strict", "update"))
    }
    triplets = config.protocol == "frontal-triplets" and not config.images_per_person
    pairs = config.batch_size * (2 if triplets else 1)
    step = pairs / statistics.median(rates["ours"])
    return {
        "bf16": bf16,
        "gflop_per_step": flops / 1e9,
        "weights": weights,
        "step_seconds": step,
        "product_share": flops / product / step,
        "bandwidth_share": BYTES_A_WEIGHT * weights / machine["copy"] / step,
        **{f"{name}_share": floor / step for name, floor in floors.items()},
        **{f"{kind}_pairs_per_second": statistics.median(r) for kind, r in rates.items()},
    }


def case_config(case: str, options: argparse.Namespace) -> TrialConfig:
    """Return the settings of NET/JOIN, as the 2019 study's rows have them."""
    net, _, join = case.partition("/")
    if join == "cosine":
        return TrialConfig.from_dict(
            {
                "net": net,
                "join": join,
                "loss": "arcface",
                "images_per_person": 4,
                "views": "all",
                "batch_size": options.batch,
                "augment": options.augment,
                "protocol": options.protocol,
                "people": options.people,
                "image_size": options.image_size,
                "optimizer": "adamw",
            }
        )
    return TrialConfig.from_dict(
        {
            "net": net,
            "join": join,
            "batch_size": options.batch,
            "augment": options.augment,
            "protocol": options.protocol,
            "loss": "two" if "triplets" in options.protocol else "single",
            "people": options.people,
            "image_size": options.image_size,
            "hidden": options.hidden,
        }
    )


def head_of(found: dict[str, Any]) -> str:
    """Say under which conditions, and what the machine can do."""
    machine = found["machine"]
    return (
        "{device}, {threads} threads, batches of {batch} {protocol}, augment {augment}, without "
        "{without}; torch {torch}, Python {python}\n"
        "measured: bf16 product {bf16:.2f} TFLOP/s, fp32 {fp32:.2f}, copy {copy:.1f} GB/s, update "
        "in place {update:.1f} GB/s\n"
        "n = {rounds} rounds × {steps} steps; ratio: mean ± std of rounds"
    ).format(
        **found,
        bf16=machine["bf16_product"] / 1e12,
        fp32=machine["fp32_product"] / 1e12,
        copy=machine["copy"] / 1e9,
        update=machine["update"] / 1e9,
    )


def line_of(case: dict[str, Any]) -> str:
    """Say a case's figures."""
    if "died" in case:
        return f"{case['case']:26s} {case['died']}"
    ratio = ""
    if "ratio" in case:
        spread = f" ± {case['ratio_std']:.2f}" if case["ratio_std"] is not None else ""
        ratio = (
            f"; reference {case['reference_pairs_per_second']:.1f}, "
            f"{case['memory_mib']['reference']:.0f} MiB; ratio {case['ratio']:.2f}{spread}"
        )
    return (
        f"{case['case']:26s} {case['ours_pairs_per_second']:7.1f} pairs/s, "
        f"{1000 * case['step_seconds']:.0f} ms a step, {case['memory_mib']['ours']:.0f} MiB, "
        f"{'bf16' if case['bf16'] else 'fp32'}{ratio}; roofline {case['roofline_share']:.0%}, "
        f"strict {case['strict_share']:.0%}"
    )


def arguments() -> argparse.Namespace:
    """Read the command line; an option that makes no sense ends the program in a sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="drawn", help="CFP zip or folder; default: drawn")
    add(
        "--cases",
        default=",".join(CASES[:2]),
        help=f"all, nets, or some of {', '.join(CASES)}, NET/cosine",
    )
    add("--protocol", default="frontal-triplets", choices=["frontal-triplets", "cfp-pairs"])
    add(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"]
    )
    add("--threads", type=positive, default=torch.get_num_threads())
    add("--steps", type=positive, default=4, help="updates a block")
    add("--rounds", type=positive, default=8, help="blocks of each side")
    add("--batch", type=positive, default=16)
    add("--people", type=int, default=0, help="first N people; 0: everyone")
    add("--image-size", type=positive, default=224)
    add("--hidden", type=positive, default=4096)
    add("--augment", action="store_true", help="ours only; the reference never")
    add("--ours", action="store_true", help="no reference")
    add("--without", default="nothing", choices=WITHOUT)
    add("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    named = {"all": CASES, "nets": NETS}
    options.cases = list(named.get(options.cases, options.cases.split(",")))
    if unknown := [case for case in options.cases if case not in (*CASES, *NETS)]:
        parser.error(f"--cases {unknown[0]}: not one of {', '.join(CASES)}, NET/cosine, nets, all")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no GPU that torch can use")
    return options


def main() -> int:
    """Read the command line, measure, print each case when it is done."""
    options = arguments()
    torch.set_num_threads(options.threads)
    try:
        for case in options.cases if options.cases != list(NETS) else ():
            case_config(case, options)  # of those asked for by name a fault comes now
        packings = [Packing(GEOMETRY[options.protocol], 224)]
        data = prepare(options.data, packings, progress=not options.json)
        source = options.data
        if source == "drawn":
            source = str(writer.draw(cache_root() / writer.folder_name(), progress=False))
    except (DataError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    machine = measure_machine(options.device)
    found: dict[str, Any] = {
        **{
            name: getattr(options, name)
            for name in (
                "device",
                "threads",
                "protocol",
                "batch",
                "augment",
                "without",
                "rounds",
                "steps",
            )
        },
        "machine": machine,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "gpu": hardware.gpu_names()[:1],
        "seed": 0,
        "cases": [],
    }
    if not options.json:
        print(head_of(found), flush=True)
    for case in options.cases:
        try:
            found["cases"].append(measure_case(case, options, data, source, machine))
        except (Died, ConfigError) as why:
            found["cases"].append({"case": case, "died": str(why)})
            print(f"{case}: {why}", file=sys.stderr)
        if not options.json:
            print(line_of(found["cases"][-1]), flush=True)
    if options.json:
        print(json.dumps(found))
    return 1 if any("died" in case for case in found["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
