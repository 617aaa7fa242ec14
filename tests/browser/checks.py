"""What a page sees of an echo server: scripts that run in the browser, and what must come of them."""

import json
import time

from support import Failure

# A page script: sockets with promises for their events, in which an error or a close nobody waits for is a rejection.
PAGE = """
window.connect = (protocols) => new Promise((resolve, reject) => {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + (window.endpoint || '/'), protocols || []);
    socket.binaryType = 'arraybuffer';
    const inbox = [], waiting = [];
    const closed = new Promise(r => socket.onclose = e => {
        r({clean: e.wasClean, code: e.code, reason: e.reason});
        reject('closed with ' + e.code + ' before it opened');
        waiting.splice(0).forEach(w => w.reject('closed with ' + e.code + ' while a message was due'));
    });
    socket.onmessage = e => waiting.length ? waiting.shift().resolve(e.data) : inbox.push(e.data);
    const next = () => new Promise((resolve, reject) => {
        if (inbox.length) resolve(inbox.shift());
        else if (socket.readyState === 3) reject('already closed');
        else waiting.push({resolve, reject});
    });
    socket.onopen = () => resolve({socket, next, closed});
});
window.echo = async (data) => {
    const {socket, next, closed} = await connect();
    socket.send(data);
    const back = await next();
    socket.close(1000);
    await closed;
    return back;
};
window.same = (a, b) => {
    if (typeof a === 'string') return a === b;
    const x = new Uint8Array(a), y = new Uint8Array(b);
    return x.length === y.length && x.every((byte, i) => byte === y[i]);
};
window.bytes = (n) => { const b = new Uint8Array(n); for (let i = 0; i < n; i++) b[i] = i * 31 + (i >> 8); return b.buffer; };
window.noise = (n) => {
    const b = new Uint8Array(n);
    for (let i = 0; i < n; i += 65536) crypto.getRandomValues(b.subarray(i, i + 65536)); // it fills no more at a time
    return b.buffer;
};
window.scrawl = (n) => Array.from(new Uint8Array(noise(n)), byte => String.fromCharCode(33 + byte % 90)).join('');
window.closing = async (...how) => {
    const {socket, closed} = await connect();
    socket.close(...how);
    return closed;
};
"""

# (what is checked, an expression in the page, a test of its value)
CHECKS = [
    ("open: readyState 1, no subprotocol", "connect().then(c => [c.socket.readyState, c.socket.protocol])",
     lambda v: v == [1, ""]),
    ("echo of text", "echo('h\\u00e9llo \\u4e16\\u754c \\ud83d\\ude80')", lambda v: v == "h\u00e9llo \u4e16\u754c \U0001f680"),
    ("echo of an empty text", "echo('')", lambda v: v == ""),
    ("echo of binary", "echo(bytes(256)).then(b => [b instanceof ArrayBuffer, same(bytes(256), b)])",
     lambda v: v == [True, True]),
    ("echo of an empty binary", "echo(new ArrayBuffer(0)).then(b => [b instanceof ArrayBuffer, b.byteLength])",
     lambda v: v == [True, 0]),
    ("echo of every payload length around the header's sizes",
     "Promise.all([1, 125, 126, 127, 65535, 65536, 65537].map(n => echo(bytes(n)).then(b => same(bytes(n), b))))",
     lambda v: v == [True] * 7),
    ("echo of 1 MiB of text", "echo('\\u00e9a'.repeat(349525) + 'x').then(t => [t.length, t === '\\u00e9a'.repeat(349525) + 'x'])",
     lambda v: v == [699051, True]),
    ("echo of 1 MiB of binary", "echo(bytes(1 << 20)).then(b => [b.byteLength, same(bytes(1 << 20), b)])",
     lambda v: v == [1 << 20, True]),
    ("echo of 1 MiB of zeros",
     "echo(new ArrayBuffer(1 << 20)).then(b => [b.byteLength, same(new ArrayBuffer(1 << 20), b)])",
     lambda v: v == [1 << 20, True]),
    ("echo of 1 MiB that cannot be compressed",
     "(async () => { const n = noise(1 << 20), b = await echo(n); return [b.byteLength, same(n, b)]; })()",
     lambda v: v == [1 << 20, True]),
    ("echo of 1 MiB of text that hardly can be",
     "(async () => { const n = scrawl(1 << 20), t = await echo(n); return [t.length, t === n]; })()",
     lambda v: v == [1 << 20, True]),
    ("300 messages that are alike, each once the one before has come back",
     """(async () => {
         const {socket, next} = await connect();
         for (let i = 0; i < 300; i++) {
             const text = JSON.stringify({station: 'NZ-0417', at: 1700000000 + i, text: 'alike '.repeat(i % 40)});
             socket.send(text);
             if (await next() !== text) return 'differs at ' + i;
         }
         return 'all';
     })()""",
     lambda v: v == "all"),
    ("bufferedAmount: 1 MiB right after send, 0 after its echo",
     """(async () => {
         const {socket, next} = await connect();
         const before = socket.bufferedAmount;
         socket.send(bytes(1 << 20));
         const after = socket.bufferedAmount;
         await next();
         return [before, after, socket.bufferedAmount];
     })()""",
     lambda v: v == [0, 1 << 20, 0]),
    ("1000 messages come back in order",
     """(async () => {
         const {socket, next} = await connect();
         for (let i = 0; i < 1000; i++) socket.send(i % 2 ? 'n' + i : bytes(i));
         for (let i = 0; i < 1000; i++) if (!same(i % 2 ? 'n' + i : bytes(i), await next())) return 'differs at ' + i;
         return 'all';
     })()""",
     lambda v: v == "all"),
    ("ten connections at once", "Promise.all([...Array(10).keys()].map(i => echo('c' + i)))",
     lambda v: v == [f"c{i}" for i in range(10)]),
    ("subprotocol: the one offer that the server knows", "connect(['nonsense', 'superchat']).then(c => c.socket.protocol)",
     lambda v: v == "superchat"),
    ("subprotocol: one of two that it knows", "connect(['superchat', 'chat']).then(c => c.socket.protocol)",
     lambda v: v in ("chat", "superchat")),
    ("subprotocol: with no common one, the browser refuses",
     "connect(['nonsense']).then(c => 'opened with ' + JSON.stringify(c.socket.protocol), e => e)",
     lambda v: v == "closed with 1006 before it opened"),
    ("close 4001 with a reason", "closing(4001, 'bye \\u2713')", lambda v: v["clean"] is True and v["code"] == 4001),
    ("close 1000", "closing(1000)", lambda v: v["clean"] is True and v["code"] == 1000),
    ("close without a code is 1005", "closing()", lambda v: v["clean"] is True and v["code"] == 1005),
    ("close right behind 1 MiB, with the echo under way",
     """(async () => {
         const {socket, closed} = await connect();
         socket.send(bytes(1 << 20));
         socket.close(1000, 'done');
         const end = await closed;
         return [socket.bufferedAmount, end.clean, end.code];
     })()""",
     lambda v: v == [0, True, 1000]),
]


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, run):
        started = time.monotonic()
        try:
            note = run()
        except Failure as failure:
            self.failed += 1
            print(f"FAIL {name}: {failure}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name}{f' ({note})' if note else ''}, {(time.monotonic() - started) * 1000:.0f} ms", flush=True)


def expect(browser, expression, test):
    value = browser.promise(expression)
    if not test(value):
        raise Failure(f"got {json.dumps(value)[:300]}")


def sound(server, output):
    if server.exited() is not None or "panicked at" in output:
        raise Failure(f"exit status {server.exited()}{server.tail()}")
