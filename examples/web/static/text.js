// One line for each window: what stands in its input now. The newest message of a window replaces the one before.
"use strict";
const input = document.getElementById("text"), lines = document.getElementById("lines"), told = document.getElementById("told");
const me = crypto.getRandomValues(new Uint32Array(1))[0].toString(36), rows = new Map();
let unsaid = false;
const live = new Live({
  onstatus(state, seconds) {
    showStatus(state, seconds);
    if (state === "open" && unsaid) say();
  },
});
live.join("text", {
  message({ socketid, message }) { show(message?.who ?? socketid, message?.text ?? message); },
  gap({ count }) { // what follows begins with the oldest that is kept
    if (count !== undefined) return;
    rows.clear();
    lines.replaceChildren();
    if (input.value) say();
  },
}, { lag: "skip" });
function show(who, text) {
  who = String(who);
  text = typeof text === "string" ? text : JSON.stringify(text ?? "");
  const row = rows.get(who) ?? colour(element("li", { className: "card" }), who);
  rows.delete(who);
  if (text === "") return row.remove();
  row.textContent = text;
  row.classList.toggle("me", who === me);
  rows.set(who, row);
  who === me ? lines.prepend(row) : row.parentNode || lines.append(row);
  if (rows.size > 100) { const [oldest, gone] = rows.entries().next().value; gone.remove(); rows.delete(oldest); }
}
// Offline it is kept here, and the newest text is said when the connection is back.
function say() {
  unsaid = false;
  live.say("text", { who: me, text: input.value }).then(() => told.textContent = "", () => {
    unsaid = true;
    told.textContent = "Others do not see this yet.";
  });
}
input.addEventListener("input", say);
addEventListener("pagehide", () => input.value && live.say("text", { who: me, text: "" }).catch(() => {}));
document.getElementById("form").addEventListener("submit", event => event.preventDefault());
