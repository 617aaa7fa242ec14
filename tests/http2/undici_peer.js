// undici's WebSocket, over HTTP/2, as the peer of tests/http2/run.
//
//     node undici_peer.js URL CA
"use strict";

const fs = require("node:fs");
const { Agent, WebSocket, fetch } = require("undici");
const { assert, bytes, check, text } = require("./checks.js");

const [url, ca] = process.argv.slice(2);
const dispatcher = new Agent({ allowH2: true, connect: { ca: fs.readFileSync(ca) } });

// A socket with promises for its events: `next` for a message, `closed` for the end.
function open(protocols = []) {
    return new Promise((resolve, reject) => {
        const socket = new WebSocket(`${url.replace("http", "ws")}/echo`, { protocols, dispatcher });
        socket.binaryType = "arraybuffer";
        const messages = [], waiting = [];
        const closed = new Promise((ended) => socket.addEventListener("close", (event) => {
            reject(new Error(`closed with ${event.code} before it opened`));
            waiting.splice(0).forEach((take) => take(`closed with ${event.code}`));
            ended([event.code, event.wasClean]);
        }));
        socket.addEventListener("message", ({ data }) => (waiting.length ? waiting.shift()(data) : messages.push(data)));
        const next = () => (messages.length ? messages.shift() : new Promise((take) => waiting.push(take)));
        socket.addEventListener("open", () => resolve({ socket, next, closed }));
    });
}

async function main() {
    await check("a page", async () => assert.equal((await fetch(`${url}/`, { dispatcher })).status, 200));
    await check("a subprotocol, and permessage-deflate", async () => {
        const { socket, closed } = await open(["nonsense", "superchat"]);
        assert.equal(socket.protocol, "superchat");
        assert.match(socket.extensions, /^permessage-deflate/);
        socket.close(1000);
        await closed;
    });
    const { socket, next, closed } = await open();
    for (const length of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
        await check(`echo of text and binary, ${length} bytes and about that`, async () => {
            const said = length === 0 ? "" : text(length);
            socket.send(said);
            socket.send(bytes(length));
            assert(await next() === said, "another text");
            assert(Buffer.from(await next()).equals(bytes(length)), "other bytes");
        });
    }
    await check("1000 messages come back in order", async () => {
        for (let i = 0; i < 1000; i++) socket.send(`n${i}`);
        for (let i = 0; i < 1000; i++) assert.equal(await next(), `n${i}`);
    });
    await check("20 sockets at once", async () => {
        const sockets = await Promise.all([...Array(20).keys()].map(() => open()));
        sockets.forEach((one, i) => one.socket.send(`s${i}`));
        assert.deepEqual(await Promise.all(sockets.map((one) => one.next())), sockets.map((_, i) => `s${i}`));
        sockets.forEach((one) => one.socket.close(1000));
        assert.deepEqual(await Promise.all(sockets.map((one) => one.closed)), Array(20).fill([1000, true]));
    });
    socket.close(1000);
    await check("close 1000", async () => assert.deepEqual(await closed, [1000, true]));
    for (const [how, code] of [[[4001, "bye ✓"], 4001], [[], 1005]]) {
        await check(`close(${how}) ends with ${code}`, async () => {
            const { socket, closed } = await open();
            socket.close(...how);
            assert.deepEqual(await closed, [code, true]);
        });
    }
    await dispatcher.close();
    console.log("done");
}

main();
