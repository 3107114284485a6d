#!/usr/bin/env bash
# From a fresh clone to the figure: installs the package into .venv, then trains, evaluates and draws.
# Options are those of `seq2attn reproduce`; paths among them count from the project's root. Finished runs are reused.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh" ""
exec .venv/bin/python -m seq2attn reproduce "$@"
