// The figures of the server, each second.
"use strict";
const live = new Live({ onstatus: showStatus });
const number = new Intl.NumberFormat("en");
live.join("server:figures", {
  message({ message: figures }) {
    for (const name of ["connections", "sockets", "topics", "rate"]) put(name, figures[name], number.format(figures[name] ?? 0));
    put("memory", figures.memory, `${((figures.memory ?? 0) / 1048576).toFixed(1)} MiB`);
  },
}, { from: "now", lag: "latest" });
function put(name, value, text) { document.getElementById(name).textContent = value == null ? "–" : text; }
