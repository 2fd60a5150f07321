// The code with which another device joins. Only the page on the program's own machine shows it.

import { get } from "./link.js";
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
  const { address, rows } = await answer.json();
  const path = rows.map((row, y) => [...row].map((dot, x) => (dot === "1" ? `M${x} ${y}h1v1h-1z` : "")).join("")).join("");
  const svg = dialog.querySelector(".qr");
  svg.setAttribute("viewBox", `0 0 ${rows[0].length} ${rows.length}`);
  svg.innerHTML = "";
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  svg.setAttribute("aria-label", say("share.title"));
  dialog.querySelector(".address").textContent = address;
}

dialog.querySelector("button").addEventListener("click", hide);
setInterval(() => dialog.open && refresh().catch(() => {}), 2000);
