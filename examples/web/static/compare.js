// The same topic by three ways, side by side. The clock is this page's own, so only its own messages are measured.
"use strict";
const topic = "compare", me = crypto.getRandomValues(new Uint32Array(1))[0].toString(36), kept = 200;
const ways = Object.fromEntries(["poll", "events", "socket"].map(name => [name, way(document.getElementById(name))]));
const start = document.getElementById("start"), rate = document.getElementById("rate");
const live = new Live({
  onstatus(state, seconds) {
    showStatus(state, seconds);
    if (state === "connecting") ways.socket.requests++;
  },
});
live.join(topic, { message: m => ways.socket.hear(m) }, { from: "now", lag: "skip" });

function way(section) {
  const self = { section, canvas: section.querySelector("canvas"), delays: [], heard: 0, requests: 0 };
  self.hear = ({ message }) => {
    if (message?.who !== me) return;
    self.heard++;
    self.delays.push(performance.now() - message.at);
    if (self.delays.length > kept) self.delays.shift();
  };
  self.put = (what, text) => section.querySelector(`[data-is=${what}]`).textContent = text;
  return self;
}
// Both of these run while the page is seen: hidden pages must not hold connections.
let visible;
async function poll(signal) {
  let after = "", failures = 0;
  while (!signal.aborted) {
    try {
      ways.poll.requests++;
      // Without no-store a browser lets requests for the same URL wait for each other, since the first may fill its cache.
      const answer = await fetch(`/poll?topic=${topic}${after}`, { signal, cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const { epoch, offset, messages } = await answer.json();
      if (after) messages.forEach(ways.poll.hear); // the first answer is what was there before
      after = `&after=${epoch}:${offset}`;
      failures = 0;
    } catch {
      await new Promise(done => setTimeout(done, Math.random() * Math.min(30000, 500 * 2 ** failures++)));
    }
  }
}
function events(signal) {
  const source = new EventSource(`/events?topic=${topic}`);
  source.onopen = () => ways.events.requests++;
  source.onmessage = event => ways.events.hear(JSON.parse(event.data));
  signal.addEventListener("abort", () => source.close());
}
function seen() {
  visible?.abort();
  if (document.visibilityState !== "visible") return;
  visible = new AbortController();
  poll(visible.signal);
  events(visible.signal);
}
document.addEventListener("visibilitychange", seen);
addEventListener("pagehide", () => visible?.abort());
seen();

let timer;
function run() {
  clearTimeout(timer);
  if (start.ariaPressed !== "true") return;
  live.say(topic, { who: me, at: performance.now() }).catch(() => {});
  timer = setTimeout(run, 1000 / rate.value);
}
start.addEventListener("click", () => {
  start.ariaPressed = String(start.ariaPressed !== "true");
  start.textContent = start.ariaPressed === "true" ? "Stop" : "Start";
  run();
});
rate.addEventListener("input", () => document.getElementById("shown").textContent = rate.value);

function draw() {
  const most = Math.max(10, ...Object.values(ways).flatMap(way => way.delays)) * 1.1;
  for (const way of Object.values(ways)) {
    const { canvas, delays } = way, scale = devicePixelRatio, box = canvas.getBoundingClientRect();
    const width = canvas.width = box.width * scale, height = canvas.height = box.height * scale;
    const style = getComputedStyle(canvas), pen = canvas.getContext("2d"), y = delay => height - delay / most * height;
    pen.strokeStyle = style.getPropertyValue("color");
    pen.globalAlpha = 0.15;
    for (const part of [0.25, 0.5, 0.75, 1]) { pen.beginPath(); pen.moveTo(0, height * part - 1); pen.lineTo(width, height * part - 1); pen.stroke(); }
    pen.globalAlpha = 1;
    pen.fillStyle = style.getPropertyValue("accent-color");
    delays.forEach((delay, at) => pen.fillRect(at * width / kept, y(delay), Math.max(2, width / kept - 1), height));
    pen.fillStyle = pen.strokeStyle;
    pen.font = `${11 * scale}px sans-serif`;
    pen.fillText(`${most.toFixed(0)} ms`, 2, 12 * scale);
    const sorted = [...delays].sort((a, b) => a - b), ms = value => value === undefined ? "–" : `${value.toFixed(1)} ms`;
    way.put("now", ms(delays.at(-1)));
    way.put("median", ms(sorted[sorted.length >> 1]));
    way.put("heard", way.heard);
    way.put("requests", way.requests);
  }
}
setInterval(draw, 200);
addEventListener("resize", draw);
