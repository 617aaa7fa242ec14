// The npm package `ws` as the peer of tests/interop/run. It talks over one connection, says "done" and exits with
// status 0 if all went well.
//
//     node ws_peer.js client URL MESSAGES OPTIONS     sends the messages, and each must come back
//     node ws_peer.js server drive MESSAGES OPTIONS   the same from the server's end
//     node ws_peer.js server echo MESSAGES OPTIONS    sends back what comes
"use strict";

const fs = require("node:fs");
const WebSocket = require("ws");

const [role, target, path, json] = process.argv.slice(2);
const options = JSON.parse(json);
const script = JSON.parse(fs.readFileSync(path + ".json", "utf8"));
const blob = fs.readFileSync(path + ".bin");

// What is left undefined is left to the other end.
const perMessageDeflate = {
    serverNoContextTakeover: options.server_no_context_takeover || undefined,
    clientNoContextTakeover: options.client_no_context_takeover || undefined,
    serverMaxWindowBits: options.server_max_window_bits,
    clientMaxWindowBits: options.client_max_window_bits,
    threshold: options.threshold,
};

function fail(reason) {
    console.log(`FAILED: ${reason}`);
    process.exit(1);
}

process.on("unhandledRejection", (error) => fail(error.stack));
process.on("uncaughtException", (error) => fail(error.stack));

// Events become values to wait for, in their order.
function queue() {
    const values = [], waiting = [];
    return {
        put: (value) => (waiting.length ? waiting.shift()(value) : values.push(value)),
        get: () => (values.length ? Promise.resolve(values.shift()) : new Promise((resolve) => waiting.push(resolve))),
    };
}

function listen(socket) {
    const messages = queue(), pongs = queue(), closed = queue();
    socket.on("message", (data, binary) => messages.put({ data, binary }));
    socket.on("pong", (data) => pongs.put(data.toString()));
    socket.on("error", (error) => fail(error.stack));
    socket.on("close", (code) => {
        // Whoever still waits for a message waits in vain.
        messages.put(null);
        pongs.put(null);
        closed.put(code);
    });
    return { messages, pongs, closed };
}

async function drive(socket, { messages, pongs, closed }) {
    let pings = 0;
    const ping = async () => {
        const payload = `ping ${++pings}`;
        socket.ping(payload);
        const answer = await pongs.get();
        if (answer !== payload) fail(`${payload} was answered with ${answer}`);
    };
    const send = (data, binary, fin) => socket.send(data, { binary, fin, compress: true });
    const back = async (message) => {
        const echo = await messages.get();
        const expected = blob.subarray(message.offset, message.offset + message.length);
        if (echo === null) fail(`closed with ${await closed.get()} while the echo of "${message.name}" was due`);
        if (echo.binary !== (message.type === "binary")) fail(`the echo of "${message.name}" has the other type`);
        if (!echo.data.equals(expected)) fail(`the echo of "${message.name}" differs, ${echo.data.length} bytes`);
    };

    for (const message of script.messages) {
        const binary = message.type === "binary";
        await ping();
        let at = message.offset;
        for (const [index, length] of message.pieces.entries()) {
            if (index > 0) await ping();
            send(blob.subarray(at, at + length), binary, index === message.pieces.length - 1);
            at += length;
        }
        await back(message);
    }
    const burst = script.burst.map((index) => script.messages[index]);
    for (const message of burst) {
        send(blob.subarray(message.offset, message.offset + message.length), message.type === "binary", true);
    }
    for (const message of burst) await back(message);
    socket.close(1000);
}

function talk(socket, driving) {
    if (!socket.extensions.startsWith("permessage-deflate")) fail(`the extensions are "${socket.extensions}"`);
    const events = listen(socket);
    if (driving) drive(socket, events);
    else socket.on("message", (data, binary) => socket.send(data, { binary }));
    return events.closed.get().then((code) => {
        if (code !== 1000) fail(`closed with ${code}`);
        console.log("done");
        process.exit(0);
    });
}

if (role === "client") {
    const socket = new WebSocket(target, { perMessageDeflate });
    socket.on("error", (error) => fail(error.stack));
    socket.on("open", () => talk(socket, true));
} else {
    const server = new WebSocket.Server({ host: "127.0.0.1", port: 0, perMessageDeflate });
    server.on("listening", () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
    server.on("connection", (socket) => talk(socket, target === "drive"));
}
