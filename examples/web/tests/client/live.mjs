// live/live.js against a server that does what each test says. Run it with `node --test`.
import assert from "node:assert/strict";
import test from "node:test";
import { World, joined, message, settle } from "./world.mjs";

const outcome = promise => promise.then(value => ({ value }), error => ({ error: error.message }));

for (const [code, state] of [
  [1002, "failed"], [1003, "failed"], [1007, "failed"], [1008, "failed"], [1009, "failed"], [1010, "failed"],
  [4500, "failed"], [4999, "failed"], [1000, "ended"], [1005, "ended"],
  [1001, "waiting"], [1006, "waiting"], [1011, "waiting"], [1012, "waiting"], [1013, "waiting"], [1014, "waiting"],
  [3000, "waiting"], [4000, "waiting"], [4499, "waiting"],
]) {
  test(`after close code ${code} it is ${state}`, async () => {
    const world = new World();
    world.hello();
    const asked = outcome(world.live.say("t", 1));
    world.socket.end(code);
    assert.equal(world.state, state);
    await world.pass(60_000);
    assert.equal(world.sockets.length > 1, state === "waiting");
    if (state === "waiting") return;
    assert.match((await asked).error, new RegExp(code));
    world.fire("online");
    await world.pass(60_000);
    assert.equal(world.sockets.length, 1, "nothing wakes it any more");
    assert.match((await outcome(world.live.say("t", 1))).error, /offline/);
  });
}

test("it waits twice as long each time, up to 30 s, and begins anew when a connection has stood", async () => {
  const world = new World();
  world.random = 0.999999;
  const waits = [];
  for (let attempt = 0; attempt < 9; attempt++) {
    world.socket.end(1006);
    waits.push(world.states.at(-1)[1]);
    await world.pass(waits.at(-1) * 1000);
  }
  assert.deepEqual(waits.map(wait => Math.round(wait * 2)), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
  // Opened only, and lost at once.
  world.hello();
  await world.pass(9_000);
  world.socket.end(1006);
  assert.equal(Math.round(world.states.at(-1)[1]), 30);
  await world.pass(30_000);
  world.hello();
  await world.pass(10_001);
  world.socket.end(1006);
  assert.equal(world.states.at(-1)[1] <= 0.5, true);
});

test("any part of the wait may be waited, so that not all come back at once", () => {
  const world = new World();
  world.random = 0;
  world.socket.end(1006);
  assert.deepEqual(world.states.at(-1), ["waiting", 0]);
});

test("what wakes it ends the wait, and a second time does nothing", async () => {
  for (const event of ["online", "visibilitychange"]) {
    const world = new World();
    world.hello();
    world.random = 0.999;
    world.socket.end(1006);
    assert.equal(world.sockets.length, 1);
    world.fire(event);
    assert.equal(world.sockets.length, 2);
    world.fire(event);
    await world.pass(5_000);
    assert.equal(world.sockets.length, 2, "the wait that was ended does not open another one");
  }
});

test("a connection that is silent is asked, and dropped if it does not answer", async () => {
  const world = new World();
  world.hello();
  world.sent;
  await world.pass(24_000);
  assert.deepEqual(world.sent, []);
  await world.pass(6_001);
  assert.deepEqual(world.sent.length, 1);
  world.socket.say({ left: "live.js" });
  await world.pass(10_000);
  assert.equal(world.state, "open");
  // Woken by the network: asked at once, and no answer within 8 s is the end.
  world.fire("online");
  assert.equal(world.sent.length, 1);
  await world.pass(7_900);
  assert.equal(world.state, "open");
  const dead = world.socket;
  await world.pass(200);
  assert.equal(world.state, "waiting");
  assert.equal(dead.closed, true);
  // What the dead one says later is not heard.
  await world.pass(1_000);
  world.hello("new");
  dead.end(1002);
  assert.equal(world.state, "open");
});

test("it comes back behind the last message that was processed, and drops what comes again", async () => {
  const world = new World(), told = world.join("t");
  world.hello();
  assert.deepEqual(world.sent, [{ join: "t" }]);
  world.socket.say(joined(2));
  world.socket.say(message(1));
  world.socket.say(message(2));
  world.socket.end(1006);
  await world.pass(1_000);
  world.hello();
  assert.deepEqual(world.sent, [{ join: "t", epoch: "e", offset: 2 }]);
  world.socket.say(joined(3));
  for (const offset of [2, 3, 3, 4]) world.socket.say(message(offset));
  assert.deepEqual(told, ["1", "2", "again 2", "3", "again 3", "4"]);
});

test("lost before its first message, it comes back to where it joined", async () => {
  const world = new World(), told = world.join("t", { from: "now" });
  world.hello();
  assert.deepEqual(world.sent, [{ join: "t", from: "now" }]);
  world.socket.say(joined(7));
  world.socket.end(1006);
  await world.pass(1_000);
  world.hello();
  assert.deepEqual(world.sent, [{ join: "t", epoch: "e", offset: 7 }]);
  world.socket.say(joined(8));
  world.socket.say(message(8));
  assert.deepEqual(told, ["8"]);
});

test("missed is a gap with its count, told once", () => {
  const world = new World(), told = world.join("t", { lag: "skip" });
  world.hello();
  world.socket.say(joined(1));
  world.socket.say(message(1));
  world.socket.say({ missed: "t", count: 5 });
  world.socket.say(message(7));
  world.socket.say(message(8));
  assert.deepEqual(told, ["1", "gap 5", "7", "8"]);
});

test("a hole that nobody told of is a gap too", () => {
  const world = new World(), told = world.join("t");
  world.hello();
  world.socket.say(joined(1));
  world.socket.say(message(1));
  world.socket.say(message(4));
  assert.deepEqual(told, ["1", "gap 2", "4"]);
});

test("whole: false is told once, whatever follows it", async () => {
  const world = new World(), told = world.join("t");
  world.hello();
  world.socket.say(joined(3, false));
  world.socket.say(message(3));
  // Another epoch, unasked: lower offsets are no duplicates.
  world.socket.say(joined(2, false, "f"));
  world.socket.say(message(1, "f"));
  world.socket.say(message(2, "f"));
  assert.deepEqual(told, ["gap ?", "3", "gap ?", "1", "2"]);
  // After a kill, at the reconnect.
  world.socket.end(1006);
  await world.pass(1_000);
  world.hello();
  assert.deepEqual(world.sent.at(-1), { join: "t", epoch: "f", offset: 2 });
  world.socket.say(joined(5, false, "g"));
  world.socket.say(message(5, "g"));
  world.socket.say(message(6, "g"));
  assert.deepEqual(told.slice(5), ["gap ?", "5", "6"]);
});

test("left by lag, it joins again behind what it has", () => {
  const world = new World(), told = world.join("t");
  world.hello();
  world.socket.say(joined(1));
  world.socket.say(message(1));
  world.sent;
  world.socket.say({ left: "t", reason: "lag" });
  assert.deepEqual(world.sent, [{ join: "t", epoch: "e", offset: 1 }]);
  world.live.leave("t");
  assert.deepEqual(world.sent, [{ leave: "t" }]);
  world.socket.say({ left: "t" });
  assert.deepEqual(world.sent, []);
  assert.deepEqual(told, ["1"]);
});

test("what was written and not answered is said again under its id, in its order", async () => {
  const world = new World();
  world.hello();
  const [first, second] = [outcome(world.live.say("t", 1)), outcome(world.live.bid(3, 7))];
  const before = world.sent;
  assert.deepEqual(before.map(({ say, bid }) => say ?? bid), ["t", 3]);
  assert.notEqual(before[0].id, before[1].id);
  world.socket.end(1012);
  await world.pass(1_000);
  world.hello();
  assert.deepEqual(world.sent, before);
  world.socket.say({ said: "t", id: before[0].id, epoch: "e", offset: 1 });
  world.socket.say({ refused: 3, price: 9, id: before[1].id });
  assert.equal((await first).value.offset, 1);
  assert.equal((await second).value.price, 9);
  world.socket.end(1012);
  await world.pass(1_000);
  world.hello();
  assert.deepEqual(world.sent, [], "what was answered is not said again");
});

test("before the server forgets an id, it is given up", async () => {
  const world = new World();
  world.hello();
  const asked = outcome(world.live.say("t", 1));
  world.socket.end(1006);
  world.random = 0.999;
  for (let minute = 0; minute < 5; minute++) {
    await world.pass(60_000);
    world.socket.end(1006);
  }
  assert.match((await asked).error, /unknown/);
});

test("told to retry, it does so under the same id; told no, it does not", async () => {
  const world = new World(), told = world.join("t");
  world.live.watch("t", () => {});
  world.hello();
  const asked = outcome(world.live.say("t", 1));
  const [join, watch, say] = world.sent;
  assert.deepEqual([join, watch], [{ join: "t" }, { watch: "t" }]);
  world.socket.say({ error: "away", say: "t", id: say.id, retry: true });
  world.socket.say({ error: "away", join: "t", retry: true });
  world.socket.say({ error: "away", watch: "t", retry: true });
  assert.deepEqual(world.sent, []);
  await world.pass(2_000);
  assert.deepEqual(world.sent, [say, join, watch]);
  world.socket.say({ error: "no", say: "t", id: say.id });
  assert.deepEqual(await asked, { error: "no" });
  await world.pass(10_000);
  assert.deepEqual([world.sent, told], [[], []]);
});

test("offline it refuses, or keeps as much as it was told to", async () => {
  const refuses = new World();
  assert.deepEqual(await outcome(refuses.live.say("t", 1)), { error: "offline" });
  const world = new World({ offline: { messages: 2, bytes: 1000, age: 60_000 } });
  const says = [1, 2, 3].map(number => outcome(world.live.say("t", number)));
  assert.deepEqual(await says[2], { error: "offline" });
  world.socket.end(1006);
  await world.pass(30_000);
  world.hello();
  assert.deepEqual(world.sent.map(({ message }) => message), [1, 2]);
  const late = new World({ offline: { messages: 9, bytes: 40, age: 1_000 } });
  const [kept, long] = [outcome(late.live.say("t", 1)), outcome(late.live.say("t", "a".repeat(50)))];
  assert.deepEqual(await long, { error: "offline" });
  await late.pass(2_000);
  late.socket.end(1006);
  await late.pass(60_000);
  assert.match((await kept).error, /too long/);
});

test("who is here is told to the one who watches, again after a reconnect", async () => {
  const world = new World(), told = [];
  world.live.watch("t", m => told.push(`${m.here ?? m.joined ?? m.gone}`));
  world.hello();
  world.socket.say({ presence: "t", here: ["a"] });
  world.socket.say({ presence: "t", joined: ["b"] });
  world.socket.end(1006);
  await world.pass(1_000);
  world.hello();
  assert.deepEqual(world.sent, [{ watch: "t" }]);
  world.socket.say({ presence: "t", here: ["b"] });
  world.live.unwatch("t");
  world.socket.say({ presence: "t", gone: ["b"] });
  assert.deepEqual(told, ["a", "b", "b"]);
  assert.deepEqual(world.sent, [{ unwatch: "t" }]);
  await settle();
});

test("closed by the page, it stays so", async () => {
  const world = new World();
  world.hello();
  world.live.close();
  assert.deepEqual([world.state, world.socket.closed], ["ended", true]);
  await world.pass(60_000);
  assert.equal(world.sockets.length, 1);
});
