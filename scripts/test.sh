#!/usr/bin/env bash
# Runs every check: ruff, mypy and pytest, in a virtual environment that it makes itself.
#
#   scripts/test.sh              the default tests: no network, no ../shared, at most 4 minutes on 2 cores
#   scripts/test.sh --all        the slow ones too
#   scripts/test.sh -k sampler   other arguments go to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "scripts/test.sh: needs Python 3.11 or later as python3; found: $(python3 --version 2>&1 || true)" >&2
    exit 2
fi

selection=(-m "not slow")
if [[ "${1:-}" == "--all" ]]; then
    selection=()
    shift
fi

python=.venv/bin/python
[[ -x $python ]] || python3 -m venv .venv

# Installing takes seconds even when nothing changes; the copy says what was installed last.
installed=.venv/installed-pyproject.toml
if ! cmp -s pyproject.toml "$installed"; then
    echo "installing seq2attn with its test extras into .venv ..." >&2
    "$python" -m pip install --quiet --disable-pip-version-check --editable ".[test]"
    cp pyproject.toml "$installed"
fi

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy

# The tests' models are so small that a second thread costs more than it gives, and much more on a busy machine.
export OMP_NUM_THREADS=1
exec "$python" -m pytest ${selection[@]+"${selection[@]}"} "$@"
