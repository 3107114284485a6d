"""A job for other processes, in a module that is quick to load."""

from __future__ import annotations

import os
import signal

from seq2attn.errors import ConfigError

FAILS, IS_KILLED = 3, 5


def square(number: int) -> int:
    """The square of a number, apart from two that end otherwise."""
    if number == FAILS:
        raise ConfigError("three")
    if number == IS_KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number
