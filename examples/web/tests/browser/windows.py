"""What the checks of the pages work with: the server, the network before it, and the windows of a browser.

Nothing here waits for a time to pass: it waits until something is so, and fails if that takes a minute. Python 3.8 or later,
standard library only.
"""

import base64
import http.client
import os
import re
import selectors
import signal
import socket
import ssl
import subprocess
import threading
import time

import support
from support import Failure, Process
from webdriver import ELEMENT, PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(os.path.dirname(HERE))
LISTENING = re.compile(r"listening on (https?)://\S+:(\d+)")
PAGES = ["/", "/text", "/chat", "/auction", "/compare"]
SELECT_ALL = "\ue009a\ue009"  # Control and A, as WebDriver spells it


def build():
    """The server, as `cargo test` builds it too."""
    command = ["cargo", "build", "--manifest-path", os.path.join(PACKAGE, "Cargo.toml")]
    print("$ " + " ".join(command), flush=True)
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
        raise Failure("the server cannot be built")
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(PACKAGE, "target")), "debug", "web")


class Server:
    """The server, at a port that stays the same."""

    def __init__(self, name, executable, scratch, *arguments, tls=False):
        self.name, self.executable, self.scratch, self.arguments = name, executable, scratch, list(arguments)
        self.port, self.count, self.ca = 0, 0, os.path.join(scratch, f"{name}.pem") if tls else None
        self.snapshot = os.path.join(scratch, f"{name}.snapshot")
        self.start()

    def start(self, snapshot=False):
        self.count += 1
        log = os.path.join(self.scratch, f"{self.name}-{self.count}.log")
        arguments = ["--listen", f"127.0.0.1:{self.port}", *self.arguments]
        if self.ca:
            arguments += ["--tls", "--ca-out", self.ca]
        if snapshot:
            arguments += ["--snapshot", self.snapshot]
        self.process = Process(self.name, [self.executable, *arguments], log)
        scheme, port = self.process.await_output(LISTENING, PATIENCE).groups()
        self.port, self.url = int(port), f"{scheme}://127.0.0.1:{port}"

    def stop(self):
        """A graceful end."""
        self.process.end()
        if self.process.exited() != 0:
            raise Failure(f"{self.name} has ended with status {self.process.exited()}{self.process.tail()}")

    def kill(self):
        self.process.child.send_signal(signal.SIGKILL)
        self.process.child.wait()

    def publish(self, topic, *bodies):
        """Says them one after the other, on one connection."""
        if self.ca:
            trust = ssl.create_default_context(cafile=self.ca)
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=trust)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        for body in bodies:
            connection.request("POST", f"/publish?topic={topic}", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise Failure(f"{self.name} does not publish: {answer.status}")
        connection.close()


class Network:
    """A relay in front of a server. It can be cut, as a cable is, and it can swallow everything, as a dead network does."""

    def __init__(self, server_port):
        self.server_port, self.state, self.pairs = server_port, "through", {}
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                state = self.state
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port)) if state == "through" else None
            except OSError:
                server = None
            if not server:
                client.close()
                continue
            pair = (client, server)
            with self.lock:
                self.pairs[pair] = True
            threading.Thread(target=self.relay, args=pair, daemon=True).start()

    def relay(self, client, server):
        """Until one of them ends. What comes while all is swallowed is dropped, and no end is told then."""
        waiting = selectors.DefaultSelector()
        waiting.register(client, selectors.EVENT_READ, server)
        waiting.register(server, selectors.EVENT_READ, client)
        try:
            while True:
                for key, _ in waiting.select():
                    some = key.fileobj.recv(65536)
                    if self.state == "silent":
                        if not some:
                            waiting.unregister(key.fileobj)
                        continue
                    if not some:
                        return
                    key.data.sendall(some)
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.pairs.pop((client, server), None)
            client.close()
            server.close()

    def cut(self):
        """All connections end, and new ones do at once."""
        with self.lock:
            self.state, pairs = "cut", list(self.pairs)
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def swallow(self):
        """The connections stay, and nothing passes any more. New ones come through nowhere."""
        with self.lock:
            self.state = "silent"

    def mend(self):
        """New connections pass again."""
        with self.lock:
            self.state = "through"

    def close(self):
        self.cut()
        self.listener.close()


class Windows:
    """Windows of one browser. Each call goes to the window that it names."""

    def __init__(self, browser, shots, count):
        self.browser, self.shots = browser, shots
        self.names = [browser.call("GET", "/window")]
        for _ in range(1, count):
            self.names.append(browser.call("POST", "/window/new", {"type": "window"})["handle"])
        for number in self.all():
            self.to(number).call("POST", "/window/rect", {"width": 1100, "height": 900})

    def to(self, number):
        self.browser.call("POST", "/window", {"handle": self.names[number]})
        return self.browser

    def all(self):
        return range(len(self.names))

    def open(self, number, url):
        self.to(number).get(url)
        self.is_open(number)

    def is_open(self, number):
        self.until(number, "document.getElementById('status').dataset.state === 'open'")

    def is_offline(self, number):
        self.until(number, "document.getElementById('status').dataset.state !== 'open'")

    def script(self, number, script, *arguments):
        return self.to(number).script(script, *arguments)

    def until(self, number, condition, seconds=PATIENCE):
        browser, deadline = self.to(number), time.monotonic() + seconds
        while not browser.script(f"return {condition}"):
            if time.monotonic() > deadline:
                text = browser.script("return document.body.innerText")
                raise Failure(f"not so in window {number} after {seconds} s: {condition}\n{text}")
            time.sleep(0.05)

    def shows(self, number, text, selector="main"):
        self.until(number, f"document.querySelector({selector!r}).innerText.includes({text!r})")

    def log(self, number):
        """The lines of the chat, without who has said them."""
        return self.script(number, "return [...document.querySelectorAll('#log li')].map(line => line.lastChild.textContent)")

    def click(self, number, selector):
        element = self.to(number).find(selector)
        self.browser.call("POST", f"/element/{element}/click", {})

    def type(self, number, selector, keys):
        self.to(number).type(selector, keys)

    def write_over(self, number, selector, keys):
        """What stands there is replaced."""
        self.click(number, selector)
        self.keys(number, SELECT_ALL + keys)

    def keys(self, number, keys):
        """To whatever has the focus."""
        element = self.to(number).call("GET", "/element/active")[ELEMENT]
        self.browser.call("POST", f"/element/{element}/value", {"text": keys})

    def shot(self, number, name):
        if self.shots:
            picture = self.to(number).call("GET", "/screenshot")
            with open(os.path.join(self.shots, f"{self.browser.name}-{name}.png"), "wb") as file:
                file.write(base64.b64decode(picture))

    def leave(self, number, server):
        """The window has no page any more. Firefox ends the process of a page that is left for about:blank, in the middle of
        its scripts, and calls that an error; this stays in the process."""
        self.to(number).get(server.url + "/health")
