// Event subscriptions: where events are sent, how that went, and a way to try it.
import { ask, list } from "../api.js";
import { html, useLoad, useState } from "../core.js";
import { Button, Copy, Empty, ErrorNote, Field, Loaded, Notice, Table, Time } from "../parts.js";

const SUBSCRIPTIONS = "/ns-api/v2/subscriptions";
const LAST = 20;
const MODELS = [
  ["call", "call: each change of a call"],
  ["cdr", "cdr: the record of a call that is over"],
  ["presence", "presence: who is free, rung, in a call, or not there"],
];

function NewSubscription({ domain, onMade }) {
  const [url, setUrl] = useState("");
  const [model, setModel] = useState("call");
  const [error, setError] = useState(null);
  const make = async () => {
    const body = { model, "post-url": url.trim(), synchronous: "yes", ...(domain && domain !== "~" && { domain }) };
    const made = await (await ask("POST", SUBSCRIPTIONS, { body })).json();
    setUrl("");
    onMade(made);
  };
  return html`<form class="narrow" onSubmit=${(event) => event.preventDefault()}>
    <${Field} label="Send to" type="url" value=${url} onValue=${setUrl} hint="A URL of yours that takes POSTs, such as https://crm.example.com/calls" required />
    <${Field} label="What" options=${MODELS} value=${model} onValue=${setModel} />
    <${Button} type="submit" kind="main" act=${make} onError=${setError} disabled=${!url.trim()}>Subscribe<//>
    <${ErrorNote} error=${error} />
  </form>`;
}

function outcome(one) {
  const status = one["response-status"] ? `${one["response-status"]}` : one.error;
  return one.outcome === "delivered" ? `delivered (${status})` : `${one.outcome}: ${one.error || status}`;
}

function Deliveries({ path, loaded }) {
  const [error, setError] = useState(null);
  const resend = (one) => async () => {
    await ask("POST", `${path}/deliveries/${one["delivery-id"]}/resend`);
    await loaded.reload();
  };
  return html`<${ErrorNote} error=${error} />
    <${Loaded} of=${loaded}>
      ${({ items, total }) =>
        items.length === 0
          ? html`<${Empty} title="Nothing was sent yet."><p>Send a test, or <a href="#/place">place a call</a>.</p><//>`
          : html`<${Table}
                caption="Last deliveries, newest first"
                rows=${items}
                rowKey=${(one) => `${one["delivery-id"]} ${one["attempt-datetime"]} ${one.kind} ${one.attempt}`}
                columns=${[
                  ["At", (one) => html`<${Time} at=${one["attempt-datetime"]} />`],
                  ["Kind", (one) => `${one.kind}${one.attempt > 1 ? `, attempt ${one.attempt}` : ""}`],
                  ["Call", (one) => one["call-id"] || html`<span class="none">–</span>`],
                  ["Outcome", (one) => html`<span class=${one.outcome === "delivered" ? "" : "failed"}>${outcome(one)}</span>`],
                  ["Took", (one) => `${one["duration-ms"]} ms`, "figure"],
                  ["Next", (one) => html`<${Time} at=${one["next-attempt-datetime"]} />`],
                  [
                    "",
                    (one) =>
                      one.kind === "test" ? "" : html`<${Button} kind="small" act=${resend(one)} onError=${setError}>Send again<//>`,
                    "acts",
                  ],
                ]}
              />
              ${total > items.length && html`<p class="small">The last ${items.length} of ${total} of three days.</p>`}`}
    <//>`;
}

function Subscription({ one, onChange }) {
  const path = `${SUBSCRIPTIONS}/${one.id}`;
  const [error, setError] = useState(null);
  const [tested, setTested] = useState(null);
  const [isSure, setSure] = useState(false);
  const deliveries = useLoad(() => list(`${path}/deliveries`, { limit: LAST }), [path]);
  const test = async () => {
    setTested(null);
    setTested(await (await ask("POST", `${path}/test`)).json());
    await Promise.all([deliveries.reload(), onChange()]);
  };
  const remove = async () => {
    await ask("DELETE", path);
    onChange();
  };
  const told = one.user === "*" ? (one.domain === "*" ? "everything" : one.domain) : `${one.user}@${one.domain}`;
  return html`<article class="card">
    <h2 class="url">${one["post-url"]}</h2>
    <dl class="facts">
      <div><dt>Tells</dt><dd>${one.model} of ${told}</dd></div>
      <div><dt>State</dt><dd>${one.status}${one["status-reason"] && `: ${one["status-reason"]}`}</dd></div>
      <div><dt>Taken</dt><dd>${one["posts-count"]} events, ${one["error-count"]} attempts failed</dd></div>
      <div><dt>Until</dt><dd><${Time} at=${one["subscription-expires-datetime"]} /></dd></div>
    </dl>
    <div class="row">
      <${Button} kind="main" act=${test} onError=${setError}>Send a test<//>
      <${Button} act=${deliveries.reload}>Look again<//>
      ${isSure
        ? html`<${Button} kind="danger" act=${remove} onError=${setError}>Delete for good<//>
            <button type="button" class="button" onClick=${() => setSure(false)}>Keep</button>`
        : html`<button type="button" class="button" onClick=${() => setSure(true)}>Delete…</button>`}
    </div>
    <${ErrorNote} error=${error} />
    ${tested &&
    html`<${Notice} kind=${tested.outcome === "delivered" ? "good" : "bad"}>
      <p>Test ${outcome(tested)}, in ${tested["duration-ms"]} ms.</p>
      ${tested["response-excerpt"] && html`<pre>${tested["response-excerpt"]}</pre>`}
    <//>`}
    <h3>Last deliveries</h3>
    <${Deliveries} path=${path} loaded=${deliveries} />
  </article>`;
}

export function SubscriptionsPage({ me, domain }) {
  const [made, setMade] = useState(null);
  const loaded = useLoad(() => list(SUBSCRIPTIONS, { limit: 100 }), []);
  const onMade = (subscription) => {
    setMade(subscription);
    loaded.reload();
  };
  return html`<h1>Events</h1>
    <p>A subscription has every change of calls POSTed to a URL of yours, signed and tried again for days.</p>
    ${me.kind === "login" &&
    html`<p class="small">A subscription ends with the login or key that made it. For one that stays, log in with an API key.</p>`}
    ${made &&
    html`<div class="note good" role="alert">
      <p><strong>Keep this secret now: it is shown this once.</strong> Your receiver checks signatures with it.</p>
      <p><${Copy} text=${made["webhook-secret"]} label="the secret" /></p>
      <p><button type="button" class="button small" onClick=${() => setMade(null)}>I have kept it</button></p>
    </div>`}
    <details open=${loaded.data?.items.length === 0}>
      <summary>Subscribe</summary>
      <${NewSubscription} domain=${domain} onMade=${onMade} />
    </details>
    <${Loaded} of=${loaded}>
      ${({ items }) =>
        items.length === 0
          ? html`<${Empty} title="No subscriptions yet."><p>Enter a URL above, and then send a test to see whether it arrives.</p><//>`
          : items.map((one) => html`<${Subscription} key=${one.id} one=${one} onChange=${loaded.reload} />`)}
    <//>`;
}
