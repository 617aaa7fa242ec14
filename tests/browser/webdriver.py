"""Chromium by the W3C WebDriver protocol, as far as the tests need it. Python 3.8 or later, standard library only."""

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess

from support import Failure, Process, Unavailable

ENTER = "\ue007"  # the Enter key, as WebDriver spells it
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element reference, fixed by the WebDriver standard
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
]
STARTED = re.compile(r"started successfully on port (\d+)")
PATIENCE = 60  # seconds that anything may take; only a failure ever waits so long


def find_browser():
    """The executables of Chromium and chromedriver, installed if need be."""
    def look():
        names = ("chromium", "chromium-browser", "google-chrome")
        browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
        return browser, os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")

    if not all(look()) and os.geteuid() == 0 and shutil.which("apt-get"):
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "chromium-driver"]
        for command in (["apt-get", "update", "-qq"], install):
            print("$ " + " ".join(command), flush=True)
            if subprocess.run(command, stdin=subprocess.DEVNULL, env=env).returncode != 0:
                raise Unavailable(f"{' '.join(command)} failed")
    browser, driver = look()
    if not browser or not driver:
        missing = " and ".join(name for name, path in (("chromium", browser), ("chromedriver", driver)) if not path)
        raise Unavailable(f"{missing} not found (Debian: apt-get install chromium chromium-driver)")
    return browser, driver


class Browser:
    """A WebDriver session, as far as this test needs one."""

    def __init__(self, port, binary, profile, prefs, wanted):
        self.port, self.session = port, ""
        options = {"binary": binary, "args": [*FLAGS, f"--user-data-dir={profile}"], "prefs": prefs}
        wanted = {**wanted, "browserName": "chrome", "goog:chromeOptions": options,
                  "timeouts": {"script": PATIENCE * 1000, "pageLoad": PATIENCE * 1000}}
        created = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{created['sessionId']}"
        self.version = created["capabilities"]["browserVersion"]

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * PATIENCE)
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, self.session + path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        except (OSError, ValueError, KeyError) as error:
            raise Failure(f"chromedriver, {method} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Failure(f"{value.get('error')}: {value.get('message', '').splitlines()[0]}")
        return value

    def get(self, url):
        self.call("POST", "/url", {"url": url})

    def script(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def promise(self, expression):
        """The value that a promise in the page resolves to. A rejection, or no answer in time, is a failure."""
        body = """const done = arguments[arguments.length - 1];
            (async () => (EXPRESSION))().then(v => done({value: v}), e => done({error: String(e)}));"""
        body = {"script": body.replace("EXPRESSION", expression), "args": []}
        answer = self.call("POST", "/execute/async", body)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer["value"]

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def type(self, selector, text):
        self.call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def quit(self):
        try:
            self.call("DELETE", "")
        except Failure:
            pass


@contextlib.contextmanager
def session(scratch, prefs=None, **wanted):
    """A browser that runs, with a profile of its own; with these preferences of Chromium, and these capabilities of WebDriver."""
    binary, driver = find_browser()
    with Process("chromedriver", [driver, "--port=0"], os.path.join(scratch, "driver.log"), group=True) as process:
        port = int(process.await_output(STARTED, PATIENCE).group(1))
        browser = Browser(port, binary, os.path.join(scratch, "profile"), prefs or {}, wanted)
        try:
            yield browser
        finally:
            browser.quit()
