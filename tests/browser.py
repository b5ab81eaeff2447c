"""A headless Chromium for tests, through ChromeDriver's plain HTTP interface (W3C WebDriver), and a server of files."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INSTALL = "apt-get install chromium chromium-driver"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


def installed() -> bool:
    """Whether both programs are there."""
    return shutil.which("chromium") is not None and shutil.which("chromedriver") is not None


class Browser:
    """One window. Make it with `open_browser`."""

    def __init__(self, address: str) -> None:
        self._address = address
        # No proxy may stand between the test and the driver on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._session = ""

    def call(self, path: str, body: dict[str, Any] | None = None, *, method: str = "POST") -> Any:
        """One WebDriver command; its value."""
        data = None if method != "POST" else json.dumps({} if body is None else body).encode()
        request = urllib.request.Request(f"{self._address}{self._session}{path}", data=data, method=method)
        request.add_header("Content-Type", "application/json")
        with self._opener.open(request, timeout=60) as reply:
            return json.load(reply)["value"]

    def begin(self, width: int, height: int, profile: Path) -> None:
        """Open the window."""
        arguments = [*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"]
        options = {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self.call("/session", {"capabilities": {"alwaysMatch": options}})
        self._session = f"/session/{made['sessionId']}"

    def visit(self, url: str) -> None:
        """Load a page, until its load event."""
        self.call("/url", {"url": url})

    def run(self, script: str) -> Any:
        """The value of a script's `return`."""
        return self.call("/execute/sync", {"script": script, "args": []})

    def wait(self, script: str, seconds: float = 20) -> Any:
        """The first truthy value of a script, asked again and again."""
        end = time.monotonic() + seconds
        while True:
            value = self.run(script)
            if value:
                return value
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol, such as "Emulation.setDeviceMetricsOverride"."""
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def errors(self) -> list[str]:
        """What the console has of severity SEVERE."""
        entries = self.call("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def end(self) -> None:
        """Close the window."""
        self.call("", method="DELETE")


@contextmanager
def open_browser(folder: Path, *, width: int = 1200, height: int = 900) -> Iterator[Browser]:
    """A window of a fresh profile in `folder`."""
    log = folder / "chromedriver.log"
    with log.open("wb") as out:
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=out, stderr=subprocess.DEVNULL)
    try:
        port = _port(log)
        browser = Browser(f"http://127.0.0.1:{port}")
        browser.begin(width, height, folder / "profile")
        try:
            yield browser
        finally:
            browser.end()
    finally:
        driver.terminate()
        driver.wait(10)


def _port(log: Path) -> str:
    mark = "started successfully on port "
    end = time.monotonic() + 30
    while mark not in (text := log.read_text()):
        assert time.monotonic() < end, text
        time.sleep(0.05)
    return text.split(mark)[1].split()[0].rstrip(".")


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The files of `folder` over HTTP; the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
