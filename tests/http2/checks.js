// How the peers of tests/http2/run tell what they have seen: a line for each check, and "done" at the end.
"use strict";

const assert = require("node:assert/strict");

const fail = (error) => {
    console.log(`FAIL ${error.stack}`);
    process.exit(1);
};
process.on("unhandledRejection", fail);
process.on("uncaughtException", fail);

async function check(name, run) {
    try {
        await run();
        console.log(`ok   ${name}`);
    } catch (error) {
        console.log(`FAIL ${name}: ${error.stack}`);
    }
}

// Bytes without a pattern that repeats within a window, and text with characters of every length.
function bytes(length) {
    const made = Buffer.alloc(length);
    for (let at = 0, state = 1; at < length; at++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        made[at] = state >>> 16;
    }
    return made;
}

const text = (length) => "aé世🚀".repeat(Math.ceil(length / 10));

module.exports = { assert, bytes, check, fail, text };
