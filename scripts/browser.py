"""Headless Chromium, driven over a pipe by its own debugging protocol: no other package is needed.

The protocol is described at https://chromedevtools.github.io/devtools-protocol/. Commands and
events are JSON with a zero byte behind each.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
START = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts Chromium with the descriptors that it reads the protocol from and writes it to."""
WAIT = 60.0
"""Seconds that an answer may take on a busy machine."""


def find() -> str | None:
    """Return the path of Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def started() -> Browser:
    """Return a started browser.

    Raises:
        SystemExit: there is no Chromium.
    """
    path = find()
    if path is None:
        raise SystemExit("no Chromium: apt-get install chromium")
    return Browser(path)


class Browser:
    """A Chromium with one page."""

    def __init__(self, path: str) -> None:
        """Start it."""
        self.home = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        reading, its_writing = os.pipe()
        its_reading, writing = os.pipe()
        # Above 3 and 4, where START puts them.
        far = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (its_reading, its_writing)]
        start = [sys.executable, "-S", "-c", START, *map(str, far)]
        self.process = subprocess.Popen(
            [*start, path, *FLAGS, f"--user-data-dir={self.home.name}", "about:blank"],
            pass_fds=far,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in (its_reading, its_writing, *far):
            os.close(descriptor)
        self.reading, self.writing = reading, writing
        self.rest, self.number = b"", 0
        self.events: list[dict[str, Any]] = []
        """What the page reported since the last ``open``."""
        try:
            self._attach()
        except BaseException:
            self.close()  # the caller has nothing to close
            raise

    def _attach(self) -> None:
        """Open the page."""
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        self.session = self._send("Target.attachToTarget", attach)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def close(self) -> None:
        """End Chromium, and remove what it kept."""
        self.process.terminate()
        self.process.wait(WAIT)
        os.close(self.reading)
        os.close(self.writing)
        self.home.cleanup()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send the page a command; return its answer."""
        return self._send(method, parameters, self.session)

    def open(self, page: Path, width: int = 1400, dark: bool = False, height: int = 900) -> None:
        """Show a file at a width in pixels, and wait until its charts are drawn."""
        self.look(width, dark, height)
        self.events.clear()
        self.send("Page.navigate", url=page.resolve().as_uri())
        self.until("document.documentElement?.dataset.ready === 'yes'")

    def look(self, width: int, dark: bool, height: int = 900) -> None:
        """Set the screen: its width in pixels, and its colours."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def value(self, script: str) -> Any:
        """Return what a JavaScript expression, or its promise, comes to."""
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + WAIT
        while not self.value(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {WAIT:g} s: {condition}")
            time.sleep(0.05)

    def key(self, name: str, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            code: dict[str, Any] = {
                "key": name,
                "code": name,
                "text": text if kind == "keyDown" else "",
            }
            code["windowsVirtualKeyCode"] = {"Enter": 13, "Tab": 9}.get(name, 0)
            self.send("Input.dispatchKeyEvent", type=kind, **code)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write a PNG of the page, or of what the screen shows of it."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def errors(self) -> list[str]:
        """Return what the page complained of since it was opened: errors, warnings, exceptions."""
        found = []
        for event in self.events:
            method, said = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(said["exceptionDetails"])[:500])
            elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
                found.append(json.dumps(said["args"])[:500])
            elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
                found.append(said["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for, but for files and data it holds itself."""
        asked = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]

    def _send(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        data = json.dumps(command).encode() + b"\0"
        with suppress(BrokenPipeError):  # it has ended, which ``_receive`` says
            while data:
                data = data[os.write(self.writing, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            if "method" in answer:
                self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            if not select.select([self.reading], [], [], WAIT)[0]:
                raise TimeoutError(f"Chromium said nothing for {WAIT:g} s")
            more = os.read(self.reading, 2**20)
            if not more:
                raise RuntimeError(f"Chromium ended with exit code {self.process.wait()}")
            self.rest += more
        line, self.rest = self.rest.split(b"\0", 1)
        return dict(json.loads(line))
