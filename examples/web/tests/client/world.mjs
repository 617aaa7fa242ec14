// A browser for live/live.js, as far as it needs one: a clock that is turned by hand, and a server that says what a test
// wants. Everything is in one context of its own, so tests have nothing in common.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const source = readFileSync(new URL("../../../../live/live.js", import.meta.url), "utf8");

export class World {
  #timers = new Map(); #count = 0; #listeners = [];
  now = 1e12; random = 0.5; sockets = []; states = [];
  constructor(options = {}) {
    const world = this;
    const timer = again => (act, wait = 0) => (this.#timers.set(++this.#count, { at: this.now + wait, act, again: again && wait }), this.#count);
    class FakeWebSocket {
      readyState = 0; sent = []; closed = false;
      constructor(url) { this.url = url; world.sockets.push(this); }
      send(text) { if (this.readyState !== 1) throw new Error("not open"); this.sent.push(JSON.parse(text)); }
      close() { this.readyState = 2; this.closed = true; }
      // What the server does.
      open() { this.readyState = 1; this.onopen({}); }
      say(message) { this.onmessage({ data: JSON.stringify(message) }); }
      end(code) { this.readyState = 3; this.onclose({ code }); }
    }
    const listen = (name, act) => this.#listeners.push([name, act]);
    const document = { addEventListener: listen, visibilityState: "visible" };
    const context = {
      WebSocket: FakeWebSocket, document, addEventListener: listen, location: { origin: "https://h" }, Blob, crypto, console,
      setTimeout: timer(false), setInterval: timer(true), clearTimeout: id => this.#timers.delete(id),
      Date: { now: () => this.now }, Math: Object.assign(Object.create(Math), { random: () => this.random }),
    };
    for (const name of ["min", "max", "floor"]) context.Math[name] = Math[name];
    const Live = vm.runInNewContext(`${source}\nLive`, context);
    this.live = new Live({ onstatus: (...state) => this.states.push(state), ...options });
  }
  get socket() { return this.sockets.at(-1); }
  get state() { return this.states.at(-1)[0]; }
  // What was said since the last call.
  get sent() { return this.socket.sent.splice(0); }
  fire(name) { for (const [listened, act] of this.#listeners) if (listened === name) act({}); }
  // Lets so many milliseconds pass, and does what is due meanwhile.
  async pass(time) {
    const until = this.now + time;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      const [id, timer] = due;
      this.now = timer.at;
      timer.again ? timer.at += timer.again : this.#timers.delete(id);
      timer.act();
      await settle();
    }
    this.now = until;
    await settle();
  }
  // Opens the socket that is being opened.
  hello(id = "s") { this.socket.open(); this.socket.say({ hello: id }); }
  // All that a topic's handlers are told, as text.
  join(topic, options) {
    const told = [];
    this.live.join(topic, {
      message: m => told.push(`${m.offset}`), duplicate: m => told.push(`again ${m.offset}`), gap: g => told.push(`gap ${g.count ?? "?"}`),
    }, options);
    return told;
  }
}
export const settle = () => new Promise(resolve => setImmediate(resolve));
export const message = (offset, epoch = "e", topic = "t") => ({ topic, epoch, offset, socketid: "x", message: offset });
export const joined = (offset, whole = true, epoch = "e", topic = "t") => ({ joined: topic, epoch, offset, whole });
