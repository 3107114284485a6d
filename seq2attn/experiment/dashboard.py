"""TensorBoard on a folder of runs, in threads of this process"""

from __future__ import annotations

from pathlib import Path

from seq2attn.errors import ConfigError, RunError
from seq2attn.runs.listing import require_folder
from seq2attn.training.process import without_tensorflow

with without_tensorflow():
    from tensorboard import program

_EVENT_FILES = "events.out.tfevents.*"
# Validations of a run that TensorBoard can step through; its default of 10 would be a sample.
_SAMPLES = "images=100,text=100"


def start_dashboard(runs: Path, port: int | None) -> str:
    """Start TensorBoard on the runs in `runs`, or on that one run, and return its address.

    It ends with this process. Without `port` it uses the first free port from 6006 on.

    Raises: RunError where there is nothing to show; ConfigError where the port is not available.
    """
    require_folder(runs)
    if next(runs.rglob(_EVENT_FILES), None) is None:
        raise RunError(f"{runs}: has no run with TensorBoard data; `seq2attn train` creates runs")
    board = program.TensorBoard()
    # Not TensorBoard's separate fast reader: it would be one more process to end and does not handle resumed runs.
    options = [f"--logdir={runs}", f"--samples_per_plugin={_SAMPLES}", "--load_fast=false"]
    board.configure(argv=["seq2attn dashboard", *options, *([] if port is None else [f"--port={port}"])])
    try:
        return str(board.launch())
    except program.TensorBoardServerException as error:
        where = "no port from 6006 on is free" if port is None else f"--port {port}: not available"
        raise ConfigError(f"{where} ({error.msg}); give another --port, or 0 for any free port") from error
