"""A client of sockets and of event streams that does nothing by itself: it shows what comes through a proxy."""

import base64
import json
import os
import socket
import ssl
import time

from support import Failure

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Raw:
    """A connection to a proxy. What it reads is kept until it is taken."""

    def __init__(self, proxy, request, seconds):
        self.name, self.kept = proxy.name, b""
        self.stream = socket.create_connection(("127.0.0.1", proxy.port), timeout=seconds)
        if proxy.tls:
            trust = ssl.create_default_context(cafile=proxy.ca)
            self.stream = trust.wrap_socket(self.stream, server_hostname="127.0.0.1")
        text = request.format(host=f"127.0.0.1:{proxy.port}", origin=proxy.url)
        self.stream.sendall(text.replace("\n", "\r\n").encode())
        self.head = self.until(b"\r\n\r\n").decode("latin-1")

    def more(self):
        try:
            bytes_ = self.stream.recv(65536)
        except TimeoutError:
            raise Failure(f"{self.name}: nothing comes after {self.kept!r}") from None
        except OSError as error:
            raise Failure(f"{self.name}: {error}") from error
        if not bytes_:
            raise Failure(f"{self.name}: the connection was ended after {self.kept!r}")
        self.kept += bytes_

    def until(self, part):
        while part not in self.kept:
            self.more()
        end = self.kept.index(part) + len(part)
        taken, self.kept = self.kept[:end], self.kept[end:]
        return taken


class Socket(Raw):
    """A WebSocket that sends nothing but Pongs, unless it is told to say something."""

    def __init__(self, proxy, seconds):
        key = base64.b64encode(os.urandom(16)).decode()
        super().__init__(proxy, "GET /live HTTP/1.1\nHost: {host}\nOrigin: {origin}\nUpgrade: websocket\n"
                         "Connection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: " + key + "\n\n", seconds)
        if not self.head.startswith("HTTP/1.1 101 "):
            raise Failure(f"{self.name} answers {self.head!r}")
        self.pings, self.last = 0, time.monotonic()
        self.text()

    def exactly(self, count):
        while len(self.kept) < count:
            self.more()
        taken, self.kept = self.kept[:count], self.kept[count:]
        return taken

    def frame(self):
        first, length = self.exactly(2)
        if length == 126:
            length = int.from_bytes(self.exactly(2), "big")
        opcode, payload = first & 15, self.exactly(length)
        if opcode == PING:
            self.pings += 1
            self.send(PONG, payload)
        if opcode == CLOSE:
            raise Failure(f"{self.name}: Close {payload!r}")
        return opcode, payload

    def text(self):
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                return json.loads(payload)

    def send(self, opcode, payload):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.stream.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    def ask(self, message):
        self.send(TEXT, json.dumps(message).encode())
        return self.text()


def idle(proxy, seconds, patience):
    """Opens a socket and says nothing for so long. Then it is still there."""
    client, until = Socket(proxy, patience), time.monotonic() + seconds
    while time.monotonic() < until:
        client.frame()
    if client.pings < 2:
        raise Failure(f"{proxy.name}: {client.pings} pings in {seconds} s")
    answer = client.ask({"leave": "nothing"})
    if answer != {"left": "nothing"}:
        raise Failure(f"{proxy.name} after {seconds} s: {answer}")
    return client.pings


def events(proxy, publish, patience):
    """A stream of events comes as it is said, not in the end."""
    client = Raw(proxy, "GET /events?topic=proxied HTTP/1.1\nHost: {host}\n\n", patience)
    client.until(b"\n\n")
    for number in range(3):
        publish(f'"event {number}"')
        client.until(f"event {number}".encode())
