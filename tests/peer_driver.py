"""A driver without a tool, for tests: it notes when it works, and works for as long as it is told.

Arguments: a file for its notes, its name, and the seconds that a round takes; "0" makes it fail in its first round.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from scripts.peers.serving import Assignment, Tool, serve


def build(assignment: Assignment, arguments: Sequence[str]) -> Tool:
    notes, name, seconds = Path(arguments[0]), arguments[1], float(arguments[2])

    def work() -> int:
        assert seconds, "told to fail"
        print("a library that talks on standard output")
        with notes.open("a") as file:
            file.write(f"{name} begins\n")
            file.flush()
            time.sleep(seconds)
            file.write(f"{name} ends\n")
        return sum(batch.tokens for batch in assignment.training)

    return Tool({"nothing": "1.0"}, None, {"training": work})


if __name__ == "__main__":
    serve(build)
