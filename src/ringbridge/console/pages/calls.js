// The live calls of everything that one sees, as they change.
import { list, paths, read } from "../api.js";
import { html, useEffect, useRef, useState } from "../core.js";
import { follow } from "../events.js";
import { duration, instant } from "../format.js";
import { Empty, ErrorNote, State, Table, Time } from "../parts.js";

const LINGER_MS = 10_000; // an ended call is shown for so long, so that nobody wonders where it went
const MOST_SHOWN = 200;
const READ_AT_ONCE = 5;
const READ_EVERY_MS = 500;

const nameOf = (domain, callId) => `${domain} ${callId}`;

/** A call as the lists have it. */
function ofView(view) {
  return {
    name: nameOf(view["call-orig-domain"], view["call-id"]),
    domain: view["call-orig-domain"],
    user: view["call-by-user"],
    callId: view["call-id"],
    state: view["call-state"],
    from: view["call-orig-user"],
    to: view["call-dialed-number"] || view["call-term-user"],
    startedAt: view["call-start-datetime"],
    answeredAt: view["call-answer-datetime"],
    endedAt: 0,
  };
}

/** The same as an event has it, in the API's legacy names. */
function ofEvent(told) {
  return {
    name: nameOf(told.domain, told["call-id"]),
    domain: told.domain,
    user: told.user,
    callId: told["call-id"],
    state: told["call-state"],
    from: told.orig_user,
    to: told.orig_to_user,
    startedAt: told.time_start,
    answeredAt: told.time_answer,
    endedAt: told.action === "DELETE" ? Date.now() : 0,
  };
}

/** Live calls by name: read once, and then as events tell them. */
export function useLiveCalls(me) {
  const [calls, setCalls] = useState(null);
  const [error, setError] = useState(null);
  const held = useRef(null); // events that came while the list was on its way

  useEffect(() => {
    let isThere = true;
    const apply = (told) =>
      setCalls((before) => {
        const call = ofEvent(told);
        const kept = before?.get(call.name);
        // The list's times are finer than an event's.
        const startedAt = kept?.startedAt || call.startedAt;
        return new Map(before).set(call.name, { ...call, startedAt });
      });
    const refresh = async () => {
      if (held.current !== null) return;
      held.current = [];
      try {
        const { items } = await list(paths.calls(me), { limit: 1000 });
        if (!isThere) return;
        setError(null);
        setCalls((before) => {
          const next = new Map(items.map(ofView).map((call) => [call.name, call]));
          for (const [name, call] of before ?? []) if (call.endedAt && !next.has(name)) next.set(name, call);
          return next;
        });
      } catch (fault) {
        if (isThere) setError(fault);
      } finally {
        const missed = held.current;
        held.current = null;
        if (isThere) missed.forEach(apply);
      }
    };
    // After a transfer others talk: an event's legacy names do not say so, the call itself does.
    const readAgain = new Map();
    const rereading = setInterval(async () => {
      const some = [...readAgain.entries()].slice(0, READ_AT_ONCE);
      for (const [name, path] of some) {
        readAgain.delete(name);
        try {
          const call = ofView(await read(path));
          if (isThere && call.state !== "ended") {
            setCalls((now) => (now?.has(name) && !now.get(name).endedAt ? new Map(now).set(name, call) : now));
          }
        } catch {
          // It has ended, or the stream's next word comes soon.
        }
      }
    }, READ_EVERY_MS);
    const leave = follow((event, told) => {
      if (event === "refresh") refresh();
      else if (held.current !== null) held.current.push(told);
      else apply(told);
      if (told && (told["call-state"] === "connected" || told["call-state"] === "held")) {
        readAgain.set(nameOf(told.domain, told["call-id"]), paths.call(told.domain, told.user, told["call-id"]));
      }
    });
    const forget = setInterval(() => {
      const before = Date.now() - LINGER_MS;
      setCalls((now) => {
        const over = [...(now ?? [])].filter(([, call]) => call.endedAt && call.endedAt < before);
        if (!over.length) return now;
        const next = new Map(now);
        over.forEach(([name]) => next.delete(name));
        return next;
      });
    }, 1000);
    refresh();
    return () => {
      isThere = false;
      leave();
      clearInterval(forget);
      clearInterval(rereading);
    };
  }, [me.level, me.domain, me.user]);
  return { calls, error };
}

/** The time now, each second. */
export function useNow() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

function lasting(call, now) {
  const answered = instant(call.answeredAt);
  return answered ? duration(((call.endedAt || now) - answered) / 1000) : "";
}

export const callHref = (call) =>
  `#/call/${[call.domain, call.user, call.callId].map(encodeURIComponent).join("/")}`;

export function CallsPage({ me, domain }) {
  const { calls, error } = useLiveCalls(me);
  const now = useNow();
  const seen = [...(calls?.values() ?? [])]
    .filter((call) => !domain || domain === "~" || call.domain === domain)
    .sort((one, other) => instant(other.startedAt) - instant(one.startedAt));
  const words = (number) => (number === 1 ? "1 call is up" : `${number || "No"} calls are up`);
  const active = seen.filter((call) => !call.endedAt).length;
  const isWide = me.level === "super" || me.level === "reseller";
  const columns = [
    ["State", (call) => html`<${State} state=${call.state} />`],
    ["From", (call) => call.from, "number"],
    ["To", (call) => call.to, "number"],
    ...(isWide ? [["Domain", (call) => call.domain]] : []),
    ...(me.level === "user" ? [] : [["Placed by", (call) => call.user]]),
    ["Started", (call) => html`<${Time} at=${call.startedAt} />`],
    ["Talking", (call) => lasting(call, now) || html`<span class="none">–</span>`, "figure"],
    ["", (call) => html`<a class="button small" href=${callHref(call)}>Open<span class="unseen"> the call from ${call.from} to ${call.to}</span></a>`, "acts"],
  ];
  return html`<div class="heading">
      <h1>Live calls</h1>
      <p class="count" role="status">${calls === null ? "" : words(active)}</p>
      <a class="button main" href="#/place">Place a call</a>
    </div>
    <${ErrorNote} error=${error} />
    ${calls === null && !error && html`<p class="loading" role="status">Loading…</p>`}
    ${calls !== null &&
    seen.length === 0 &&
    html`<${Empty} title="No calls right now.">
      <p>A call shows here by itself as soon as somebody places one: you from this page, or a program by the API.</p>
      <p><a href="#/place">Place a call</a> · <a href="#/history">See earlier calls</a></p>
    <//>`}
    ${seen.length > 0 &&
    html`<${Table}
      caption="Live calls, newest first"
      columns=${columns}
      rows=${seen.slice(0, MOST_SHOWN)}
      rowKey=${(call) => call.name}
      rowClass=${(call) => (call.endedAt ? "over" : "")}
    />`}
    ${seen.length > MOST_SHOWN && html`<p>And ${seen.length - MOST_SHOWN} more, that began before these.</p>`}`;
}
