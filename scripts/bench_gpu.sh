#!/usr/bin/env bash
# Everything that is claimed of a GPU, measured by one command and written to one JSON file.
#
#     scripts/bench_gpu.sh cfp-dataset.zip gpu.json
#
# Packs the data, benches the trainer against the reference and the roofline for each net and join,
# then runs the 2019 study's rows that need no pretrained weights in full: A, B, I, J, K, L, M of code 2
# (1,320 epochs of AlexNet, less what is certified dead and stopped).
set -euo pipefail
usage="usage: scripts/bench_gpu.sh DATA OUT.json [search.run arguments]
  DATA       CFP zip or folder, or drawn
  OUT.json   where all figures go
in the environment, and what they are without:
  PYTHON     which Python has the packages (python)
  SPACE      the space file (spaces/code2.yaml)
  ROWS       its rows that are run (A,B,I,J,K,L,M)
  CASES      nets and joins that are benched (all)
  BENCH      more arguments of bench_train.py (none)"
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    echo "$usage"
    exit 0
fi
if [ $# -lt 2 ]; then
    echo "$usage" >&2
    exit 2
fi
data=$1 out=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
space=${SPACE:-$here/../spaces/code2.yaml}
if ! "$python" -c 'import facesiam, ray, torch' 2> /dev/null; then
    echo "$python: has no facesiam, ray or torch; set PYTHON to one that has, as .venv/bin/python" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "packing" >&2
"$python" - "$data" > "$work/packed" <<'PY'
import sys, time
from facesiam.data.preparation import prepare
from facesiam.config.trial import Packing
from facesiam.errors import DataError
start = time.perf_counter()
try:
    prepare(sys.argv[1], [Packing("letterbox", 224), Packing("squeeze", 224)])
except DataError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print(time.perf_counter() - start)
PY
echo "benching the trainer" >&2
# shellcheck disable=SC2086  # BENCH is a list of arguments
"$python" "$here/bench_train.py" --data "$data" --cases "${CASES:-all}" --json ${BENCH:-} \
    > "$work/train.json" || [ $? -eq 1 ]  # a case whose process died; it is named in the file
echo "running rows ${ROWS:-A,B,I,J,K,L,M}" >&2
start=$(date +%s.%N)
"$python" -m search.run "$space" --data "$data" --rows "${ROWS:-A,B,I,J,K,L,M}" --name rows \
    --out "$work" "$@" >&2
end=$(date +%s.%N)

"$python" - "$work" "$start" "$end" > "$work/all.json" <<'PY'
import json, statistics, sys
from pathlib import Path
from search import results
from search.analysis.published import SPACES
from search.resources.cost import seconds_of_rows
from search.space import load

work, start, end = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
trials, epochs = results.load(work / "rows")
train = json.loads((work / "train.json").read_text())
rows = {}
for trial, ran in epochs.groupby("trial"):
    best = trials[trials["trial"] == trial].iloc[0]
    rows[trial] = {
        "status": best["status"], "epochs": len(ran), "seconds": float(ran["seconds"].sum()),
        "val_acc": float(best["val_acc"]), "best_epoch": int(best["best_epoch"]),
        "seconds_per_epoch": statistics.median(ran["seconds"]),
        "pairs_per_second": statistics.median(ran["samples_per_second"]),
        "peak_memory_mib": float(ran["peak_memory_mib"].max()),
    }
study = [load(SPACES / f"code{number}.yaml") for number in (1, 2)]
rates = {case["case"]: case["ours_pairs_per_second"] for case in train["cases"] if "died" not in case}
print(json.dumps({
    "packing_seconds": float((work / "packed").read_text()), "train": train, "rows": rows,
    "rows_seconds": end - start, "all_19_rows_seconds_estimated": seconds_of_rows(study, rates),
    "manifest": results.manifest(work / "rows"),
}, indent=1, default=str))
PY
mv "$work/all.json" "$out"
echo "$out" >&2
