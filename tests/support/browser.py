"""A headless Chromium, driven over a pipe by the Chrome DevTools protocol: no package is needed for that."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--proxy-server=127.0.0.1:9",
)
DEADLINE = 60.0


def find_browser() -> str | None:
    """Return a Chromium's path, from ``$COUNTERPOISE_BROWSER`` or the search path, if there is one."""
    return os.environ.get("COUNTERPOISE_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser with one page; use as a context manager."""

    def __init__(self, program: str, home: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()  # (read, write): what we say, what it says
        command = [program, *FLAGS, f"--user-data-dir={home}", "about:blank"]

        def places() -> None:  # the protocol's pipe is on descriptors 3 and 4
            kept = os.dup(ours[0]), os.dup(theirs[1])
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        with (home / "said.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, preexec_fn=places, close_fds=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        os.close(ours[0])
        os.close(theirs[1])
        self._out, self._in = ours[1], theirs[0]
        self._buffer = b""
        self._number = 0
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        self._idle = 0.0
        self.session = self.call("Target.attachToTarget", targetId=self._page(), flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._out)
        os.close(self._in)

    # -- the protocol ----------------------------------------------------------------------------------------

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(end - time.monotonic(), 0))
            chunk = os.read(self._in, 1 << 20) if ready else b""
            assert chunk, "the browser does not answer"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _navigate(self, url: str) -> None:
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        end = {"name": "load", "loaderId": answer["loaderId"]}
        while not any(end.items() <= found.get("params", {}).items() for found in self.events):
            self.events.append(self._receive())

    def _page(self) -> str:
        """Return the window that the browser opens by itself: one made by us would not be in front."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            for target in self.call("Target.getTargets")["targetInfos"]:
                if target["type"] == "page":
                    return target["targetId"]
            time.sleep(0.02)
        raise AssertionError("the browser opens no window")

    # -- what tests ask --------------------------------------------------------------------------------------

    def open(self, url: str) -> None:
        """Open a page and wait until it has loaded; what happened before is forgotten."""
        self._navigate("about:blank")  # from a page to a place on itself would load nothing
        self.events.clear()
        # Counted anew: a machine that does other things, too, makes a page late but not busier.
        self.call("Performance.disable")
        self.call("Performance.enable", timeDomain="threadTicks")
        self._idle = 0.0
        self._idle = self.busy()
        self._navigate(url)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression in the page is true."""
        end = time.monotonic() + DEADLINE
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)

    def complaints(self) -> list[str]:
        """Everything that the console, the log and uncaught errors said since the page was opened."""
        self.run("0")
        said = []
        for event in self.events:
            name, given = event.get("method"), event.get("params", {})
            if name == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
                said.append(" ".join(str(part.get("value", part)) for part in given["args"]))
            elif name == "Runtime.exceptionThrown":
                said.append(json.dumps(given["exceptionDetails"]))
            elif name == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                said.append(given["entry"]["text"])
            elif name == "Network.loadingFailed":
                said.append(f"failed to load: {given.get('errorText')}")
        return said

    def busy(self) -> float:
        """Return the processor time, in seconds, of the page's own thread since the page was opened."""
        found = self.call("Performance.getMetrics")["metrics"]
        return next(entry["value"] for entry in found if entry["name"] == "TaskDuration") - self._idle

    def requests(self) -> list[str]:
        """The addresses that the page asked for, its own first."""
        self.run("0")
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def press(self, key: str) -> None:
        """Press and release a key: ``Tab``, ``Enter``."""
        codes = {"Tab": 9, "Enter": 13, "Space": 32}
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        same = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **same)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def show(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Set the window's size in CSS pixels, and the colour scheme that the user prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
