"""A headless Chromium, from `tools/setup test`, that tests open pages in. It is spoken to by its own protocol
(https://chromedevtools.github.io/devtools-protocol) over two pipes: messages of JSON, each with a 0 byte behind it. It
has one font, so that a page has the same lines on every machine. It is ended by its process id."""
import base64
import json
import os
import pathlib
import platform
import select
import subprocess
import time

from common import ROOT

WAIT_SECONDS = 120  # for an answer: machines that test may be busy


def folder():
    """Where the browser lies, or None where it was not fetched."""
    done = subprocess.run([ROOT / "tools" / "setup", "path", "browser"], capture_output=True, text=True, check=True)
    home = pathlib.Path(done.stdout.strip())
    return home if (home / "done").exists() else None


def require():
    """Skips where there is no such browser; `make test` fetches it, and fails where it cannot."""
    import pytest
    if platform.machine() != "x86_64":
        pytest.skip("no browser: there is one for x86-64 only")
    if not folder():
        pytest.skip("no browser: run `tools/setup test`")


class Browser:
    def __init__(self, data):
        home = folder()
        data.mkdir(parents=True, exist_ok=True)
        (data / "fonts.conf").write_text(
            f"<?xml version='1.0'?><!DOCTYPE fontconfig SYSTEM 'fonts.dtd'><fontconfig><dir>{home}/fonts</dir>"
            f"<cachedir>{data}/fonts</cachedir></fontconfig>")
        theirs, self.to = os.pipe()
        self.out, answers = os.pipe()

        def places():  # of the protocol: it reads from 3 and writes to 4
            high = [os.dup2(fd, 100 + i) for i, fd in enumerate((theirs, answers))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        env = {**os.environ, "LD_LIBRARY_PATH": str(home / "lib"), "HOME": str(data), "TZ": "UTC",
               "FONTCONFIG_FILE": str(data / "fonts.conf")}
        with open(data / "log", "ab") as log:
            # No sandbox: root may have none, and the pages are our own.
            self.process = subprocess.Popen(
                [home / "chromium", "--headless=shell", "--no-sandbox", "--no-zygote", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--font-render-hinting=none",
                 f"--user-data-dir={data}/profile", "--remote-debugging-pipe"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, close_fds=False, preexec_fn=places,
                start_new_session=True)
        os.close(theirs)
        os.close(answers)
        self.rest, self.events, self.last, self.target, self.session = b"", [], 0, None, None

    def close(self):
        os.close(self.to)
        self.process.kill()
        self.process.wait()
        os.close(self.out)

    def _read(self):
        """The next message."""
        until = time.monotonic() + WAIT_SECONDS
        while b"\0" not in self.rest:
            if not select.select([self.out], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            some = os.read(self.out, 1 << 20)
            if not some:
                raise RuntimeError(f"the browser has ended with {self.process.wait()}")
            self.rest += some
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        """The answer to a command; what the browser tells meanwhile is kept in `events`."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self.to, text):]
        while (answer := self._read()).get("id") != self.last:
            self.events.append(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def wait(self, event):
        while not any(told["method"] == event for told in self.events):
            self.events.append(self._read())

    def open(self, path, width, scheme="light"):
        """Opens a file as a page in a window of that width; below 600 the window is that of a telephone."""
        self.session = None
        if self.target:
            self.call("Target.closeTarget", targetId=self.target)
        self.target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{part}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844 if width < 600 else 900,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events = []
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        self.wait("Page.loadEventFired")
        self.run("document.fonts.ready.then(() => 1)")

    def run(self, script):
        """The value of a script on the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def complaints(self):
        """What the page or the browser wrote to the console, and the mistakes of scripts."""
        told = [event["params"] for event in self.events if event["method"] in (
            "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]
        return [json.dumps(one) for one in told]

    def requests(self):
        """The addresses that the page asked for, its own first."""
        return [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]

    def picture(self, path):
        """The whole page as a PNG, for eyes."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))
