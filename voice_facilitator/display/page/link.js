// The line to the program: one stream of events in, single requests out.

const KEY = "voice-facilitator-key";
const SILENT_SECONDS = 6; // the program gives a sign of life every two
const AGAIN_SECONDS = [0.3, 0.6, 1.2, 2.4, 4];

let key = null;

// The token behind the # is good for this page only; it leaves the address bar at once.
async function join() {
  const token = location.hash.slice(1);
  if (!token) {
    key = sessionStorage.getItem(KEY);
    return;
  }
  history.replaceState(null, "", location.pathname);
  const answer = await post("/join", { token });
  if (answer.ok) {
    key = (await answer.json()).key;
    sessionStorage.setItem(KEY, key);
  } else {
    key = sessionStorage.getItem(KEY);
  }
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

// Calls take(name, data) for each event; name is also "lost", "no-key" and "over", without data.
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
  let failures = 0;
  for (;;) {
    const end = key ? await once(take, () => (failures = 0)) : "no-key";
    if (end === "over" || end === "no-key") return take(end);
    if (failures > 0) take("lost");
    await pause(AGAIN_SECONDS[Math.min(failures, AGAIN_SECONDS.length - 1)]);
    failures += 1;
  }
}

async function once(take, connected) {
  const stop = new AbortController();
  let timer = null;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(), SILENT_SECONDS * 1000);
  };
  try {
    heard();
    const answer = await fetch("/events", {
      headers: { Authorization: `Bearer ${key}` }, signal: stop.signal, cache: "no-store",
    });
    if (answer.status === 401) return "no-key";
    if (!answer.ok) return "lost";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "lost";
      heard();
      connected();
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        const name = /^event: (.*)$/m.exec(event)?.[1];
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (!name) continue;
        const found = JSON.parse(data);
        if (name === "state" && found.stage === "over") return "over";
        take(name, found);
      }
    }
  } catch {
    return "lost";
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
