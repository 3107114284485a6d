#!/usr/bin/env bash
# Speed compared with JoeyNMT, Marian in Hugging Face transformers, CTranslate2 and torchlingo: in turn, on the same
# batches.
# Makes an environment for the peers in .peers (another folder: PEERS=/path); the first time this needs a package index.
#
#   scripts/bench_peers.sh                             both models, training and translation, about half an hour
#   scripts/bench_peers.sh --threads 2 --out results/peers
#   scripts/bench_peers.sh --help                      all options
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh" export

export PEERS=${PEERS:-.peers}
for peer in joeynmt transformers torchlingo; do
    wanted=scripts/peers/$peer.txt
    folder=$PEERS/$peer
    if ! cmp -s "$wanted" "$folder/installed.txt"; then
        echo "installing what $wanted names into $folder; the first time this fetches PyTorch ..." >&2
        [[ -x $folder/bin/python ]] || "$python" -m venv "$folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
        cp "$wanted" "$folder/installed.txt"
    fi
done

exec .venv/bin/python -m scripts.peers "$@"
