// A client for topics that comes back by itself. It needs nothing but the browser's WebSocket.
//   const live = new Live({ onstatus: (state, seconds) => show(state, seconds) });
//   live.join("chat", { message: show, gap: warn }); live.say("chat", "hello").then(at => ..., why => ...);
// - A topic is joined again behind the last message that was processed. `message` gets each message once, `duplicate`
//   those that came again, `gap` is told of holes: {topic, count} or, if nobody knows how many are gone, {topic}.
// - All that is said has a random id. What was written and not answered is said again under it, and is in the log once;
//   after 4 minutes, before the server forgets the id, it is rejected: it may be in the log or not.
// - Offline, `say` is rejected; or, with `offline: {messages, bytes, age}`, so much waits for so many milliseconds.
// - States: "connecting", "open", "waiting" (with the seconds until the next attempt), "ended", "failed".
class Live {
  #socket; #heard = 0; #attempt = 0; #timer; #stood; #topics = new Map(); #watched = new Map(); #says = new Map();
  constructor({ url = location.origin.replace(/^http/, "ws") + "/live", onstatus = () => {}, offline = {} } = {}) {
    Object.assign(this, { url, onstatus, offline: { messages: 0, bytes: 65536, age: 60000, ...offline }, state: "" });
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#wake());
    setInterval(() => Date.now() - this.#heard > 25000 && this.#probe(), 5000);
    this.#connect();
  }
  join(topic, handlers, options = {}) { this.#topics.set(topic, { handlers, options }); this.#join(topic); }
  leave(topic) { this.#topics.delete(topic) && this.#send({ leave: topic }); }
  watch(topic, handler) { this.#watched.set(topic, handler); this.#send({ watch: topic }); }
  unwatch(topic) { this.#watched.delete(topic) && this.#send({ unwatch: topic }); }
  say(topic, message) { return this.#ask({ say: topic, message }); } // -> {said, epoch, offset}
  bid(lot, amount) { return this.#ask({ bid: lot, amount }); } // -> {accepted, price} or {refused, price}
  close() { this.#over("ended", 1000); }
  #connect() {
    this.#status("connecting");
    const socket = this.#socket = new WebSocket(this.url), mine = f => event => socket === this.#socket && f(event);
    socket.onopen = mine(() => {
      this.#heard = Date.now();
      this.#stood = setTimeout(() => this.#attempt = 0, 10000); // only a connection that has stood is a success
      this.#topics.forEach((_, topic) => this.#join(topic));
      this.#watched.forEach((_, topic) => this.#send({ watch: topic }));
      this.#expire();
      this.#says.forEach(said => this.#write(said)); // in the order in which it was said
      this.#status("open");
    });
    socket.onmessage = mine(event => this.#hear(JSON.parse(event.data), this.#heard = Date.now()));
    socket.onclose = mine(event => this.#lost(event.code));
  }
  #lost(code) {
    const fatal = [1002, 1003, 1007, 1008, 1009, 1010].includes(code) || (code >= 4500 && code <= 4999);
    if (fatal || code === 1000 || code === 1005) return this.#over(fatal ? "failed" : "ended", code);
    this.#drop();
    const most = Math.min(30000, 500 * 2 ** this.#attempt++), wait = Math.random() * most; // full jitter
    this.#timer = setTimeout(() => { this.#expire(); this.#connect(); }, wait);
    this.#status("waiting", wait / 1000);
  }
  #drop() { // what the socket still tells is not heard
    [this.#timer, this.#stood].forEach(clearTimeout);
    this.#socket = this.#socket?.close() ?? null;
  }
  #over(state, code) {
    this.#drop();
    [...this.#says.keys()].forEach(id => this.#settle(id, new Error(`the connection is over (${code})`)));
    this.#status(state);
  }
  #wake() { if (this.state === "waiting") { this.#drop(); this.#connect(); } else this.#probe(); }
  #probe() { // an answer is certain, so silence says that the connection is dead, long before the browser knows
    const socket = this.#socket, asked = Date.now(), dead = () => socket === this.#socket && this.#heard < asked;
    if (this.#send({ leave: "live.js" })) setTimeout(() => dead() && this.#lost(1006), 8000);
  }
  #status(state, seconds) { this.state = state; this.onstatus(state, seconds); }
  #send(message) { return this.#socket?.readyState === 1 && (this.#socket.send(JSON.stringify(message)), true); }
  #join(topic) {
    const { options: { lag, from, as }, at } = this.#topics.get(topic);
    this.#send({ join: topic, lag, as, ...(at ? { epoch: at.epoch, offset: at.offset } : { from }) });
  }
  #ask(message) {
    const { messages, bytes } = this.offline, size = new Blob([JSON.stringify(message)]).size;
    const said = { message, since: Date.now(), written: false, bytes: size };
    const waiting = [...this.#says.values()].filter(said => !said.written);
    const full = waiting.length >= messages || waiting.reduce((sum, said) => sum + said.bytes, said.bytes) > bytes;
    const open = this.#socket?.readyState === 1, over = ["ended", "failed"].includes(this.state);
    if (over || (full && !open)) return Promise.reject(new Error("offline"));
    const id = message.id = crypto.randomUUID?.() ?? crypto.getRandomValues(new BigUint64Array(2)).join("-"); // HTTP
    this.#write(this.#says.set(id, said).get(id));
    return new Promise((resolve, reject) => Object.assign(said, { resolve, reject }));
  }
  #retry({ id, join, watch }) { // not all at once
    setTimeout(() => {
      if (this.#says.has(id)) this.#write(this.#says.get(id));
      if (this.#topics.has(join)) this.#join(join);
      if (this.#watched.has(watch)) this.#send({ watch });
    }, Math.random() * 2000);
  }
  #write(said) { said.written = this.#send(said.message) || said.written; }
  #expire() {
    for (const [id, { since, written }] of [...this.#says])
      if (Date.now() - since > (written ? 240000 : this.offline.age))
        this.#settle(id, new Error(written ? "unknown: it may have been said or not" : "offline for too long"));
  }
  #settle(id, result) {
    const said = this.#says.get(id);
    this.#says.delete(id) && said[result instanceof Error ? "reject" : "resolve"](result);
  }
  #hear(m) {
    const name = m.topic ?? m.joined ?? m.missed ?? m.left, topic = this.#topics.get(name);
    if ("hello" in m) this.id = m.hello;
    else if ("presence" in m) this.#watched.get(m.presence)?.(m);
    else if (m.error && m.retry) this.#retry(m);
    else if (m.error) this.#says.has(m.id) ? this.#settle(m.id, new Error(m.error)) : console.warn(m.error);
    else if ("said" in m || "accepted" in m || "refused" in m) this.#settle(m.id, m);
    else if (!topic) return;
    else if ("message" in m) {
      const { at, jump, handlers } = topic, missing = at?.epoch === m.epoch ? m.offset - at.offset - 1 : 0;
      if (missing < 0) return handlers.duplicate?.(m);
      if (missing > 0 && !jump) handlers.gap?.({ topic: name, count: missing });
      handlers.message?.(m);
      Object.assign(topic, { at: { epoch: m.epoch, offset: m.offset }, jump: false });
    } else if ("joined" in m) {
      if (!m.whole) topic.handlers.gap?.({ topic: name }); // what follows begins with the oldest that is kept
      const offset = topic.options.from === "now" && !topic.at ? m.offset : 0;
      Object.assign(topic, { at: (m.whole && topic.at) || { epoch: m.epoch, offset }, jump: !m.whole });
    } else if ("missed" in m) {
      if (topic.at) topic.at.offset += m.count; // the next message follows
      topic.handlers.gap?.({ topic: name, count: m.count });
    } else if (m.reason === "lag") this.#join(name);
  }
}
