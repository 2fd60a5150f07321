// The stream of events from the program. Used by a page, or by the worker that shares one among the pages of a browser.

const SILENT_SECONDS = 6; // the program gives a sign of life every two
const AGAIN_SECONDS = [0.3, 0.6, 1.2, 2.4, 4];

// Calls take(name, data) for each event, and take("lost") or take("full") where there is none for a while. Ends with
// "over", "no-key", or "stopped" once `stop` is.
export async function follow(key, take, stop = null) {
  let failures = 0;
  for (;;) {
    const end = await once(key, take, () => (failures = 0), stop);
    if (stop?.aborted) return "stopped";
    if (end === "over" || end === "no-key") return end;
    if (failures > 0 || end === "full") take(end);
    await pause(AGAIN_SECONDS[Math.min(failures, AGAIN_SECONDS.length - 1)]);
    failures += 1;
  }
}

async function once(key, take, connected, stop) {
  const silent = new AbortController();
  const end = () => silent.abort();
  stop?.addEventListener("abort", end);
  let timer = null;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(end, SILENT_SECONDS * 1000);
  };
  try {
    heard();
    const answer = await fetch("/events", {
      headers: { Authorization: `Bearer ${key}` }, signal: silent.signal, cache: "no-store",
    });
    if (answer.status === 401) return "no-key";
    if (answer.status === 503) return "full";
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
    stop?.removeEventListener("abort", end);
    end();
  }
}

export function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
