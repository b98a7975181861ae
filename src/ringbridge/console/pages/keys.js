// API keys: made, shown once, revoked.
import { ask, list } from "../api.js";
import { html, useLoad, useState } from "../core.js";
import { Button, Check, Copy, Empty, ErrorNote, Field, Loaded, Notice, Pager, Table, Time } from "../parts.js";

const KEYS = "/ns-api/v2/apikeys";
const LIMIT = 50;

function NewKey({ me, domain, onMade }) {
  const [description, setDescription] = useState("");
  const [place, setPlace] = useState(domain || (me.domain === "*" ? "" : me.domain));
  const [user, setUser] = useState(me.level === "user" ? me.user : "");
  const [addresses, setAddresses] = useState("");
  const [readonly, setReadonly] = useState(false);
  const [error, setError] = useState(null);
  const make = async () => {
    const body = {
      description: description.trim(),
      ...(place.trim() && { domain: place.trim() }),
      ...(user.trim() && { user: user.trim() }),
      ...(addresses.trim() && { "ip-address": addresses.trim() }),
      ...(readonly && { readonly: "yes" }),
    };
    const made = await (await ask("POST", KEYS, { body })).json();
    setDescription("");
    onMade(made);
  };
  return html`<form class="narrow" onSubmit=${(event) => event.preventDefault()}>
    <${Field} label="What it is for" value=${description} onValue=${setDescription} hint="At least 12 characters, such as: click-to-call of the CRM" minlength="12" required />
    ${(me.level === "super" || me.level === "reseller") &&
    html`<${Field} label="Domain" value=${place} onValue=${setPlace} hint="Empty: as wide as your own token" />`}
    ${me.level !== "user" && html`<${Field} label="User" value=${user} onValue=${setUser} hint="The key then acts for that user alone; empty: for the whole domain" />`}
    <${Field} label="Addresses" value=${addresses} onValue=${setAddresses} hint="Where it may be used from, such as 192.0.2.0/24; empty: anywhere" />
    <${Check} label="It may only read" checked=${readonly} onChecked=${setReadonly} />
    <${Button} type="submit" kind="main" act=${make} onError=${setError} disabled=${description.trim().length < 12}>Make the key<//>
    <${ErrorNote} error=${error} />
  </form>`;
}

function Revoke({ apikey, onError, onDone }) {
  const [isSure, setSure] = useState(false);
  const revoke = async () => {
    await ask("DELETE", `${KEYS}/${apikey["key-id"]}`);
    onDone();
  };
  if (!isSure) {
    return html`<button type="button" class="button small" onClick=${() => setSure(true)}>
      Revoke<span class="unseen"> ${apikey.description}</span>
    </button>`;
  }
  return html`<span class="row">
    <${Button} kind="danger small" act=${revoke} onError=${onError}>Revoke for good<//>
    <button type="button" class="button small" onClick=${() => setSure(false)}>Keep</button>
  </span>`;
}

const whose = (key) => (key.domain === "*" ? (key.reseller === "*" ? "everything" : `reseller ${key.reseller}`) : key.user === "*" ? key.domain : `${key.user}@${key.domain}`);

export function KeysPage({ me, domain }) {
  const [start, setStart] = useState(1);
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const loaded = useLoad(() => list(KEYS, { start, limit: LIMIT }), [start]);
  const onMade = (key) => {
    setMade(key);
    loaded.reload();
  };
  return html`<h1>API keys</h1>
    <p>A program shows a key as <code>Authorization: Bearer …</code> and then may do what the key is for.</p>
    ${made &&
    html`<div class="note good" role="alert">
      <p><strong>Keep this key now: it is shown this once.</strong></p>
      <p><${Copy} text=${made.key} label="the key" /></p>
      <p><button type="button" class="button small" onClick=${() => setMade(null)}>I have kept it</button></p>
    </div>`}
    <details open=${loaded.data?.items.length === 0}>
      <summary>Make a key</summary>
      ${me.kind === "login" && me.level === "user"
        ? html`<p>Keys are made by whoever manages your domain: ask an Office Manager.</p>`
        : html`<${NewKey} me=${me} domain=${domain} onMade=${onMade} />`}
    </details>
    <${ErrorNote} error=${error} />
    <${Loaded} of=${loaded}>
      ${({ items, total }) =>
        items.length === 0
          ? html`<${Empty} title="No keys yet."><p>Make one above, for a program that shall place or watch calls.</p><//>`
          : html`<${Table}
                caption="API keys"
                rows=${items}
                rowKey=${(key) => key["key-id"]}
                columns=${[
                  ["For", (key) => key.description],
                  ["Key", (key) => html`<code>${key["key-id"]}…</code>`],
                  ["Acts for", whose],
                  ["Scope", (key) => html`${key["user-scope"]}${key.readonly === "yes" ? ", reads only" : ""}`],
                  ["From", (key) => key["ip-address"] || "anywhere"],
                  ["Made", (key) => html`<${Time} at=${key["created-datetime"]} />`],
                  ["Last used", (key) => html`<${Time} at=${key["lastused-datetime"]} />`],
                  ["", (key) => html`<${Revoke} apikey=${key} onError=${setError} onDone=${loaded.reload} />`, "acts"],
                ]}
              />
              <${Pager} start=${start} limit=${LIMIT} shown=${items.length} total=${total} onStart=${setStart} />`}
    <//>`;
}
