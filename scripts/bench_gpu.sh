#!/usr/bin/env bash
# Everything that is claimed of a GPU, measured by one command and written to one JSON file.
#
#     scripts/bench_gpu.sh cfp-dataset.zip gpu.json
#
# Packs the data, benches the trainer against the reference and the roofline for each net and join,
# then runs the documents' rows that need no pretrained weights in full: A, B, I, J, K, L, M of code 2
# (some 1,500 epochs of AlexNet). Needs the package installed, or PYTHON to say which Python has it.
# What it runs may be cut down, as tests/test_bench.py does on a CPU: SPACE, ROWS, CASES, and BENCH
# for more arguments of bench_train.py. Further arguments are those of search.run.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: scripts/bench_gpu.sh DATA OUT.json [search.run arguments]" >&2
    exit 2
fi
data=$1 out=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
space=${SPACE:-$here/../spaces/code2.yaml}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "packing" >&2
"$python" - "$data" > "$work/packed" <<'PY'
import sys, time
from facesiam.data import prepare
start = time.perf_counter()
prepare(sys.argv[1], ["letterbox", "squeeze"])
print(time.perf_counter() - start)
PY
echo "benching the trainer" >&2
# shellcheck disable=SC2086  # BENCH is a list of arguments
"$python" "$here/bench_train.py" --data "$data" --cases "${CASES:-all}" --json ${BENCH:-} \
    > "$work/train.json"
echo "running rows ${ROWS:-A,B,I,J,K,L,M}" >&2
start=$(date +%s.%N)
"$python" -m search.run "$space" --data "$data" --rows "${ROWS:-A,B,I,J,K,L,M}" --name rows \
    --out "$work" "$@" >&2
end=$(date +%s.%N)

"$python" - "$work" "$start" "$end" > "$work/all.json" <<'PY'
import json, statistics, sys
from pathlib import Path
from search import results
from search.documents import SPACES
from search.estimate import seconds_of_rows
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
documents = [load(SPACES / f"code{number}.yaml") for number in (1, 2)]
rates = {case["case"]: case["ours_pairs_per_second"] for case in train["cases"]}
print(json.dumps({
    "packing_seconds": float((work / "packed").read_text()), "train": train, "rows": rows,
    "rows_seconds": end - start, "all_19_rows_seconds_estimated": seconds_of_rows(documents, rates),
    "manifest": results.manifest(work / "rows"),
}, indent=1, default=str))
PY
mv "$work/all.json" "$out"
echo "$out" >&2
