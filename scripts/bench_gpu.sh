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
if ! "$python" -c 'import facesiam, ray, torch' 2> /dev/null; then
    echo "$python: has no facesiam, ray or torch; set PYTHON to one that has, as .venv/bin/python" >&2
    exit 2
fi
exec "$python" "$here/bench_gpu.py" "$@"
