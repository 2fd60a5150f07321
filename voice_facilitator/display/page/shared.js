// A shared worker: one stream for all pages of a browser that may do the same. A browser opens six connections to one
// address and no more; were each page to hold one, a seventh would never load and no press would get through.

import { follow } from "./stream.js";

const groups = new Map(); // by role

class Group {
  constructor() {
    this.pages = new Map(); // and their keys
    this.last = new Map(); // the newest of each kind of event, and when it came
    this.stop = null;
  }

  add(page, key) {
    this.pages.set(page, key);
    for (const [name, [data, at]] of this.last) {
      const age = data?.age === undefined ? data : { ...data, age: data.age + (performance.now() - at) / 1000 };
      page.postMessage([name, age]);
    }
    if (!this.stop) this.run();
  }

  remove(page) {
    this.pages.delete(page);
    if (this.pages.size === 0) this.stop?.abort();
  }

  async run() {
    while (this.pages.size > 0) {
      const key = this.pages.values().next().value;
      this.stop = new AbortController();
      const end = await follow(key, (name, data) => this.tell(name, data), this.stop.signal);
      this.last.clear();
      const told = [...this.pages].filter(([, own]) => end === "over" || own === key);
      if (end === "stopped") continue;
      for (const [page] of told) {
        page.postMessage([end]);
        this.pages.delete(page);
      }
    }
    this.stop = null;
  }

  tell(name, data) {
    if (name === "words" || name === "state") this.last.set(name, [data, performance.now()]);
    for (const page of this.pages.keys()) page.postMessage([name, data]);
  }
}

self.addEventListener("connect", ({ ports: [page] }) => {
  let group = null;
  page.addEventListener("message", ({ data }) => {
    group?.remove(page);
    group = null;
    if (data.bye) return;
    group = groups.get(data.role) ?? new Group();
    groups.set(data.role, group);
    group.add(page, data.key);
  });
  page.start();
});
