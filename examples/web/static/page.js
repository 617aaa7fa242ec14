// What all pages share: how the connection is, and a colour for each name.
"use strict";
const shown = document.getElementById("status");
function showStatus(state, seconds) {
  shown.dataset.state = state;
  const wait = Math.ceil(seconds ?? 0);
  shown.textContent = {
    connecting: "connecting …", open: "connected", waiting: `offline, next attempt ${wait ? `in ${wait} s` : "now"}`,
    ended: "the connection has ended", failed: "the server refuses: reload the page",
  }[state];
}
function hueOf(name) {
  let hash = 0x811c9dc5;
  for (const char of String(name)) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  return (Math.imul(hash ^ hash >>> 15, 0x9e3779b1) >>> 8) % 360; // else "1" and "3" have the same
}
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children); // strings become text, never markup
  return made;
}
// For `watch`: keeps the list #here.
function whoIsHere() {
  const list = document.getElementById("here"), names = new Set();
  let more = 0;
  return ({ here, more: beside = 0, joined = [], gone = [] }) => {
    if (here) { names.clear(); more = beside; here.forEach(name => names.add(name)); }
    joined.forEach(name => names.add(name));
    for (const name of gone) if (!names.delete(name)) more = Math.max(0, more - 1); // one of those that were not named
    const shown = [...names].sort().slice(0, 100), rest = names.size - shown.length + more;
    list.replaceChildren(...shown.map(name => colour(element("li", {}, name), name)));
    if (rest > 0) list.append(element("li", { className: "soft" }, `and ${rest} more`));
  };
}
function colour(element, name) { element.style.setProperty("--hue", hueOf(name)); return element; }
