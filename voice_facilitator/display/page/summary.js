// After the session: times and shares, nothing anybody said. It is gone with the page unless it is printed.

import { post } from "./link.js";
import { clock, say } from "./words.js";

const page = document.getElementById("summary");
const place = (name) => page.querySelector(`[data-show=${name}]`);
const SVG = "http://www.w3.org/2000/svg";
const SHARES = ["presenter", "other", "unsure", "silence"];
const [WIDTH, BAR, GAP, LABELS, TIMES] = [900, 30, 16, 250, 70];

export function take(state) {
  document.title = say("summary.title");
  place("summary-protocol").textContent = state.protocol;
  place("reminders").textContent = say("summary.reminders", state.reminders);
  place("length").textContent = say("summary.length", { time: clock(state.phases.reduce((sum, p) => sum + p.seconds, 0)) });
  plot(page.querySelector("svg.shares"), state.phases);
  table(page.querySelector("table"), state.phases);
}

// One bar for each part, filled by who was heard in it; each kind has a pattern of its own.
function plot(svg, phases) {
  const height = phases.length * (BAR + GAP) + 8;
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  svg.setAttribute("aria-label", say("summary.plot"));
  for (const old of svg.querySelectorAll(".row")) old.remove();
  const room = WIDTH - LABELS - TIMES;
  phases.forEach((phase, i) => {
    const row = draw(svg, "g", { class: "row", transform: `translate(0 ${i * (BAR + GAP) + 4})` });
    draw(row, "text", { x: LABELS - 14, y: BAR * 0.7, "text-anchor": "end" }).textContent = phase.title;
    draw(row, "rect", { x: LABELS, width: room, height: BAR, rx: 5, class: "empty" });
    let x = LABELS;
    for (const kind of SHARES) {
      const width = room * (phase.shares[kind] ?? 0);
      if (width > 0) draw(row, "rect", { x, width, height: BAR, class: kind });
      x += width;
    }
    draw(row, "text", { x: WIDTH, y: BAR * 0.7, "text-anchor": "end", class: "time" }).textContent = clock(phase.seconds);
  });
}

function draw(parent, name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function table(element, phases) {
  const head = ["summary.part", "summary.time", ...SHARES.map((kind) => `summary.${kind}`)];
  const rows = [row("th", head.map((key) => say(key)))];
  for (const phase of phases) {
    const shares = SHARES.map((kind) => (kind in phase.shares ? `${Math.round(phase.shares[kind] * 100)} %` : "–"));
    rows.push(row("td", [phase.title, clock(phase.seconds), ...shares]));
  }
  element.tHead.replaceChildren(rows[0]);
  element.tBodies[0].replaceChildren(...rows.slice(1));
}

function row(kind, texts) {
  const made = document.createElement("tr");
  made.append(...texts.map((text, i) => {
    const first = kind === "td" && i === 0;
    const cell = document.createElement(first ? "th" : kind);
    if (cell.tagName === "TH") cell.scope = first ? "row" : "col";
    cell.textContent = text;
    return cell;
  }));
  return made;
}

export function onHide(back) {
  page.querySelector("[data-do=hide]").addEventListener("click", back);
}

page.querySelector("[data-do=print]").addEventListener("click", () => print());
page.querySelector("[data-do=discard]").addEventListener("click", () => post("/choose", { do: "discard" }).catch(() => {}));
