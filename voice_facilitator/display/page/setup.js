// Before the session. Each change goes to the program; what it answers is what is shown.

import { post } from "./link.js";
import { say, short } from "./words.js";

const page = document.getElementById("setup");
const field = (name) => page.querySelector(`[name=${name}]`);
const place = (name) => page.querySelector(`[data-show=${name}]`);
const choose = (choice) => post("/choose", choice).catch(() => {});
let drawn = "";

export function take(state, role) {
  page.querySelector("form").hidden = role !== "host";
  page.querySelector(".waiting").hidden = role === "host";
  page.querySelector("meter").value = state.level;
  const { level, age, ...rest } = state;
  const now = JSON.stringify([rest, document.documentElement.lang]);
  if (now === drawn) return;
  drawn = now;
  document.title = say("setup.title");
  drawProtocols(state);
  drawDevices(field("microphone"), state.microphones, state.microphone);
  drawDevices(field("speaker"), state.speakers, state.speaker);
  const minutes = field("minutes");
  minutes.min = state.least;
  minutes.max = state.most;
  if (document.activeElement !== minutes) minutes.value = state.minutes;
  place("minutes").textContent = say("minutes.short", { count: state.minutes });
  place("description").textContent = state.description;
  place("microphone-state").textContent = say(state.microphone_text);
  page.querySelector("meter").hidden = state.microphone_state !== "hears";
  place("test").textContent = state.test === "idle" ? "" : say(`setup.test.${state.test}`);
  field("timer_only").checked = state.timer_only;
  place("consent").textContent = say(state.consent);
  place("commands").textContent = commands(state.commands);
  list(place("plan"), state.phases.map(([title, seconds]) => `${title}, ${short(seconds)}`));
  list(place("contacts"), state.contacts.length ? state.contacts : [say("setup.no-contacts")]);
  list(place("problems"), state.problems.map((key) => say(key, { models: state.missing_models.join(", ") })));
  page.querySelector(".problems").hidden = state.problems.length === 0;
  page.querySelector("[data-do=ready]").disabled = state.problems.length > 0;
}

function commands({ engine, say: phrase, measured }) {
  if (!engine) return say("setup.commands.none");
  if (!measured) return say("setup.commands.unmeasured", { say: phrase });
  return say("setup.commands", { say: phrase, heard: measured.heard_percent });
}

function drawProtocols(state) {
  const groups = new Map();
  for (const { name, title, language } of state.protocols) {
    if (!groups.has(language)) groups.set(language, []);
    groups.get(language).push([name, title]);
  }
  const made = [...groups].map(([language, options]) => {
    const group = document.createElement("optgroup");
    group.label = new Intl.DisplayNames([language], { type: "language" }).of(language);
    group.lang = language;
    group.append(...options.map(([value, text]) => option(value, text)));
    return group;
  });
  field("protocol").replaceChildren(...made);
  field("protocol").value = state.protocol;
}

function drawDevices(select, names, chosen) {
  const known = names.find((name) => name === chosen) ?? names.find((name) => chosen && name.toLowerCase().includes(chosen.toLowerCase()));
  select.replaceChildren(option("", say("setup.default")), ...names.map((name) => option(name, name)));
  select.value = known ?? "";
}

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

function list(element, texts) {
  element.replaceChildren(...texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

page.addEventListener("change", ({ target }) => {
  if (target.name === "minutes") choose({ minutes: Number(target.value) });
  else if (target.name === "timer_only") choose({ timer_only: target.checked });
  else choose({ [target.name]: target.value });
});
page.addEventListener("input", ({ target }) => {
  if (target.name === "minutes") place("minutes").textContent = say("minutes.short", { count: target.value });
});
page.addEventListener("click", ({ target }) => {
  if (target.dataset.do) choose({ do: target.dataset.do });
});
page.addEventListener("submit", (event) => event.preventDefault());
