// The line to the program: one stream of events in, single requests out.

import { follow, pause } from "./stream.js";

const KEY = "voice-facilitator-key";
const ROLE = "voice-facilitator-role";

let key = null;
let role = null;

// The token behind the # is good for this page only; it leaves the address bar at once.
async function join() {
  key = sessionStorage.getItem(KEY);
  role = sessionStorage.getItem(ROLE);
  const token = location.hash.slice(1);
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  const answer = await post("/join", { token });
  if (!answer.ok) return;
  ({ key, role } = await answer.json());
  sessionStorage.setItem(KEY, key);
  sessionStorage.setItem(ROLE, role);
}

export function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
}

export function get(path) {
  return fetch(path, { headers: { Authorization: `Bearer ${key}` } });
}

export async function words() {
  return (await fetch("/words")).json();
}

// Calls take(name, data) for each event; name is also "lost", "full", "no-key" and "over", without data.
export async function listen(take) {
  for (;;) {
    try {
      await join();
      break;
    } catch {
      take("lost");
      await pause(1);
    }
  }
  if (!key) return take("no-key");
  const alone = async () => take(await follow(key, take));
  const worker = shared();
  if (!worker) return alone();
  worker.addEventListener("error", alone, { once: true }); // an older browser, which knows no such modules
  worker.port.addEventListener("message", ({ data: [name, data] }) => take(name, data));
  worker.port.start();
  const here = () => worker.port.postMessage({ key, role });
  addEventListener("pagehide", () => worker.port.postMessage({ bye: true }));
  addEventListener("pageshow", ({ persisted }) => persisted && here());
  here();
}

// Not every browser has it (Chrome on Android): there each page has a stream of its own.
function shared() {
  try {
    return new SharedWorker("/page/shared.js", { type: "module", name: "voice-facilitator" });
  } catch {
    return null;
  }
}
