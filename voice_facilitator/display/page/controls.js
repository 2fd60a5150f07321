// Buttons, keys and clicker. All of them ask the program, in the same words as a voice would.

import { post } from "./link.js";
import { say } from "./words.js";
import * as session from "./session.js";
import * as share from "./share.js";

const bar = document.getElementById("controls");
const QUIET_SECONDS = 4;
const SURE_SECONDS = 5;
const FIRST = ["begin", "next", "resume"];

let keys = {}; // what each key may mean: the first that is possible now, else the last
let rows = []; // what stands in the bar, in this order; the second row is smaller

let allowed = new Set();
let phase = "";
let drives = false;
let sure = null; // the button that has been pressed once and asks again
let quiet = null;
let askSummary = () => {};

export function onSummary(ask) {
  askSummary = ask;
}

export function speak(role, words) {
  keys = words.keys;
  rows = words.buttons;
  drives = role !== "view";
  bar.setAttribute("aria-label", say("controls"));
  bar.replaceChildren();
  for (const names of rows) {
    const row = document.createElement("div");
    if (drives) for (const name of names) row.append(button(name));
    bar.append(row);
  }
  if (role === "host") {
    bar.firstChild.append(plain("summary.show", askSummary), plain("summary.end", () => post("/choose", { do: "discard" }).catch(() => {})));
  }
  bar.lastChild.append(plain("calm", () => session.toggleCalm()), plain("theme", otherTheme));
  if (document.fullscreenEnabled) bar.lastChild.append(plain("fullscreen", fullscreen));
  if (share.offered() && role === "host") bar.lastChild.append(plain("share", share.open));
  allowed = new Set();
}

function button(name) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.action = name;
  made.textContent = say(`action.${name}`);
  made.classList.toggle("first", FIRST.includes(name));
  made.addEventListener("click", (event) => {
    if (event.detail > 0) made.blur(); // or the next press of the space bar would press it again
    if (name === "timer-only" && sure !== made) return ask(made);
    press(name);
  });
  return made;
}

function plain(name, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.own = name;
  made.textContent = say(name === "calm" ? "calm.on" : name);
  made.addEventListener("click", (event) => {
    if (event.detail > 0) made.blur();
    action();
    relabel();
  });
  return made;
}

function ask(made) {
  sure = made;
  made.textContent = say("again");
  setTimeout(() => {
    sure = null;
    made.textContent = say(`action.${made.dataset.action}`);
  }, SURE_SECONDS * 1000);
}

function otherTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
}

export function take(state) {
  if (state.stage !== "session") return hide();
  bar.hidden = false;
  allowed = new Set(state.allowed);
  phase = state.phase;
  bar.querySelector("[data-own=calm]").hidden = state.mode !== "running";
  for (const made of bar.querySelectorAll('[data-own^="summary."]')) made.hidden = state.mode !== "ended";
  for (const made of bar.querySelectorAll("[data-action]")) made.hidden = !allowed.has(made.dataset.action);
  relabel();
}

function relabel() {
  const calm = bar.querySelector("[data-own=calm]");
  if (calm) calm.textContent = say(session.isCalm() ? "calm.off" : "calm.on");
}

export function hide() {
  bar.hidden = true;
  allowed = new Set();
}

function press(name) {
  post("/do", { do: name, seen: phase }).catch(() => {}); // the program decides what is possible
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !drives) return;
  if (event.target.closest("dialog, input, select, textarea")) return;
  const onButton = event.target.closest("button, a") && (event.key === " " || event.key === "Enter");
  if (onButton) return;
  const meant = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!meant || bar.hidden) return;
  event.preventDefault();
  press(meant.find((name) => allowed.has(name)) ?? meant.at(-1));
}

// Out of sight while nobody reaches for them.
function awake() {
  document.body.classList.add("reaching");
  clearTimeout(quiet);
  quiet = setTimeout(() => document.body.classList.remove("reaching"), QUIET_SECONDS * 1000);
}

document.addEventListener("keydown", onKey);
for (const name of ["pointermove", "pointerdown", "focusin"]) document.addEventListener(name, awake, { passive: true });
setInterval(() => {
  const undo = bar.querySelector("[data-action=undo]");
  if (undo && !undo.hidden && !bar.hidden) {
    undo.textContent = `${say("action.undo")} (${Math.ceil(session.left("undo_left"))})`;
  }
}, 500);
