// The API's live events, for as long as somebody looks: one stream for all parts of a tab.
import { createStore } from "./core.js";

const DELAYS_MS = [500, 1000, 2000, 4000, 8000, 15_000];
const LOOK_EVERY_MS = 3000; // while there is no stream
const HIDDEN_FOR_MS = 60_000; // then the stream is given back: browsers have few connections to one host
const SILENT_HEARTBEATS = 3; // then the line is dead, whatever the network says

/** `connecting`, `live`, `reconnecting` (and lists are looked at now and then), or `paused`. */
export const liveState = createStore("connecting");

const followers = new Set();

/** Calls `tell(event, data)` for each event; `refresh` says that what is listed has to be read again. */
export function follow(tell) {
  followers.add(tell);
  return () => followers.delete(tell);
}

function tellAll(event, data) {
  for (const tell of [...followers]) tell(event, data);
}

/** Reads server-sent events (HTML §9.2.6) off an answer's body. */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let one = { event: "", id: "", data: [] };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (one.id || one.data.length) yield { event: one.event || "heartbeat", id: one.id, data: one.data.join("\n") };
          one = { event: "", id: "", data: [] };
          continue;
        }
        const at = line.indexOf(":");
        const field = line.slice(0, at);
        const rest = line.slice(at + 1).replace(/^ /, "");
        if (field === "data") one.data.push(rest);
        else if (field === "event" || field === "id") one[field] = rest;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Follows the stream until the returned function is called. `ask(method, path, options)` sends its requests, as
 * `api.js` does; `query` narrows what is told.
 */
export function start(ask, query = {}) {
  let isStopped = false;
  let lastId = "";
  let failures = 0;
  let controller = new AbortController();
  let wake = () => {};
  let hiddenTimer = 0;

  const pause = (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  async function once() {
    controller = new AbortController();
    const headers = { accept: "text/event-stream" };
    if (lastId) headers["last-event-id"] = lastId;
    let watchdog = 0;
    let silenceMs = 60_000;
    const hear = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => controller.abort(), silenceMs);
    };
    hear();
    try {
      const answer = await ask("GET", "/ringbridge/v1/events", { query, headers, signal: controller.signal });
      for await (const { event, id, data } of readEvents(answer.body)) {
        if (isStopped) return;
        if (id) lastId = id;
        const told = data ? JSON.parse(data) : null;
        if (event === "ready" || event === "reset") {
          failures = 0;
          if (told["heartbeat-seconds"]) silenceMs = SILENT_HEARTBEATS * told["heartbeat-seconds"] * 1000;
          liveState.set("live");
          if (!told.resumed) tellAll("refresh", null);
        } else if (event === "call") {
          tellAll("call", told);
        }
        hear();
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  async function run() {
    while (!isStopped) {
      try {
        await once();
      } catch {
        failures += 1; // whatever it was: come back
      }
      if (isStopped) return;
      if (document.hidden && hiddenTimer === 0) {
        liveState.set("paused");
        await pause(2 ** 31 - 1);
        continue;
      }
      liveState.set("reconnecting");
      const delay = DELAYS_MS[Math.min(failures, DELAYS_MS.length - 1)];
      await pause(failures === 0 ? 0 : delay * (0.75 + Math.random() / 2));
    }
  }

  const looking = setInterval(() => {
    if (liveState.get() === "reconnecting") tellAll("refresh", null);
  }, LOOK_EVERY_MS);

  function onVisibility() {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      hiddenTimer = setTimeout(() => {
        hiddenTimer = 0;
        controller.abort();
      }, HIDDEN_FOR_MS);
    } else {
      hiddenTimer = 0;
      wake();
    }
  }

  const onOnline = () => wake();
  document.addEventListener("visibilitychange", onVisibility);
  window.addEventListener("online", onOnline);
  liveState.set("connecting");
  run();
  return () => {
    isStopped = true;
    controller.abort();
    wake();
    clearInterval(looking);
    clearTimeout(hiddenTimer);
    document.removeEventListener("visibilitychange", onVisibility);
    window.removeEventListener("online", onOnline);
  };
}
