# Sourced by the other scripts: goes to the project's root and makes .venv there, with the package in it.
# Usage: source scripts/venv.sh [EXTRAS], where EXTRAS is such as `test`.
# An existing .venv is reused; pip runs again only when pyproject.toml or constraints.txt has changed.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
    found=$("$python" --version 2> /dev/null || echo nothing)
    echo "$0: needs Python 3.11 or newer as $python, found $found; name another: PYTHON=/path/to/python $0" >&2
    exit 2
fi

# pip takes seconds even where nothing changes; the stamp holds what was installed last.
extras=${1:+[$1]}
stamp=.venv/installed$extras.txt
if ! cat pyproject.toml constraints.txt | cmp -s - "$stamp"; then
    echo "installing seq2attn into $PWD/.venv; the first time this fetches PyTorch ..." >&2
    [[ -x .venv/bin/python ]] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
        --editable ".$extras"
    cat pyproject.toml constraints.txt > "$stamp"
fi
