// The room during the session. Large and calm: time, part, whose turn, what comes next, the microphone.

import { calmly, clock, say, short } from "./words.js";
import { chairs } from "./chairs.js";

const room = document.getElementById("session");
const place = (name) => room.querySelector(`[data-show=${name}]`);
const block = (name) => room.querySelector(`[data-block=${name}]`);
const MICROPHONE = { // one shape for each state, so that none is told by colour alone
  starting: "M12 4v3M12 17v3M4 12h3M17 12h3",
  listening: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4",
  muted: "M4 10v4h4l5 4V6L8 10zM16 9a4 4 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11",
  lost: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4M4 4l16 16",
  "timer-only": "M12 5a8 8 0 1 0 .01 0zM12 9v4l3 2M10 2h4",
};

let state = null;
let at = 0; // performance.now() at which `state` was true
let calm = null; // what this page was asked for; null follows the part

export function take(next) {
  state = next;
  at = performance.now() - next.age * 1000;
  draw();
}

export function isCalm() {
  return calm ?? (state?.calm ?? false);
}

export function toggleCalm() {
  calm = !isCalm();
  draw();
}

export function left(name) {
  const gone = state.mode === "running" || name === "undo_left" ? (performance.now() - at) / 1000 : 0;
  return Math.max(0, state[name] - gone);
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function draw() {
  const running = state.mode === "running" || state.mode === "paused";
  room.dataset.mode = state.mode;
  room.dataset.floor = running ? state.floor : "everyone";
  put(place("protocol"), state.protocol_title);
  put(place("title"), title());
  put(place("floor"), running ? say(state.floor) : "");
  put(place("hint"), hint());
  chairs(room.querySelector(".chairs"), running ? state.floor : "everyone");
  const saying = state.line || state.caption || (state.mode === "not-started" ? say(state.consent) : "");
  if (saying) put(place("saying"), saying); // or it would be gone before it has faded
  room.classList.toggle("says", Boolean(saying));
  drawNext();
  drawContacts();
  block("heard").hidden = !state.heard;
  if (state.heard) put(place("heard"), say(`heard.${state.heard}`));
  put(place("microphone"), say(state.microphone_text));
  room.querySelector(".mic").dataset.state = state.microphone;
  room.querySelector(".mic path").setAttribute("d", MICROPHONE[state.microphone]);
  const missing = state.missing.map((part) => say(`missing.${part}`));
  const trouble = state.trouble.map(([what, count]) => say(`trouble.${what}`, { count }));
  put(place("missing"), [...missing, ...trouble].join(" · "));
  put(place("stop"), state.mode === "closing" || state.mode === "ended" ? "" : say(state.stop ? "stop.voice" : "stop", state));
  document.title = running ? `${state.phase_title} · ${state.protocol_title}` : title();
  tick();
}

function title() {
  switch (state.mode) {
    case "not-started": return say("ready.title");
    case "closing": return say("closing.title");
    case "ended": return say("ended.title");
    default: return state.phase_title;
  }
}

function hint() {
  if (state.mode === "not-started") return say("ready.text");
  if (state.voices_deleted) return say("voices-deleted");
  if (state.asks) return say(`asks.${state.asks}`);
  if (state.mode === "paused") return say("paused.text");
  return state.waits_for_gap ? say("time-up") : state.hint;
}

function drawNext() {
  const [first, second] = state.mode === "not-started" ? [] : state.later;
  block("next").hidden = !first;
  put(place("next"), first ? named(first) : "");
  put(place("then"), second ? `${say("then")} ${named(second)}` : "");
}

function named([name, seconds]) {
  return `${name}, ${short(seconds)}`;
}

function drawContacts() {
  const list = place("contacts");
  block("contacts").hidden = state.contacts.length === 0;
  if (list.children.length !== state.contacts.length) list.replaceChildren();
  state.contacts.forEach((contact, i) => {
    if (!list.children[i]) list.append(document.createElement("li"));
    put(list.children[i], contact);
  });
}

// The clock of the page runs by itself between two messages.
function tick() {
  const running = state.mode === "running" || state.mode === "paused";
  const seconds = running ? left("phase_left") : state.mode === "not-started" ? state.session_left : 0;
  const inWords = state.mode === "not-started" || isCalm();
  const text = state.mode === "paused" ? say("paused") : !running && inWords === false ? "" : time(seconds, inWords);
  put(place("time"), text);
  room.classList.toggle("in-words", inWords || state.mode === "paused");
  const share = running && state.phase_seconds > 0 ? seconds / state.phase_seconds : state.mode === "not-started" ? 1 : 0;
  room.querySelector(".ring .left").style.strokeDashoffset = String(1 - Math.min(1, share));
  room.querySelector(".bar .left").style.width = `${100 * Math.min(1, share)}%`;
  put(place("in-all"), running ? say("in-all", { time: inWords ? calmly(left("session_left")) : clock(left("session_left")) }) : "");
}

function time(seconds, inWords) {
  if (state.mode === "closing" || state.mode === "ended") return "";
  return inWords ? calmly(seconds) : clock(seconds);
}

setInterval(() => state && tick(), 200);
