// <ringbridge-history>: what was asked of one operation with the credential of this tab, newest first.
import { html, render, useEffect, useLoad, useRef, useState, useStore } from "../console/core.js";
import { Exchange, pathOf, REQUESTS, Status } from "../console/exchanges.js";
import { BASE, send } from "../console/http.js";
import { since } from "../console/format.js";
import { Loaded, Table, Time } from "../console/parts.js";
import { credential } from "./credential.js";
import { HISTORY } from "./document.js";
import { callHref, latestAnswer, showCall } from "./sending.js";

const SHOWN = 5;
const SETTLED_MS = 250; // who scrolls by asks for nothing

/** The name of a key or token in the history: the part of it that is no secret. */
function keyId(text) {
  if (!text.includes(".")) return text.slice(0, 16);
  try {
    return JSON.parse(atob(text.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).jti;
  } catch {
    return "";
  }
}

function One({ id, ask, token, onClose }) {
  const place = useRef(null);
  const loaded = useLoad(async () => (await ask("GET", pathOf(id))).json(), [id]);
  useEffect(() => {
    place.current.focus({ preventScroll: true });
    place.current.scrollIntoView({ block: "nearest" });
  }, [id, loaded.data === null]);
  return html`<div class="one" tabindex="-1" ref=${place}>
    <p><button type="button" class="button small" onClick=${onClose}>Back to the list</button></p>
    <${Loaded} of=${loaded}>
      ${(request) => html`<${Exchange} request=${request} level=${4} ask=${ask} hrefOf=${callHref} onMade=${(call) => call && showCall(call, token)} />`}
    <//>
  </div>`;
}

function Found({ items, total, onOpen }) {
  const columns = [
    ["Time", (one) => html`<${Time} at=${one.datetime} />`],
    ["Status", (one) => html`<${Status} of=${one.status} />`],
    ["Took", (one) => since(one["duration-ms"]), "took"],
    ["User agent", (one) => html`<span class="agent" title=${one["user-agent"]}>${one["user-agent"] || "–"}</span>`],
    [
      "",
      (one) => html`<button type="button" class="button small" onClick=${() => onOpen(one.id)}>
        Open<span class="unseen"> ${one.method} ${one.path}, ${one.datetime}</span>
      </button>`,
    ],
  ];
  return html`<${Table} caption="Your requests, newest first" rows=${items} rowKey=${(one) => one.id} columns=${columns} />
    <p class="small">
      ${total > items.length ? `The last ${items.length} of ${total}. ` : ""}<a href=${new URL("console/#/requests", BASE).href} target="_blank" rel="noopener">All requests, in the console</a>
    </p>`;
}

function Requests({ operation, token }) {
  const [opened, setOpened] = useState("");
  const ask = (method, path, options = {}) => send(method, path, { ...options, token });
  const loaded = useLoad(async () => {
    const answer = await ask("GET", REQUESTS, { query: { operation, key: keyId(token), limit: SHOWN } });
    return { items: await answer.json(), total: Number(answer.headers.get("x-total-count")) };
  }, []);
  const reload = useRef(loaded.reload);
  reload.current = loaded.reload;
  useEffect(() => latestAnswer.follow((answer) => answer.operation === operation && reload.current()), []);
  if (loaded.error?.status === 401) return html`<p>The credential is not taken: ${loaded.error.message}.</p>`;
  if (opened) {
    const close = () => {
      setOpened("");
      reload.current();
    };
    return html`<${One} id=${opened} ask=${ask} token=${token} onClose=${close} />`;
  }
  return html`<${Loaded} of=${loaded}>
    ${({ items, total }) =>
      items.length
        ? html`<${Found} items=${items} total=${total} onOpen=${setOpened} />`
        : html`<p class="none">
            None yet. What you send by <strong>Try It!</strong>, or a program with this credential, is here at once.
          </p>`}
  <//>`;
}

/** `operation` is a name; the one that was tried last where there is none. */
function History({ operation }) {
  const token = useStore(credential);
  const latest = useStore(latestAnswer);
  const name = operation ?? latest.operation;
  if (!name) return null;
  return html`<section class="ours history" aria-label="Your requests">
    <h3>Your requests</h3>
    ${token
      ? html`<${Requests} key=${`${name} ${token}`} operation=${name} token=${token} />`
      : html`<p class="none">Enter a credential, and what was asked here with it is shown, and what was answered.</p>`}
  </section>`;
}

class HistoryElement extends HTMLElement {
  #watch = null;
  #timer = 0;

  connectedCallback() {
    this.#watch = new IntersectionObserver(([seen]) => {
      clearTimeout(this.#timer);
      if (seen.isIntersecting) this.#timer = setTimeout(() => this.#show(), SETTLED_MS);
    });
    this.#watch.observe(this);
  }

  #show() {
    this.#watch.disconnect();
    render(html`<${History} operation=${this.getAttribute(HISTORY)} />`, this);
  }

  disconnectedCallback() {
    this.#watch.disconnect();
    clearTimeout(this.#timer);
    render(null, this);
  }
}

customElements.define("ringbridge-history", HistoryElement);
