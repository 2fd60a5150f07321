// The code with which another device joins. Only the page on the program's own machine shows it.

import { get, post } from "./link.js";
import { say } from "./words.js";

const dialog = document.getElementById("share");

let shared = false;

export function offer(isShared) {
  shared = isShared;
}

export function offered() {
  return shared;
}

export function hide() {
  if (dialog.open) dialog.close();
}

export async function open() {
  if (!dialog.open) dialog.showModal();
  await refresh();
}

async function refresh() {
  const answer = await get("/invitation");
  if (!answer.ok) return hide();
  const { address, rows, others } = await answer.json();
  const path = rows.map((row, y) => [...row].map((dot, x) => (dot === "1" ? `M${x} ${y}h1v1h-1z` : "")).join("")).join("");
  const svg = dialog.querySelector(".qr");
  svg.setAttribute("viewBox", `0 0 ${rows[0].length} ${rows.length}`);
  svg.innerHTML = "";
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  svg.setAttribute("aria-label", say("share.title"));
  dialog.querySelector(".address").textContent = address;
  offerOthers(others);
}

// Where a computer is in several networks, people know better which one the phone is in.
function offerOthers(others) {
  const place = dialog.querySelector(".others");
  const now = JSON.stringify(others);
  if (place.dataset.offered === now) return;
  place.dataset.offered = now;
  place.hidden = others.length === 0;
  place.querySelector("div").replaceChildren(...others.map(([address, name]) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = `${address} (${name})`;
    made.addEventListener("click", () => post("/share", { address }).then(refresh, () => {}));
    return made;
  }));
}

dialog.querySelector(":scope > button").addEventListener("click", hide);
setInterval(() => dialog.open && refresh().catch(() => {}), 2000);
