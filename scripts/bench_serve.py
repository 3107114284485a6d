"""Requests per second and latency of `seq2attn serve`, in batches against one sentence at a time:

python scripts/bench_serve.py runs/first --text test.fr

Two servers of the same run are measured in turn, each by clients that send a sentence, wait for the answer, and send
the next. The clients run on the same machine and cost it something too.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from seq2attn.benchmark.machine import Setting, Spread
from seq2attn.data.files import read_lines

_MODES = {"batches": (), "one by one": ("--batch-tokens", "1")}
_WARM_UP_SECONDS = 1.0
_HEADERS = {"Content-Type": "application/json"}


@dataclass
class Load:
    """What a number of clients measured at one server."""

    mode: str
    clients: int
    seconds: list[float] = field(default_factory=list)
    """Latency of each request, of all rounds."""
    rates: list[float] = field(default_factory=list)
    """Requests per second, of each round."""
    batches: int = 0

    def summary(self) -> dict[str, Any]:
        """Rate, latency and size of batches."""
        cuts = statistics.quantiles(self.seconds, n=100, method="inclusive")
        return {
            "mode": self.mode,
            "clients": self.clients,
            "requests": len(self.seconds),
            "requests_per_second": asdict(Spread.of(self.rates)),
            "p50_seconds": cuts[49],
            "p99_seconds": cuts[98],
            "sentences_per_batch": len(self.seconds) / self.batches,
        }


@contextmanager
def server(run: Path, arguments: Sequence[str]) -> Iterator[str]:
    """`HOST:PORT` of a server in a new process."""
    command = [sys.executable, "-m", "seq2attn", "serve", str(run), "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                sys.exit(f"bench_serve: the server did not start: {shlex.join(command)}")
            yield address.removeprefix("http://")
        finally:
            process.terminate()


def ask_until(deadline: float, address: str, bodies: Sequence[bytes]) -> list[float]:
    """The latencies of one client that sends one body after the other until `deadline`."""
    latencies = []
    connection = http.client.HTTPConnection(address)
    place = random.randrange(len(bodies))
    while (sent := time.perf_counter()) < deadline:
        connection.request("POST", "/translate", bodies[place % len(bodies)], _HEADERS)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"bench_serve: the server answered {answer.status}")
        latencies.append(time.perf_counter() - sent)
        place += 1
    connection.close()
    return latencies


def measure(load: Load, address: str, bodies: Sequence[bytes], seconds: float) -> None:
    """Add a round of `seconds` to `load`."""
    found: list[list[float]] = []
    batches = count_batches(address)
    started = time.perf_counter()
    clients = [
        threading.Thread(target=lambda: found.append(ask_until(started + seconds, address, bodies)))
        for _ in range(load.clients)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if len(found) < load.clients:
        sys.exit("bench_serve: a client failed")
    latencies = [latency for of_client in found for latency in of_client]
    load.rates.append(len(latencies) / (time.perf_counter() - started))
    load.seconds += latencies
    load.batches += count_batches(address) - batches


def count_batches(address: str) -> int:
    """The number of batches that the server has translated."""
    connection = http.client.HTTPConnection(address)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    (count,) = re.findall(r"^seq2attn_batch_sentences_count (\S+)$", text, re.MULTILINE)
    return int(float(count))


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="source sentences, one per line")
    parser.add_argument("--clients", default="1,8,64", help="numbers of clients, as in 1,8,64")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beam", type=int, help="beam size; by default the run's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    search = {} if options.beam is None else {"beam_size": options.beam}
    bodies = [json.dumps({"text": line, **search}).encode() for line in read_lines(options.text) if line.strip()]
    random.Random(1).shuffle(bodies)
    loads = [Load(mode, int(clients)) for clients in options.clients.split(",") for mode in _MODES]
    with ExitStack() as stack:
        addresses = {mode: stack.enter_context(server(options.run, arguments)) for mode, arguments in _MODES.items()}
        for address in addresses.values():
            ask_until(time.perf_counter() + _WARM_UP_SECONDS, address, bodies)
        for number in range(options.rounds):
            for load in loads:
                print(f"round {number + 1}: {load.clients} clients, {load.mode}", file=sys.stderr)
                measure(load, addresses[load.mode], bodies, options.seconds)
    setting = Setting.here(torch.device("cpu"), shlex.join(["python", *sys.argv]))
    result = {"setting": asdict(setting), "loads": [load.summary() for load in loads]}
    print(json.dumps(result, indent=2) if options.json else table(result))


def table(result: Mapping[str, Any]) -> str:
    """The result in Markdown."""
    lines = [f"{result['setting']['machine']}\n", "| clients | mode | requests/s | p50 | p99 | sentences per batch |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for load in result["loads"]:
        rate, milliseconds = load["requests_per_second"], [1000 * load[f"{name}_seconds"] for name in ("p50", "p99")]
        lines.append(
            f"| {load['clients']} | {load['mode']} | {rate['median']:.1f} ({rate['lowest']:.1f}–{rate['highest']:.1f}) "
            f"| {milliseconds[0]:.0f} ms | {milliseconds[1]:.0f} ms | {load['sentences_per_batch']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
