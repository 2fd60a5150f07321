// Which stage is on: setting up, the session, the summary, or a notice that something else is to be done.

import { get, listen, words } from "./link.js";
import { speak, say } from "./words.js";
import { keepAwake } from "./awake.js";
import * as controls from "./controls.js";
import * as session from "./session.js";
import * as setup from "./setup.js";
import * as share from "./share.js";
import * as summary from "./summary.js";

const STAGES = { session, setup };
let role = "view";
let shown = "notice";
let last = null; // the state of the session shown last

function show(stage) {
  document.body.classList.remove("lost");
  if (stage === shown) return;
  for (const section of document.querySelectorAll("main")) section.hidden = section.id !== stage;
  document.body.dataset.stage = stage;
  shown = stage;
}

function notice(name) {
  show("notice");
  document.querySelector("[data-show=notice-title]").textContent = say(`${name}.title`);
  document.querySelector("[data-show=notice-text]").textContent = say(`${name}.text`);
  document.title = say(`${name}.title`);
  controls.hide();
  share.hide();
  keepAwake(false);
}

// Only this page shows the summary: other pages have not asked for it. It is there when the voices are overwritten.
async function showSummary(tries = 20) {
  const answer = await get("/summary").catch(() => null);
  if (!answer?.ok) {
    if (tries > 0 && shown === "session") setTimeout(() => showSummary(tries - 1), 500);
    return;
  }
  show("summary");
  summary.take(await answer.json());
  controls.hide();
}

function take(event, data) {
  if (event === "words") {
    speak(data);
    role = data.role;
    share.offer(data.shared);
    controls.speak(role, data);
  } else if (event === "state" && data.stage === "notice") {
    notice(data.notice);
  } else if (event === "state") {
    last = data;
    show(data.stage);
    STAGES[data.stage].take(data, role);
    controls.take(data, role);
    keepAwake(data.stage === "session");
  } else if (event === "lost" && shown !== "notice") {
    document.body.classList.add("lost");
  } else if (event !== "lost") {
    notice(event);
  }
}

controls.onSummary(() => showSummary());
summary.onHide(() => take("state", last));
speak(await words());
notice("connecting");
listen(take);
