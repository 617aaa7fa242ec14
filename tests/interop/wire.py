"""What tests/interop/run sees on the wire: a relay that records a connection, and how to read what it has recorded.

Python 3.11 or later, standard library only.
"""

import collections
import socket
import struct
import threading
import zlib

from support import Failure

TAIL = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.2: what every compressed message ends in, and does not carry
TEXT, BINARY, CONTROL = 1, 2, 8
STEP = 32  # bytes that are decompressed at a time, to see how far back they refer

# The four parameters (RFC 7692 §7.1): whether a message may refer to those before it, and how far, as a power of two.
Direction = collections.namedtuple("Direction", "takeover bits")
Agreed = collections.namedtuple("Agreed", "server client")

# opcode; RSV1; the payload as it was sent, unmasked; frames; bytes on the wire, with the headers
Message = collections.namedtuple("Message", "opcode compressed payload frames wire")


class Relay:
    """Takes one connection on a port of its own, makes one to `port`, and records what passes."""

    def __init__(self, port, patience):
        self.target, self.patience = port, patience
        self.from_client, self.from_server = bytearray(), bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(patience)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            client = self.listener.accept()[0]
        except OSError:
            return
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=self.patience)
            except OSError:
                return
            with server:
                for end in (client, server):
                    end.settimeout(self.patience)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=pump, args=(server, client, self.from_server), daemon=True)
                back.start()
                pump(client, server, self.from_client)
                back.join(self.patience)

    def await_end(self):
        self.thread.join(self.patience)
        if self.thread.is_alive():
            raise Failure(f"the connection did not end within {self.patience} s")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        except OSError:
            pass
        self.listener.close()


def pump(source, sink, record):
    try:
        while data := source.recv(1 << 18):
            record += data  # first, so that whoever has an answer also finds it here
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One end is gone: so that the other one learns it.
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def head(record):
    """The head of a request or a response, and where the frames begin."""
    end = record.find(b"\r\n\r\n")
    if end < 0:
        raise Failure(f"no complete head: {bytes(record[:200])!r}")
    return record[:end].decode("latin-1"), end + 4


def agreed(record):
    """What the server's answer says has been agreed."""
    text, _ = head(record)
    lines = [line.partition(":") for line in text.split("\r\n")]
    fields = [value for name, _, value in lines if name.lower() == "sec-websocket-extensions"]
    if len(fields) != 1 or "," in fields[0]:
        raise Failure(f"the server's extensions are {fields}, not one")
    name, *params = [part.strip() for part in fields[0].split(";")]
    if name != "permessage-deflate":
        raise Failure(f"the server's extension is {name}")
    params = dict((param.split("=", 1) + [None])[:2] for param in params)
    directions = []
    for end in ("server", "client"):
        takeover = f"{end}_no_context_takeover" not in params
        params.pop(f"{end}_no_context_takeover", None)
        directions.append(Direction(takeover, int(params.pop(f"{end}_max_window_bits", 15))))
    if params:
        raise Failure(f"unknown parameters: {params}")
    return Agreed(*directions)


def messages(record, masked):
    """The messages of one direction."""
    record, (_, at) = bytes(record), head(record)
    found, open_message = [], None
    while at < len(record):
        begin = at
        try:
            first, second = record[at:at + 2]
            length, at = second & 127, at + 2
            if length >= 126:
                form = "!H" if length == 126 else "!Q"
                length, at = struct.unpack_from(form, record, at)[0], at + struct.calcsize(form)
        except (ValueError, struct.error) as error:
            raise Failure("the connection ends within a frame's header") from error
        if bool(second & 128) != masked:
            raise Failure("a frame is masked that must not be, or the other way round")
        key = record[at:at + 4] if masked else b""
        at += len(key)
        payload, at = record[at:at + length], at + length
        if len(payload) < length:
            raise Failure("the connection ends within a frame")
        fin, rsv, opcode = first >> 7, first >> 4 & 7, first & 15
        begins = opcode in (TEXT, BINARY)
        if rsv not in (0, 4) or rsv and not begins:
            raise Failure(f"reserved bits {rsv:03b} with opcode {opcode}")
        if opcode >= CONTROL:
            continue
        if begins != (open_message is None):
            raise Failure(f"opcode {opcode} out of place")
        if begins:
            open_message = [opcode, rsv == 4, [], 0, 0]
        open_message[2].append(unmask(payload, key))
        open_message[3] += 1
        open_message[4] += at - begin
        if fin:
            open_message[2] = b"".join(open_message[2])
            found.append(Message(*open_message))
            open_message = None
    return found


def unmask(payload, key):
    if not key:
        return payload
    size = len(payload)
    key = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class Inflater:
    """Decompresses messages as the peer of an end must be able to: with no larger window than has been agreed, and, but
    for takeover, without what came before."""

    def __init__(self, direction):
        self.direction = direction
        self.fresh()

    def fresh(self):
        self.state = zlib.decompressobj(-self.direction.bits)

    def message(self, message):
        if not message.compressed:
            return message.payload
        if not self.direction.takeover:
            self.fresh()
        data = message.payload + TAIL
        try:
            return self.state.decompress(data) if self.direction.bits == 15 else self.in_steps(data)
        except zlib.error as error:
            raise Failure(f"does not decompress with {self.direction}: {error}") from error

    def in_steps(self, data):
        """zlib looks into its window for what is older than the buffer it writes to, and only there it sees that a
        reference reaches too far back: so it gets a small buffer."""
        out = []
        for begin in range(0, len(data), 256):
            rest = data[begin:begin + 256]
            while True:
                piece = self.state.decompress(rest, STEP)
                out.append(piece)
                rest = self.state.unconsumed_tail
                if len(piece) < STEP and not rest:
                    break
        return b"".join(out)
