"""A driver without a tool, for tests: it records when it works, and works for a given time.

Arguments: a file for its records, its name, and the seconds per round; "0" makes it fail in its first round.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from scripts.peers.serving import Assignment, Tool, serve


def build(assignment: Assignment, arguments: Sequence[str]) -> Tool:
    records, name, seconds = Path(arguments[0]), arguments[1], float(arguments[2])

    def work() -> int:
        assert seconds, "asked to fail"
        print("a library that talks on standard output")
        with records.open("a") as file:
            file.write(f"{name} begins\n")
            file.flush()
            time.sleep(seconds)
            file.write(f"{name} ends\n")
        return sum(batch.tokens for batch in assignment.training)

    return Tool({"nothing": "1.0"}, None, {"training": work})


if __name__ == "__main__":
    serve(build)
