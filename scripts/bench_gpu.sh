#!/usr/bin/env bash
# The benchmark of a GPU and the preset `full` on it, in about twelve minutes; JSON and figures land in one folder.
#
#   scripts/bench_gpu.sh [FOLDER]             results/gpu by default
#   WHEELS=wheels scripts/bench_gpu.sh        no index at hand: installs from these wheels, next to the installed PyTorch
#
# The corpus must have been fetched (`seq2attn data fetch bible-fr-en`) where there is no network.
# A rehearsal without a GPU: DEVICE=cpu PRESET=smoke BENCH_SECONDS=1 LENGTHS=10,20 MINUTES=0.02 scripts/bench_gpu.sh
set -euo pipefail
out=$(realpath -m "${1:-results/gpu}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
device=${DEVICE:-cuda} preset=${PRESET:-full} seconds=${BENCH_SECONDS:-45} minutes=${MINUTES:-1.2}
lengths=${LENGTHS:-10,20,40,80,160,320}
compiled=bfloat16
if [[ $device == cpu ]]; then compiled=float32; fi  # there bfloat16 is not compiled

if [[ -n ${WHEELS:-} ]]; then
    [[ -x .venv/bin/python ]] || "${PYTHON:-python3}" -m venv --system-site-packages .venv
    .venv/bin/python -m pip install --quiet --no-index --find-links "$WHEELS" --editable .
else
    source scripts/venv.sh ""
fi
seq2attn() { .venv/bin/python -m seq2attn "$@"; }

mkdir -p "$out"
bench() { seq2attn bench "configs/$preset"/*.yaml --device "$device" --seconds "$seconds" "$@"; }
bench --set train.compile=off --out "$out/float32"
bench --set train.compile=off --set train.precision=bfloat16 --out "$out/bfloat16"
bench --set train.compile=on --set "train.precision=$compiled" --out "$out/compiled"
bench --set train.compile=off --lengths "$lengths" --out "$out/growth"
seq2attn reproduce --preset "$preset" --device "$device" --minutes "$minutes" --set train.precision=bfloat16 \
    --out "$out/$preset"
echo "done: $out" >&2
