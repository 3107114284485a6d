"""The command `seq2attn`: sub-commands, and errors as one line with the right exit code."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

import seq2attn
from seq2attn.cli.attention import attention
from seq2attn.cli.bench import bench
from seq2attn.cli.data import data_app
from seq2attn.cli.eval import evaluate
from seq2attn.cli.export import export
from seq2attn.cli.play import play
from seq2attn.cli.prune import prune
from seq2attn.cli.reproduce import reproduce
from seq2attn.cli.runs import compare, dashboard, runs
from seq2attn.cli.score import score
from seq2attn.cli.serve import serve
from seq2attn.cli.study import study_app
from seq2attn.cli.train import train
from seq2attn.cli.translate import translate
from seq2attn.errors import OtherProcessError, Seq2AttnError, is_out_of_memory

app = typer.Typer(
    name="seq2attn",
    help="See what attention changed: train translation models and plot BLEU by sentence length.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_EVALUATION, _MODEL, _RUNS, _DATA, _SPEED = "Experiments and scores", "Models", "Runs", "Data", "Speed"
app.command(rich_help_panel=_EVALUATION)(reproduce)
app.command("eval", rich_help_panel=_EVALUATION)(evaluate)
app.command(rich_help_panel=_EVALUATION)(score)
app.add_typer(study_app, name="study", rich_help_panel=_EVALUATION)
app.command(rich_help_panel=_MODEL)(train)
app.command(rich_help_panel=_MODEL)(translate)
app.command(rich_help_panel=_MODEL)(attention)
app.command(rich_help_panel=_MODEL)(play)
app.command(rich_help_panel=_MODEL)(serve)
app.command(rich_help_panel=_MODEL)(prune)
app.command(rich_help_panel=_MODEL)(export)
app.command(rich_help_panel=_RUNS)(runs)
app.command(rich_help_panel=_RUNS)(compare)
app.command(rich_help_panel=_RUNS)(dashboard)
app.add_typer(data_app, name="data", rich_help_panel=_DATA)
app.command(rich_help_panel=_SPEED)(bench)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"seq2attn {seq2attn.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. A user's mistake, or too little memory, is reported in one line on stderr."""
    try:
        app(prog_name="seq2attn")
    except OtherProcessError as error:
        sys.exit(error.exit_code)
    except Seq2AttnError as error:
        print(f"seq2attn: {error}", file=sys.stderr)
        _drop_unwritable_output()
        sys.exit(error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = "free some, or make the batches smaller (train.batch_tokens, decode.batch_tokens, --beam)"
        print(f"seq2attn: out of memory; {advice}", file=sys.stderr)
        sys.exit(1)
    finally:
        # Python would show a KeyboardInterrupt during the interpreter's shutdown as a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _drop_unwritable_output() -> None:
    """Discard what is left for a stdout that cannot be written: Python would try again at exit, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
