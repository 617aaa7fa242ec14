// Node's own HTTP/2 as the peer of tests/http2/run: WebSocket by extended CONNECT (RFC 8441), the frames by hand.
//
//     node node_peer.js URL [CA]
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http2 = require("node:http2");
const { once } = require("node:events");
const { assert, bytes, check, fail, text } = require("./checks.js");

const [url, ca] = process.argv.slice(2);
const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

// §5.2: one frame, masked with a key by chance.
function frame(opcode, payload, fin = true) {
    payload = Buffer.from(payload);
    const first = (fin ? 0x80 : 0) | opcode, size = payload.length;
    let head;
    if (size < 126) head = Buffer.from([first, 0x80 | size]);
    else if (size < 65536) head = Buffer.from([first, 0xfe, size >> 8, size & 255]);
    else {
        head = Buffer.alloc(10);
        head.writeUInt16BE((first << 8) | 0xff);
        head.writeBigUInt64BE(BigInt(size), 2);
    }
    const key = crypto.randomBytes(4);
    return Buffer.concat([head, key, payload.map((byte, at) => byte ^ key[at % 4])]);
}

function close(code, reason = "") {
    return frame(CLOSE, [code >> 8, code & 255, ...Buffer.from(reason)]);
}

// A WebSocket on a stream that the server has accepted. `next` gives one frame after the other.
class Socket {
    constructor(stream, headers) {
        this.stream = stream;
        this.headers = headers;
        this.frames = this.read();
    }

    async *read() {
        let have = Buffer.alloc(0), wanted = 2;
        for await (const data of this.stream) {
            have = Buffer.concat([have, data]);
            while (have.length >= wanted) {
                const length = have[1], extended = length === 126 ? 2 : length === 127 ? 8 : 0;
                assert(length < 128, "a server masks nothing");
                if (have.length < 2 + extended) {
                    wanted = 2 + extended;
                    break;
                }
                const size = extended === 0 ? length
                    : extended === 2 ? have.readUInt16BE(2) : Number(have.readBigUInt64BE(2));
                wanted = 2 + extended + size;
                if (have.length < wanted) break;
                const payload = have.subarray(2 + extended, wanted);
                yield { fin: have[0] >= 0x80, opcode: have[0] & 0x7f, payload };
                have = have.subarray(wanted);
                wanted = 2;
            }
        }
        assert.equal(have.length, 0, "the stream ended inside a frame");
    }

    async next() {
        const { value, done } = await this.frames.next();
        return done ? null : value;
    }

    send(...frames) {
        frames.forEach((one) => this.stream.write(one));
    }

    async back(opcode, payload) {
        const echo = await this.next();
        assert.equal(echo?.opcode, opcode);
        assert(echo.fin && echo.payload.equals(Buffer.from(payload)), `another payload, ${echo.payload.length} bytes`);
    }

    async echo(opcode, payload) {
        this.send(frame(opcode, payload));
        await this.back(opcode, payload);
    }

    // Sends this Close frame, or what brings one about: the code of the server's own, before its stream ends in order.
    async ends(frame) {
        this.send(frame);
        const answer = await this.next();
        assert.equal(answer?.opcode, CLOSE);
        assert.equal(await this.next(), null, "a frame behind Close");
        assert(this.stream.readableEnded && this.stream.rstCode === 0, `RST_STREAM ${this.stream.rstCode}`);
        this.stream.end();
        return answer.payload.length ? answer.payload.readUInt16BE() : 1005;
    }
}

async function open(session, more = {}) {
    const stream = session.request({
        ":method": "CONNECT", ":protocol": "websocket", ":path": "/echo", ":scheme": new URL(url).protocol.slice(0, -1),
        ":authority": new URL(url).host, "sec-websocket-version": "13", ...more,
    }, { endStream: false });
    const [headers] = await once(stream, "response");
    assert.equal(headers[":status"], 200);
    return new Socket(stream, headers);
}

async function page(session) {
    const stream = session.request({ ":path": "/" });
    const [headers] = await once(stream, "response");
    let body = "";
    for await (const data of stream) body += data;
    assert.equal(headers[":status"], 200);
    assert.match(headers["content-type"], /^text\/html/);
    assert.match(body, /new WebSocket/);
}

async function main() {
    // By itself Node refuses streams while a session holds more than 10 MB.
    const session = http2.connect(url, { ca: ca && fs.readFileSync(ca), maxSessionMemory: 1000 });
    session.on("error", fail);
    await once(session, "remoteSettings");

    await check("SETTINGS_ENABLE_CONNECT_PROTOCOL is 1", () => assert.equal(session.remoteSettings.enableConnectProtocol, true));
    if (ca) await check("ALPN chose h2", () => assert.equal(session.alpnProtocol, "h2"));
    await check("a page", () => page(session));
    await check("200, the subprotocol, and nothing of HTTP/1.1's upgrade", async () => {
        const socket = await open(session, { "sec-websocket-protocol": "nonsense, superchat" });
        assert.equal(socket.headers["sec-websocket-protocol"], "superchat");
        for (const name of ["upgrade", "connection", "sec-websocket-accept", "sec-websocket-extensions"]) {
            assert(!(name in socket.headers), name);
        }
        assert.equal(await socket.ends(close(1000)), 1000);
    });
    const socket = await open(session);
    for (const length of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
        await check(`echo of text and binary, ${length} bytes and about that`, async () => {
            await socket.echo(TEXT, length === 0 ? "" : text(length));
            await socket.echo(BINARY, bytes(length));
        });
    }
    await check("a message in fragments, with a Ping between them, comes back whole", async () => {
        socket.send(frame(TEXT, "one ", false), frame(PING, "p"), frame(0, "", false), frame(0, "message"));
        await socket.back(PONG, "p");
        await socket.back(TEXT, "one message");
    });
    await check("1000 messages come back in order", async () => {
        for (let i = 0; i < 1000; i++) socket.send(frame(TEXT, `n${i}`));
        for (let i = 0; i < 1000; i++) await socket.back(TEXT, `n${i}`);
    });
    await check("100 sockets at once", async () => {
        const sockets = await Promise.all([...Array(100).keys()].map(() => open(session)));
        await Promise.all(sockets.map((one, i) => one.echo(BINARY, bytes(10_000 + i))));
        assert.deepEqual(await Promise.all(sockets.map((one) => one.ends(close(1000)))), Array(100).fill(1000));
    });
    await check("20 sockets that are not read stop neither another one nor the page", async () => {
        const stalled = await Promise.all([...Array(20).keys()].map(() => open(session)));
        // More than the windows of both directions and all buffers between them take. While the other socket's bytes take
        // their turn with these, the streams come to a standstill.
        for (const one of stalled) for (let i = 0; i < 32; i++) one.send(frame(BINARY, bytes(60_000)));
        for (let i = 0; i < 4; i++) await socket.echo(BINARY, bytes(1 << 20));
        await page(session);
        assert(stalled.every((one) => one.stream.writableLength > 1e6), "they are not stalled");
        stalled.forEach((one) => one.stream.close(http2.constants.NGHTTP2_CANCEL));
        await Promise.all(stalled.map((one) => one.stream.closed || once(one.stream, "close")));
        await socket.echo(TEXT, "and on");
    });
    await check("close 1000 is answered with 1000, and the stream ends", async () => assert.equal(await socket.ends(close(1000)), 1000));
    for (const [what, sent, code] of [
        ["close 4001 with a reason", close(4001, "bye ✓"), 4001],
        ["a Close frame without a code", frame(CLOSE, ""), 1005],
        ["a code that nobody may send", close(1005), 1002],
        ["a reason that is not UTF-8", frame(CLOSE, [3, 0xe8, 0xff]), 1007],
        ["text that is not UTF-8", frame(TEXT, [0xff]), 1007],
        ["a frame without a mask", Buffer.from([0x81, 1, 97]), 1002],
    ]) {
        await check(`${what} is answered with ${code}`, async () => assert.equal(await (await open(session)).ends(sent), code));
    }
    session.close();
    await once(session, "close");
    console.log("done");
}

main();
