// A log of {socketid, message}.
"use strict";
const log = document.getElementById("log"), told = document.getElementById("told"), input = document.getElementById("message");
const live = new Live({ onstatus: showStatus, offline: { messages: 20, bytes: 65536, age: 60000 } });
live.join("chat", {
  message({ socketid, message }) {
    const who = element("span", { className: "who" }, socketid === live.id ? `${socketid} (you)` : socketid);
    add(element("li", {}, colour(who, socketid), typeof message === "string" ? message : JSON.stringify(message)));
  },
  gap({ count }) {
    add(element("li", { className: "told" }, count ? `${count} messages are missing here` : "older messages are gone"));
  },
});
live.watch("chat", whoIsHere());
document.getElementById("say").addEventListener("submit", event => {
  event.preventDefault();
  const text = input.value;
  if (!text.trim()) return;
  input.value = "";
  live.say("chat", text).then(() => told.textContent = "", why => {
    told.textContent = `Not sent (${why.message}): ${text}`;
    input.value ||= text;
  });
});
function add(line) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(line);
  while (log.children.length > 1000) log.firstChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}
