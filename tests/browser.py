"""Pages in headless Chromium; tests that need it are skipped if it is missing."""

from __future__ import annotations

import base64
import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_WAIT_SECONDS = 240.0  # a page that loads in a second can take a minute while other tests run
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-logging=stderr")
_DRIVER = """<script>
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify((() => {PROGRAM})());
document.body.append(result);
</script>"""
_RESULT = re.compile(r'<pre id="result">(.*?)</pre>', re.DOTALL)

needs_browser = pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium; the Debian package is `chromium`")


def run_in_page(page: Path, program: str) -> Any:
    """What the JavaScript `program` returns, run at the end of `page`; fails on any message in the console."""
    folder = page.parent
    driven = folder / f"{page.stem}.driven.html"
    driven.write_text(page.read_text(encoding="utf-8") + _DRIVER.replace("PROGRAM", program), encoding="utf-8")
    assert _CHROMIUM is not None
    with _scratch() as environment:
        done = subprocess.run(
            [_CHROMIUM, *_OPTIONS, f"--user-data-dir={folder / 'browser'}", "--dump-dom", driven.as_uri()],
            capture_output=True,
            text=True,
            timeout=_WAIT_SECONDS,
            check=True,
            env=environment,
        )
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not messages
    found = _RESULT.search(done.stdout)
    assert found, "the program did not finish"
    return json.loads(unescape(found[1]))


@contextmanager
def _scratch() -> Iterator[dict[str, str]]:
    """An environment whose temporary and home folders, where the browser leaves files, are deleted afterwards.

    The folder's name is short, because the path of a socket in it must be short.
    """
    with TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as folder:
        yield os.environ | {"TMPDIR": folder, "HOME": folder}


class Tab:
    """A tab of a headless Chromium that stays open during a test, driven by the DevTools protocol over two pipes."""

    def __init__(self, commands: int, answers: int) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._commands, self._answers = commands, answers
        self._received = b""
        self._number = 0
        self._session: dict[str, str] = {}
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        self._call("Runtime.enable")
        self.resize(1_400, 1_600)

    def watch(self) -> None:
        """From now on, note errors in the console in `complaints` and the addresses of all requests in `requests`."""
        self._call("Log.enable")
        self._call("Network.enable")

    def open(self, address: str) -> None:
        """Go to `address`."""
        self._call("Page.navigate", url=address)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for_text(self, *wanted: str) -> None:
        """Wait until the page shows all of `wanted`, in its components and frames too."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while missing := [words for words in wanted if words not in (text := str(self.run(_ALL_TEXT)))]:
            assert time.monotonic() < deadline, f"{missing} not in: {text}"
            time.sleep(0.1)

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true on the page."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self.run(expression):
            assert time.monotonic() < deadline, f"never true: {expression}; {self.complaints}"
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        """Resize the window; a page may not draw what is outside it."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def screenshot(self, path: Path) -> None:
        """The page as a PNG, as large as the window."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def colours(self, scheme: str) -> None:
        """Emulate the colour scheme `light` or `dark`."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def medium(self, name: str) -> None:
        """Emulate the medium `screen` or `print`."""
        self._call("Emulation.setEmulatedMedia", media=name)

    def print_to(self, path: Path) -> None:
        """The printed page as a PDF."""
        path.write_bytes(base64.b64decode(self._call("Page.printToPDF", preferCSSPageSize=True)["data"]))

    def processor_seconds(self) -> float:
        """The time that the thread of the page has computed since the browser began."""
        self._call("Performance.enable")
        metrics = self._call("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime"))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters} | self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._note(answer.get("method", ""), answer.get("params", {}))
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _note(self, event: str, details: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(details["exceptionDetails"]))
        elif event == "Log.entryAdded" and details["entry"]["level"] in ("warning", "error"):
            self.complaints.append(str(details["entry"]))
        elif event == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            assert select.select([self._answers], [], [], _WAIT_SECONDS)[0], "the browser does not answer"
            some = os.read(self._answers, 1 << 20)
            assert some, "the browser has exited"
            self._received += some
        message, _, self._received = self._received.partition(b"\0")
        return dict(json.loads(message))


_ALL_TEXT = """(() => {
  const read = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (["STYLE", "SCRIPT", "TEMPLATE"].includes(node.nodeName)) return "";
    const within = [node.shadowRoot, node.contentDocument?.body].filter((one) => one);
    return [...within, ...node.childNodes].map(read).join("");
  };
  return document.body ? read(document.body) : "";
})()"""


@contextmanager
def open_tab(folder: Path) -> Iterator[Tab]:
    """A tab of a browser with its profile in `folder`; the browser is closed at the end of the block."""
    assert _CHROMIUM is not None
    (for_browser, commands), (answers, for_us) = os.pipe(), os.pipe()
    # The browser reads from descriptor 3 and writes to 4; a shell puts the pipes there.
    wiring = f'exec "$@" 3<&{for_browser} 4>&{for_us}'
    options = (*_OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'browser'}")
    with _scratch() as environment:
        browser = subprocess.Popen(
            ["bash", "-c", wiring, "bash", _CHROMIUM, *options],
            pass_fds=(for_browser, for_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        os.close(for_browser)
        os.close(for_us)
        try:
            yield Tab(commands, answers)
        finally:
            browser.terminate()
            browser.wait(_WAIT_SECONDS)
            os.close(commands)
            os.close(answers)
