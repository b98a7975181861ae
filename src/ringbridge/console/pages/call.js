// One call: what happens, who is in it, and what can be done about it.
import { ask, list, paths, read } from "../api.js";
import { html, useEffect, useLoad, useRef, useState } from "../core.js";
import { follow } from "../events.js";
import { causeText, duration, instant } from "../format.js";
import { here } from "../http.js";
import { Ladder } from "../ladder.js";
import { Button, Copy, Empty, ErrorNote, Field, Loaded, Notice, State, Table, Time } from "../parts.js";
import { useNow } from "./calls.js";

const TOGETHER_MS = 120; // events that come together are one look at the call
const RECORDED_AFTER_MS = 1500; // a recording is made when the call is over; looked for ever less often
const RECORDED_WITHIN_MS = 60_000;

const isOver = (call) => call["call-state"] === "ended";

/** Users whose phones are up or ring in a call, and who made it: on whose behalf something can be asked. */
function partiesOf(call, maker) {
  const there = call["call-legs"].filter((leg) => leg.state !== "released" && leg.user).map((leg) => leg.user);
  return [...new Set([...there, maker])].filter((user) => user && user !== "~");
}

function Actions({ me, call, domain, user, onDone }) {
  const [error, setError] = useState(null);
  const [done, setDone] = useState("");
  const [isTransfer, setTransfer] = useState(false);
  const [to, setTo] = useState("");
  const parties = partiesOf(call, user);
  const own = me.level === "user" ? user : parties.includes(me.user) && me.domain === domain ? me.user : parties[0];
  const [chosen, setChosen] = useState("");
  const acting = parties.includes(chosen) ? chosen : own ?? user;
  const order = (what, said, body = {}) => async () => {
    setDone("");
    await ask("PATCH", `${paths.call(domain, acting, call["call-id"])}/${what}`, { body });
    setDone(said);
    setTransfer(false);
    onDone();
  };
  const end = async () => {
    setDone("");
    await ask("DELETE", paths.call(domain, me.level === "user" ? user : acting, call["call-id"]));
    setDone("It is being ended.");
    onDone();
  };
  if (isOver(call)) return null;
  const isHeld = call["call-state"] === "held";
  return html`<section class="actions" aria-label="Do something with this call">
    <div class="row">
      ${me.level !== "user" &&
      parties.length > 1 &&
      html`<${Field}
        label="On behalf of"
        value=${acting}
        onValue=${setChosen}
        options=${parties.map((one) => [one, one])}
      />`}
      <${Button} act=${order("hold", "The other party is being put on hold.")} onError=${setError} disabled=${isHeld}>Hold<//>
      <${Button} act=${order("unhold", "The call is being taken back.")} onError=${setError} disabled=${!isHeld}>Unhold<//>
      <button type="button" class="button" aria-expanded=${isTransfer ? "true" : "false"} onClick=${() => setTransfer(!isTransfer)}>
        Transfer…
      </button>
      <${Button} kind="danger" act=${end} onError=${setError}>End<//>
    </div>
    ${isTransfer &&
    html`<form class="row" onSubmit=${(event) => event.preventDefault()}>
      <${Field} label="Transfer to" value=${to} onValue=${setTo} inputmode="tel" required isNext />
      <${Button} type="submit" kind="main" act=${order("transfer", `${to} is being rung.`, { "call-term-user": to.trim() })} onError=${setError} disabled=${!to}>
        Transfer
      <//>
    </form>`}
    ${isTransfer && html`<p class="small">An extension or a number. It takes the place of ${acting} when it answers.</p>`}
    <${ErrorNote} error=${error} />
    ${done && !error && html`<${Notice}>${done}<//>`}
    <${LastOrder} order=${call["call-order"]} />
  </section>`;
}

function LastOrder({ order }) {
  if (!order) return null;
  const what = order.to ? `${order.action} to ${order.to}` : order.action;
  if (order["release-cause"]) return html`<p class="small">Last order: ${what}, not carried out: ${causeText(order["release-cause"])}</p>`;
  return html`<p class="small">Last order: ${what}, ${order["done-datetime"] ? "done" : "under way"}</p>`;
}

function Facts({ call }) {
  const now = useNow();
  const answered = instant(call["call-answer-datetime"]);
  const ended = instant(call["call-end-datetime"]);
  const facts = [
    ["Started", html`<${Time} at=${call["call-start-datetime"]} />`],
    ["Joined", html`<${Time} at=${call["call-answer-datetime"]} />`],
    ["Joined for", answered ? duration(((ended || now) - answered) / 1000) : html`<span class="none">–</span>`],
    ["Ended", html`<${Time} at=${call["call-end-datetime"]} />`],
    ["Why", call["release-cause"] ? causeText(call["release-cause"]) : html`<span class="none">–</span>`],
    ["Caller ID", [call["call-orig-name"], call["caller-id-number"]].filter(Boolean).join(" · ") || html`<span class="none">–</span>`],
    ["Codec", call["call-audio-codec"] || html`<span class="none">–</span>`],
    ["Node", call["core-server"] || html`<span class="none">–</span>`],
    ["call-id", html`<${Copy} text=${call["call-id"]} label="the call-id" />`],
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div class=${name === "call-id" ? "wide" : ""}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Legs({ legs }) {
  if (legs.length === 0) {
    return html`<${Empty} title="No leg yet."><p>A leg is there as soon as a phone is rung, usually within milliseconds.</p><//>`;
  }
  const flows = { talk: "talks", music: "on hold, hears music", silent: "holds" };
  return html`<${Table}
    caption="Legs of the call"
    rows=${legs}
    rowKey=${(leg) => leg["leg-id"]}
    columns=${[
      ["Leg", (leg) => html`${leg.leg}${leg.transfer ? " (transfer)" : ""}`],
      ["Rings", (leg) => html`<span title=${leg["target-uri"]}>${leg.target}</span>`, "number"],
      ["State", (leg) => html`${leg.state}${leg.state === "answered" ? `, ${leg.held ? "holds at its phone" : flows[leg.flow] ?? leg.flow}` : ""}`],
      ["Rang", (leg) => html`<${Time} at=${leg["ringing-datetime"]} />`],
      ["Answered", (leg) => html`<${Time} at=${leg["answered-datetime"]} />`],
      ["Codec", (leg) => leg.codec || html`<span class="none">–</span>`],
      ["Released", (leg) => html`<${Time} at=${leg["released-datetime"]} />`],
      ["Why", (leg) => causeText(leg["release-cause"]) || html`<span class="none">–</span>`],
    ]}
  />`;
}

function Recordings({ recordings }) {
  if (recordings.length === 0) {
    return html`<${Empty} title="No recording.">
      <p>There is none of this call. Calls of a device are recorded when its <code>device-level-call-recording-enabled</code> is yes.</p>
    <//>`;
  }
  return html`<ul class="recordings">
    ${recordings.map(
      (one) => html`<li>
        <p><${Time} at=${one["call-recording-started-datetime"]} />, ${duration(one["file-duration-seconds"])}</p>
        <audio controls preload="metadata" src=${here(one["file-access-url"])} aria-label="Recording of the call"></audio>
        <p class="small">The first leg is on the left, the second on the right.</p>
        <p><a href=${here(one["file-access-url"])} download>Download</a> (${one["file-size-kilobytes"]} kB)</p>
      </li>`,
    )}
  </ul>`;
}

/** A call with its steps and recordings, read again when an event tells of it. */
function useCall(domain, user, callId) {
  const path = paths.call(domain, user, callId);
  const loaded = useLoad(async () => {
    const ladder = await read(`${path}/ladder`);
    const call = await read(path); // second: it has every leg that a step is of
    const recordings = isOver(call) ? await list(`${paths.user(domain, user)}/recordings/${encodeURIComponent(callId)}`) : { items: [] };
    return { call, steps: ladder.steps, recordings: recordings.items };
  }, [path]);
  const reload = useRef(loaded.reload);
  reload.current = loaded.reload;
  useEffect(() => {
    let timer = 0;
    const leave = follow((event, told) => {
      const isMine = event === "refresh" || told["call-id"] === callId || told["call-session-id"] === callId;
      if (!isMine || timer) return;
      timer = setTimeout(() => {
        timer = 0;
        reload.current();
      }, TOGETHER_MS);
    });
    return () => {
      leave();
      clearTimeout(timer);
    };
  }, [path]);
  const [looks, setLooks] = useState(0);
  const isAwaited = loaded.data !== null && isOver(loaded.data.call) && loaded.data.recordings.length === 0;
  useEffect(() => {
    const isOld = isAwaited && Date.now() - instant(loaded.data.call["call-end-datetime"]) > RECORDED_WITHIN_MS;
    if (!isAwaited || isOld) return undefined;
    const timer = setTimeout(() => {
      setLooks(looks + 1);
      reload.current();
    }, RECORDED_AFTER_MS * (looks + 1));
    return () => clearTimeout(timer);
  }, [path, isAwaited, looks]);
  return loaded;
}

export function CallPage({ me, domain, user, callId }) {
  const loaded = useCall(domain, user, callId);
  return html`<p class="back"><a href="#/calls">Live calls</a></p>
    <${Loaded} of=${loaded}>
      ${({ call, steps, recordings }) => html`<div class="heading">
          <h1>${call["call-orig-user"]} to ${call["call-dialed-number"] || call["call-term-user"]}</h1>
          <p role="status"><${State} state=${call["call-state"]} /></p>
        </div>
        <${Actions} me=${me} call=${call} domain=${domain} user=${user} onDone=${loaded.reload} />
        <${Facts} call=${call} />
        <section>
          <h2>What happened</h2>
          <${Ladder} call=${call} steps=${steps} />
        </section>
        <section>
          <h2>Legs</h2>
          <${Legs} legs=${call["call-legs"]} />
        </section>
        <section>
          <h2>Media quality</h2>
          <${Empty} title="No figures yet.">
            <p>The API tells the codec of each leg, and no loss, jitter or delay so far. Charts will stand here once it does.</p>
          <//>
        </section>
        <section>
          <h2>Recording</h2>
          ${isOver(call)
            ? html`<${Recordings} recordings=${recordings} />`
            : html`<${Empty} title="Not yet."><p>What was recorded can be heard here when the call is over.</p><//>`}
        </section>`}
    <//>`;
}
