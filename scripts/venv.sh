# Sourced by the scripts beside it: goes to the project's root and makes .venv there, with the package in it.
# Usage: source scripts/venv.sh [EXTRAS], where EXTRAS is such as `test`.
# What is there already is kept; pip runs again only when pyproject.toml has changed.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
if ! command -v "$python" > /dev/null; then
    echo "seq2attn: found no $python; install Python 3.11 or newer, or name it: PYTHON=/path/to/python $0" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "seq2attn: $("$python" --version) is too old; install Python 3.11 or newer, or name it: PYTHON=/path/to/python $0" >&2
    exit 1
fi

extras=${1:+[$1]}
installed=".venv/installed$extras.toml" # the pyproject.toml that was last installed
if ! cmp -s pyproject.toml "$installed"; then
    echo "seq2attn: installing into $PWD/.venv; the first time this fetches PyTorch" >&2
    [[ -x .venv/bin/python ]] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras"
    cp pyproject.toml "$installed"
fi
