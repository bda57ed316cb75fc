"""Chromium without a window, spoken to over a pipe (Chrome DevTools Protocol): no port and no library is needed."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page; ``evaluate`` runs JavaScript in it, ``press`` sends keys as a keyboard would."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def wire() -> None:  # the browser reads from 3 and writes to 4
            low = os.dup(to_browser)
            high = os.dup(from_browser)
            os.dup2(low, 3)
            os.dup2(high, 4)

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
                 f"--window-size={width},{height}", f"--user-data-dir={profile}",
                 "--remote-debugging-pipe"]  # fmt: skip
        self._process = subprocess.Popen(
            [str(CHROMIUM), *flags, "about:blank"],
            preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._waiting = b""
        self._number = 0
        self.session: str | None = None
        self.problems: list[Any] = []
        target = self.call("Target.createTarget", url="about:blank")  # the browser's own may not be there yet
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._out, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(answer["params"])

    def _receive(self) -> Any:
        while b"\0" not in self._waiting:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser ended"
            self._waiting += part
        message, self._waiting = self._waiting.split(b"\0", 1)
        return json.loads(message)

    def open(self, address: str, ready: str = "document.documentElement?.dataset.ready") -> None:
        """Open a page and wait until its script says that it is ready, or an expression does."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        asked = {"expression": ready, "returnByValue": True}
        for _ in range(6_000):
            if self.call("Runtime.evaluate", **asked)["result"].get("value"):
                return
            time.sleep(0.05)
        raise TimeoutError(address)

    def evaluate(self, script: str) -> Any:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, *keys: str) -> None:
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
        for key in keys:
            more = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
            known = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, 0)}
            self.call("Input.dispatchKeyEvent", type="keyDown", **known, **more)
            self.call("Input.dispatchKeyEvent", type="keyUp", **known)
        self.settle()

    def settle(self) -> None:
        """Wait until the page has drawn."""
        self.evaluate("new Promise((ok) => requestAnimationFrame(() => requestAnimationFrame(() => ok())))")

    def screenshot(self, path: Path) -> None:
        import base64

        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
