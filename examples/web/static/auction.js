// Five lots. Prices come as messages of each lot's topic; how much time is left is asked for when it may have changed.
"use strict";
const names = document.getElementById("name"), told = document.getElementById("told");
const lots = new Map(), money = new Intl.NumberFormat("en");
names.value = localStorage.getItem("name") ?? "";
const live = new Live({
  onstatus(state, seconds) {
    showStatus(state, seconds);
    if (state === "open") look();
  },
});
for (let number = 1; number <= 5; number++) lots.set(number, lot(number));
enter();
live.watch("auction:1", whoIsHere()); // who is at one lot is at all

function lot(number) {
  const price = element("span", { className: "price" }, "–"), winner = element("span", { className: "soft" }, "no bid yet");
  const clock = element("span", { className: "soft" }, "–"), title = `Lot ${number}`;
  const amount = element("input", { type: "number", min: 1, step: 1, required: true, ariaLabel: `Your bid for lot ${number}` });
  const form = element("form", {}, amount, element("button", {}, "Bid"));
  const card = element("section", { className: "card lot", ariaLabel: title }, element("h2", {}, title), price, winner, clock, form);
  document.getElementById("lots").append(card);
  const self = { card, clock, price: null, until: null, over: false }; // price: null as long as nobody has told it
  self.show = (value, bidder) => {
    const first = self.price === null, typing = document.activeElement === amount;
    self.price = value;
    price.textContent = money.format(value);
    price.classList.toggle("long", value > 1e9);
    winner.textContent = bidder ? `${self.over ? "sold to" : "highest bid:"} ${bidder}` : "no bid yet";
    if (first || !(typing || amount.value > value)) amount.value = value + 1; // nobody's own bid is written over
    [amount, form.lastChild].forEach(control => control.disabled = self.over);
    card.classList.toggle("over", self.over);
  };
  form.addEventListener("submit", event => {
    event.preventDefault();
    live.bid(number, Math.trunc(amount.value)).then(answer => {
      if (!(amount.value > answer.price)) amount.value = answer.price + 1;
      const why = answer.reason === "over" ? "is over" : `stands at ${money.format(answer.price)} already`;
      told.textContent = "refused" in answer ? `Lot ${number} ${why}.` : "";
    }, why => told.textContent = `Lot ${number}: ${why.message}`);
  });
  return self;
}
function enter() { // joins under one's name, or again under another
  const as = names.value.trim() || undefined;
  for (const [number, lot] of lots) {
    live.join(`auction:${number}`, {
      message({ message }) {
        const began = lot.until === null || lot.over;
        if ("over" in message) lot.over = true;
        else { lot.over = false; lot.show(message.price, message.bidder); flash(lot.card); }
        if (began || lot.over) look();
      },
      gap({ count }) { if (count === undefined) { lot.price = null; look(); } }, // perhaps the server has begun anew
    }, { from: "now", lag: "latest", as });
  }
}
let looking = 0;
function look() {
  clearTimeout(looking);
  looking = setTimeout(async () => {
    const all = await fetch("/lots").then(answer => answer.json(), () => []);
    for (const { lot: number, price, bidder, over, seconds } of all) {
      const lot = lots.get(number);
      Object.assign(lot, { over, until: seconds === null ? null : Date.now() + seconds * 1000 });
      if (lot.price === null || price >= lot.price) lot.show(price, bidder);
    }
    tick();
  }, 50);
}
setInterval(tick, 500);
function tick() {
  for (const lot of lots.values()) {
    const left = lot.until === null ? null : Math.max(0, Math.ceil((lot.until - Date.now()) / 1000));
    const time = left === null ? "" : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    lot.clock.textContent = left === null ? "ten minutes from the first bid" : lot.over ? `over; opens again in ${time}` : `${time} left`;
    if (left === 0) look();
  }
}
function flash(card) { card.classList.remove("flash"); void card.offsetWidth; card.classList.add("flash"); }
names.addEventListener("change", () => { localStorage.setItem("name", names.value.trim()); enter(); });
