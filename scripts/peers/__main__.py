"""Speed of seq2attn and its peers, the tools in turn on the same batches; `scripts/bench_peers.sh` starts it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from scripts.peers.assignments import SUBWORDS, Effort, Model, read_text
from scripts.peers.measure import Environments, measure_model
from scripts.peers.ratios import Comparison
from seq2attn.benchmark.machine import Setting
from seq2attn.benchmark.workload import Workload
from seq2attn.cli.output import Narrator, named_progress, results_console
from seq2attn.errors import Seq2AttnError, disk_errors


def main(
    peers: Annotated[Path, typer.Option(envvar="PEERS", help="Folder of the peers' environments.")] = Path(".peers"),
    seconds: Annotated[float, typer.Option(min=0.0, help="About how long to measure each kind of work.")] = 300.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of every tool; torch chooses by default.")
    ] = None,
    updates: Annotated[int, typer.Option(min=1, help="Updates in a round of training.")] = 8,
    sentences: Annotated[int, typer.Option(min=1, help="Sentences in a round of translation.")] = 64,
    batch_sentences: Annotated[int, typer.Option(min=1, help="Of them in a batch.")] = 32,
    models: Annotated[list[Model] | None, typer.Option("--model", help="Only this one, not both.")] = None,
    made_up: Annotated[
        bool, typer.Option("--made-up", help="Generated text, even if the corpus has been fetched.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write peers.json into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Measure training and translation of seq2attn, JoeyNMT, Marian, CTranslate2 and torchlingo, in turn."""
    torch.set_num_threads(threads or torch.get_num_threads())
    effort = Effort(updates, sentences, batch_sentences, seconds, torch.get_num_threads())
    name, text = read_text(made_up)
    with TemporaryDirectory() as folder, named_progress("measuring") as report:
        workload = Workload.prepare(text, SUBWORDS, Path(folder))
        measurements = {
            model: measure_model(model, workload, Environments(peers.resolve()), effort, Narrator(report))
            for model in models or Model
        }
    comparison = Comparison(
        Setting.here(torch.device("cpu"), shlex.join(["scripts/bench_peers.sh", *sys.argv[1:]])),
        name,
        {model: measured.tools for model, measured in measurements.items()},
        tuple(ratio for measured in measurements.values() for ratio in measured.ratios),
    )
    if out is not None:
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            (out / "peers.json").write_text(comparison.to_json(), encoding="utf-8")
    if as_json:
        typer.echo(comparison.to_json(), nl=False)
    else:
        results_console().print(comparison.to_table())


if __name__ == "__main__":
    try:
        typer.run(main)
    except Seq2AttnError as error:
        print(f"bench_peers: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
