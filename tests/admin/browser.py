"""A headless Chromium, driven through chromedriver in the protocol of W3C WebDriver. Nothing but the programs is needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the protocol names an element."""

PROGRAMS = ["chromium", "chromedriver"]

PATIENCE_SECONDS = 60.0


def is_missing() -> bool:
    """Whether this machine lacks the browser; Debian has it in ``chromium`` and ``chromium-driver``."""
    return not all(map(shutil.which, PROGRAMS))


class Browser:
    """One window of the browser. It remembers what the console said."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._opener = build_opener(ProxyHandler({}))
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self._path = ""
        opened = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._path = f"/session/{opened['sessionId']}"

    def open(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    @property
    def url(self) -> str:
        return str(self._ask("GET", "/url"))

    @property
    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def run(self, script: str) -> Any:
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def fill(self, selector: str, text: str) -> None:
        self._ask("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def follow(self, selector: str) -> None:
        """Click what leads to another page, and wait until that is there."""
        self.run("window.left = true")
        self.click(selector)
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.run("return !window.left && document.readyState === 'complete'"):
            assert time.monotonic() < until, f"{selector} leads nowhere"
            time.sleep(0.02)

    def complaints(self) -> list[str]:
        """What the console said since it was asked last: errors, warnings, breaches of the policy."""
        said = [str(entry["message"]) for entry in self._ask("POST", "/se/log", {"type": "browser"})]
        return [message for message in said if "/favicon.ico" not in message]  # which the browser asks for by itself

    def look(self, *, width: int, dark: bool) -> None:
        """Become as wide as a screen, and prefer its colours."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._tell_chromium("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell_chromium("Emulation.setEmulatedMedia", {"features": [scheme]})

    def picture(self, file: Path) -> None:
        """Save a picture of the page, in its whole length."""
        shot = self._tell_chromium("Page.captureScreenshot", {"captureBeyondViewport": True})
        file.write_bytes(b64decode(shot["data"]))

    def close(self) -> None:
        self._ask("DELETE", "")

    def _find(self, selector: str) -> str:
        return str(self._ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])

    def _tell_chromium(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        request = Request(f"{self._address}{self._path}{path}", sent, method=method)  # noqa: S310 - our own server
        with self._opener.open(request, timeout=60) as response:
            return json.load(response)["value"]


@contextmanager
def browser() -> Iterator[Browser]:
    """Start chromedriver on a free port, and a browser; both end with the block."""
    with subprocess.Popen(
        [str(shutil.which("chromedriver")), "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as driver:
        try:
            assert driver.stdout is not None
            found = (re.search(r"started successfully on port (\d+)", line) for line in driver.stdout)
            port = next(match[1] for match in found if match)
            window = Browser(f"http://127.0.0.1:{port}")
            try:
                yield window
            finally:
                window.close()
        finally:
            driver.terminate()
