#!/usr/bin/env bash
# Runs every check: ruff, mypy and pytest, in a virtual environment that it makes itself.
#
#   scripts/test.sh              the default tests: no network, no ../shared, about 9 minutes on 2 cores
#   scripts/test.sh --all        the slow ones too; the last lines count the faults that were injected and survived
#   scripts/test.sh -k sampler   other arguments go to pytest
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh" test

selection=(-m "not slow")
if [[ "${1:-}" == "--all" ]]; then
    selection=()
    shift
fi

python=.venv/bin/python
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy

# The tests' models are so small that a second thread costs more than it gives. The cores share the files of tests.
export OMP_NUM_THREADS=1
exec "$python" -m pytest -n auto --dist loadfile ${selection[@]+"${selection[@]}"} "$@"
