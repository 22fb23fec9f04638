"""A real browser for tests: headless Chromium, driven over two pipes.

The DevTools protocol is JSON messages that end in a zero byte, read from file
descriptor 3 and written to 4; so it takes neither a port nor a package.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

# The pipes as descriptors 3 and 4 of the browser, whatever they were.
_LAUNCH = """
import os, sys
read, write = map(int, sys.argv[1:3])
read, write = os.dup(read), os.dup(write)
read, write = os.dup(read), os.dup(write)
os.dup2(read, 3)
os.dup2(write, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def find():
  """The browser's path, or None."""
  return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
  """One page in a browser; a context manager."""

  def __enter__(self):
    self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    theirs, self._to = os.pipe()
    self._from, ours = os.pipe()
    words = [
      find(),
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--hide-scrollbars",
      "--remote-debugging-pipe",
      f"--user-data-dir={self._home.name}",
      "about:blank",
    ]
    self._process = subprocess.Popen(
      [sys.executable, "-ISc", _LAUNCH, str(theirs), str(ours), *words],
      pass_fds=(theirs, ours),
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(ours)
    self._last, self._buffer, self._session = 0, b"", None
    self.events = []
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    self._session = self.call(
      "Target.attachToTarget", targetId=target, flatten=True
    )["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
      self.call(f"{domain}.enable")
    return self

  def __exit__(self, *error):
    os.close(self._to)
    self._process.kill()
    self._process.wait()
    os.close(self._from)
    self._home.cleanup()

  def call(self, method, **parameters):
    """Calls the protocol and returns its result."""
    self._last += 1
    message = {"id": self._last, "method": method, "params": parameters}
    if self._session:
      message["sessionId"] = self._session
    data = json.dumps(message).encode() + b"\0"
    while data:
      data = data[os.write(self._to, data) :]
    while True:
      answer = self._read()
      if answer.get("id") == self._last:
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]
      self.events.append(answer)

  def wait_for(self, event):
    """Reads until an event comes."""
    while not any(e.get("method") == event for e in self.events):
      self.events.append(self._read())

  def _read(self):
    while b"\0" not in self._buffer:
      part = os.read(self._from, 1 << 20)
      if not part:
        raise RuntimeError(f"the browser ended, code {self._process.wait()}")
      self._buffer += part
    message, _, self._buffer = self._buffer.partition(b"\0")
    return json.loads(message)

  def open(self, path):
    """Opens a file and waits until it is loaded."""
    self.events.clear()
    self.call("Page.navigate", url=path.resolve().as_uri())
    self.wait_for("Page.loadEventFired")

  def evaluate(self, expression):
    """The value of a JavaScript expression in the page."""
    found = self.call(
      "Runtime.evaluate",
      expression=expression,
      returnByValue=True,
      awaitPromise=True,
    )
    assert "exceptionDetails" not in found, found["exceptionDetails"]
    return found["result"].get("value")

  def click(self, selector):
    """Clicks with the mouse on the middle of an element."""
    quoted = json.dumps(selector)
    x, y = self.evaluate(f"""(() => {{
      const node = document.querySelector({quoted});
      node.scrollIntoView({{block: 'center', behavior: 'instant'}});
      const box = node.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    }})()""")
    for kind in ("mousePressed", "mouseReleased"):
      self.call(
        "Input.dispatchMouseEvent",
        type=kind,
        x=x,
        y=y,
        button="left",
        clickCount=1,
      )

  def press(self, key, code):
    """Presses a key and lets it go."""
    for kind in ("keyDown", "keyUp"):
      self.call(
        "Input.dispatchKeyEvent",
        type=kind,
        key=key,
        code=key,
        windowsVirtualKeyCode=code,
        text="\r" if key == "Enter" and kind == "keyDown" else "",
      )

  def look(self, width, height=800, scheme="light", mobile=False):
    """Sets the window's size and the colours that the user prefers."""
    self.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=mobile,
    )
    self.call(
      "Emulation.setEmulatedMedia",
      features=[{"name": "prefers-color-scheme", "value": scheme}],
    )

  def screenshot(self, path, clip=None):
    """Writes a picture of the whole page, or of a part of it."""
    options = {"clip": {**clip, "scale": 1}} if clip else {}
    found = self.call(
      "Page.captureScreenshot", captureBeyondViewport=True, **options
    )
    path.write_bytes(base64.b64decode(found["data"]))

  def print(self, path):
    """Prints the page to a PDF file."""
    found = self.call(
      "Page.printToPDF", printBackground=True, preferCSSPageSize=True
    )
    path.write_bytes(base64.b64decode(found["data"]))

  def complaints(self):
    """What the page wrote to the console, threw, or fetched over a network."""
    found = []
    for event in self.events:
      name, detail = event.get("method"), event.get("params", {})
      if name in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
        found.append(detail)
      elif name == "Log.entryAdded":
        found.append(detail["entry"])
      elif name == "Network.requestWillBeSent":
        url = detail["request"]["url"]
        if not url.startswith(("file:", "data:", "blob:")):
          found.append(url)
    return found
