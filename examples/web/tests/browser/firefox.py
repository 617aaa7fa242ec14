"""Firefox by Marionette, the protocol beneath geckodriver: JSON over a socket, each message after its length. So it needs
nothing but Firefox. Python 3.8 or later, standard library only."""

import contextlib
import json
import os
import socket
import time

import support
import webdriver
from support import Failure, Process
from webdriver import PATIENCE

# The port is Firefox's choice, and it writes it to a file. Nothing is asked elsewhere; Marionette itself sees to the rest.
PREFERENCES = """
user_pref("marionette.port", 0);
user_pref("network.proxy.type", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.http.speculative-parallel-limit", 0);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.normandy.enabled", false);
"""
# WebDriver's paths, as Windows uses them, in Marionette's words. {} is what stands between the slashes.
COMMANDS = {
    ("GET", "/window"): "WebDriver:GetWindowHandle",
    ("POST", "/window"): "WebDriver:SwitchToWindow",
    ("POST", "/window/new"): "WebDriver:NewWindow",
    ("POST", "/window/rect"): "WebDriver:SetWindowRect",
    ("POST", "/url"): "WebDriver:Navigate",
    ("POST", "/execute/sync"): "WebDriver:ExecuteScript",
    ("POST", "/execute/async"): "WebDriver:ExecuteAsyncScript",
    ("POST", "/element"): "WebDriver:FindElement",
    ("GET", "/element/active"): "WebDriver:GetActiveElement",
    ("POST", "/element/{}/click"): "WebDriver:ElementClick",
    ("POST", "/element/{}/value"): "WebDriver:ElementSendKeys",
    ("POST", "/back"): "WebDriver:Back",
    ("GET", "/screenshot"): "WebDriver:TakeScreenshot",
}
# Errors and warnings of the server's pages; and what they have said by `console`.
CONSOLES = """
    const mine = /^https?:[/][/]127[.]0[.]0[.]1:/, found = [];
    for (const message of Services.console.getMessageArray())
        if (message instanceof Ci.nsIScriptError && mine.test(message.sourceName)) found.push(message.errorMessage);
    Services.console.reset();
    const storage = Cc["@mozilla.org/consoleAPI-storage;1"].getService(Ci.nsIConsoleAPIStorage);
    for (const said of storage.getEvents())
        if (mine.test(said.filename)) found.push(said.level + " " + said.arguments.join(" "));
    storage.clearEvents();
    return found;
"""
# What a server that is away makes the browser say. Nothing else may stand in the console.
AWAY = ("establish a connection to the server at ws", "was interrupted while the page was loading",
        "was interrupted while", "NS_ERROR_CONNECTION_REFUSED", "NS_ERROR_NET")


class Firefox(webdriver.Browser):
    """A session, with the same calls as one by WebDriver."""

    def __init__(self, port):
        self.name, self.count = "firefox", 0
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=2 * PATIENCE)
        self.reader = self.stream.makefile("rb")
        self.read()
        created = self.command("WebDriver:NewSession", {
            "acceptInsecureCerts": True, "timeouts": {"script": PATIENCE * 1000, "pageLoad": PATIENCE * 1000}})
        self.version = created["capabilities"]["browserVersion"]

    def read(self):
        digits = b""
        while not digits.endswith(b":"):
            digit = self.reader.read(1)
            if not digit:
                raise Failure("firefox has ended")
            digits += digit
        return json.loads(self.reader.read(int(digits[:-1])))

    def command(self, name, parameters):
        self.count += 1
        text = json.dumps([0, self.count, name, parameters]).encode()
        try:
            self.stream.sendall(b"%d:%s" % (len(text), text))
            _, _, error, value = self.read()
        except (OSError, ValueError) as failure:
            raise Failure(f"firefox, {name}: {failure!r}") from failure
        if error:
            raise Failure(f"{error['error']}: {error['message'].splitlines()[0]}")
        return value["value"] if isinstance(value, dict) and list(value) == ["value"] else value

    def call(self, method, path, body=None):
        parameters, parts = dict(body or {}), path.split("/")
        if len(parts) == 4:  # /element/ID/click
            parameters["id"], parts[2] = parts[2], "{}"
        return self.command(COMMANDS[method, "/".join(parts)], parameters)

    def chrome(self, script, *arguments):
        """Runs it with the rights of the browser itself."""
        self.command("Marionette:SetContext", {"value": "chrome"})
        try:
            return self.script(script, *arguments)
        finally:
            self.command("Marionette:SetContext", {"value": "content"})

    def quit(self):
        try:
            self.command("Marionette:Quit", {"flags": ["eForceQuit"]})
        except Failure:
            pass
        self.stream.close()


@contextlib.contextmanager
def session(scratch):
    """A browser that runs, with a profile of its own. It trusts any certificate; the tests of the server check those."""
    program = os.environ.get("FIREFOX") or support.debian_programs({"firefox-esr": "firefox-esr"})["firefox-esr"]
    profile = os.path.join(scratch, "firefox")
    os.makedirs(profile)
    with open(os.path.join(profile, "user.js"), "w", encoding="utf-8") as file:
        file.write(PREFERENCES)
    command = [program, "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile]
    env = dict(os.environ, HOME=scratch)
    with Process("firefox", command, os.path.join(scratch, "firefox.log"), env=env, group=True) as process:
        browser = Firefox(port(process, profile))
        try:
            yield browser
        finally:
            browser.quit()


def port(process, profile):
    """Where it listens, as soon as it does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with open(os.path.join(profile, "MarionetteActivePort"), encoding="utf-8") as file:
                return int(file.read())
        except (OSError, ValueError):
            if process.exited() is not None or time.monotonic() > deadline:
                raise Failure(f"firefox does not start{process.tail()}") from None
            time.sleep(0.05)


def complaints(windows, away):
    """What the consoles say, but for the server that is away if that is allowed."""
    said = windows.browser.chrome(CONSOLES)
    return [message for message in said if not (away and any(word in message for word in AWAY))]
