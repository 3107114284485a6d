"""A server in this process: its address, its thread, and how it stops"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn

from seq2attn.errors import ConfigError
from seq2attn.server.app import Service

_POLL_SECONDS = 0.05
# For answers that their clients do not read; a request without an answer is always finished.
_SENDING_SECONDS = 10


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`; port 0 is any free one.

    Raises: ConfigError where the address is not available.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host}: not an address of this machine ({error})") from error
    try:
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise ConfigError(
            f"--host {host} --port {port}: not available ({os.strerror(error.errno or 0)}); give another, or --port 0 "
            "for any free port"
        ) from error


def address_of(listener: socket.socket) -> str:
    """The address of a listening socket, as in `http://127.0.0.1:8000`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches a listening socket."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


@contextmanager
def serving(service: Service, listener: socket.socket) -> Iterator[Thread]:
    """The thread in which `service` answers what comes to `listener`.

    At the end of the block it refuses new requests, answers those that have begun, and ends.
    """
    config = uvicorn.Config(
        service.app(),
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SENDING_SECONDS,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],), name="serve", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        service.stopping = True
        while service.active and thread.is_alive():
            time.sleep(_POLL_SECONDS)
        server.should_exit = True
        thread.join()
        service.batcher.close()
