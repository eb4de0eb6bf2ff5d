#!/usr/bin/env bash
# Everything that is claimed of a GPU, measured by one command and written to one JSON file.
#
#     scripts/bench_gpu.sh cfp-dataset.zip gpu.json --minutes 10
#     scripts/bench_gpu.sh drawn rehearsal.json --rehearse        on a CPU, in seconds: no figure counts
#
# PYTHON says which Python has the packages (python); bench_gpu.py and docs/performance.md say the rest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
export PYTHONPATH="${here%/scripts}${PYTHONPATH:+:$PYTHONPATH}" # also of what the script starts
if ! why=$("$python" -c 'import facesiam, ray, torch' 2>&1); then
    echo "${why##*$'\n'}; set PYTHON to one that has ray and torch, as .venv/bin/python" >&2
    exit 2
fi
exec "$python" "$here/bench_gpu.py" "$@"
