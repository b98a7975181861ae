// <ringbridge-ladder>: the call that Try It! has made, step by step while it happens, in the answer's own panel.
import { html, render, useEffect, useLoad, useRef, useState } from "../console/core.js";
import { follow, start } from "../console/events.js";
import { causeText, STATES } from "../console/format.js";
import { send } from "../console/http.js";
import { Ladder, SNUG } from "../console/ladder.js";
import { callHref, latestCall } from "./sending.js";

const PHONE = matchMedia("(max-width: 46rem)"); // the answer is below the form then
const TOGETHER_MS = 120; // events that come together are one look at the call

/** The call as it is now, and each time that an event tells of it, until it is over. */
function useLiveCall({ id, path, token }) {
  const ask = (method, where, options = {}) => send(method, where, { ...options, token });
  const loaded = useLoad(async () => {
    const { steps } = await (await ask("GET", `${path}/ladder`)).json();
    const call = await (await ask("GET", path)).json(); // second: it has every leg that a step is of
    return { call, steps };
  }, [path]);
  const isOver = loaded.data?.call["call-state"] === "ended";
  const reload = useRef(loaded.reload);
  reload.current = loaded.reload;
  useEffect(() => {
    if (isOver) return undefined;
    let timer = 0;
    const leave = follow(() => {
      timer ||= setTimeout(() => {
        timer = 0;
        reload.current();
      }, TOGETHER_MS);
    });
    const stop = start(ask, { "call-id": id });
    return () => {
      stop();
      leave();
      clearTimeout(timer);
    };
  }, [path, isOver]);
  const end = () => ask("DELETE", path);
  return { ...loaded, isOver, end };
}

function consoleLink(call, path) {
  const [domain, user] = /domains\/([^/]+)\/users\/([^/]+)/.exec(path).slice(1).map(decodeURIComponent);
  return callHref({ domain, user, id: call["call-id"] });
}

function LiveCall({ made }) {
  const { data, error, isOver, end } = useLiveCall(made);
  const [refusal, setRefusal] = useState(null);
  const fault = refusal ?? error;
  const finish = async () => {
    setRefusal(null);
    await end().catch(setRefusal);
  };
  const state = data?.call["call-state"];
  const cause = data?.call["release-cause"];
  return html`<section class="ours live-call" aria-label="The call that this request made">
    <header>
      <h3>The call, as it happens</h3>
      <p role="status" class="state ${state ?? ""}">${state ? STATES[state] ?? state : "Looking…"}</p>
      ${data && !isOver && html`<button type="button" onClick=${finish}>End the call</button>`}
    </header>
    <p class="call-name"><code>${made.id}</code>${cause ? html`, ${causeText(cause)}` : ""}</p>
    ${made.isReplayed &&
    html`<p>This <code>call-id</code> has been used before, so nothing rings again: this is the call that it named then.</p>`}
    ${fault && html`<p role="alert">${fault.message}</p>`}
    ${data && html`<${Ladder} call=${data.call} steps=${data.steps} room=${SNUG} />`}
    ${data && html`<p><a href=${consoleLink(data.call, made.path)} target="_blank" rel="noopener">Open it in the console</a></p>`}
  </section>`;
}

class LadderElement extends HTMLElement {
  #leave = null;

  connectedCallback() {
    const show = (made) => {
      render(made && html`<${LiveCall} key=${made.path} made=${made} />`, this);
      if (made && PHONE.matches) requestAnimationFrame(() => this.scrollIntoView({ block: "start" }));
    };
    this.#leave = latestCall.follow(show);
    show(latestCall.get());
  }

  disconnectedCallback() {
    this.#leave?.();
    render(null, this);
  }
}

customElements.define("ringbridge-ladder", LadderElement);
