// What was asked of the API with one's keys: searched, paged, opened, and sent again as a new call.
import { ask, list, read } from "../api.js";
import { html, useLoad, useState } from "../core.js";
import { Exchange, keyOf, madeBy, pathOf, REQUESTS, Status } from "../exchanges.js";
import { since } from "../format.js";
import { Button, Empty, Field, Loaded, Pager, Table, Time } from "../parts.js";

const LIMIT = 50;
const NOTHING = { method: "", path: "", status: "", key: "", since: "", until: "" };
const METHODS = [["", "All"], ...["GET", "POST", "PUT", "PATCH", "DELETE"].map((one) => [one, one])];
const STATUSES = [
  ["", "All"],
  ["2xx", "2xx: done"],
  ["4xx", "4xx: refused"],
  ["5xx", "5xx: failed"],
];

/** What was searched for last and by whom, so that who comes back from one request finds the list as it was. */
let last = { by: "", fields: NOTHING, start: 1 };

const callHref = ({ domain, user, id }) => `#/call/${[domain, user, id].map(encodeURIComponent).join("/")}`;

function OneRequest({ id }) {
  const loaded = useLoad(() => read(pathOf(id)), [id]);
  return html`<p class="back"><a href="#/requests">Requests</a></p>
    ${loaded.data === null && html`<h1>Request</h1>`}
    <${Loaded} of=${loaded}>${(request) => html`<${Exchange} request=${request} level=${1} ask=${ask} hrefOf=${callHref} />`}<//>`;
}

/** Two lines in one cell. */
function Pair({ above, below, kind }) {
  return html`<span class="pair"><span class=${kind} title=${kind && above}>${above}</span><span class="small">${below}</span></span>`;
}

function Found({ items, total }) {
  const columns = [
    ["Time", (one) => html`<${Time} at=${one.datetime} />`],
    ["Request", (one) => html`<code>${one.method} ${one.path}</code>`, "request"],
    ["Status", (one) => html`<${Status} of=${one.status} />`, "figure"],
    ["Took", (one) => since(one["duration-ms"]), "figure"],
    ["From", (one) => html`<${Pair} above=${one["user-agent"] || "–"} below=${one.address} kind="agent" />`],
    ["Key", (one) => html`<${Pair} above=${keyOf(one)} below=${madeBy(one)} />`],
    [
      "",
      (one) => html`<a class="button small" href=${`#/requests/${encodeURIComponent(one.id)}`}>Open<span class="unseen"> ${one.method} ${one.path}</span></a>`,
      "acts",
    ],
  ];
  return html`<p class="count" role="status">${total === 1 ? "1 request" : `${total} requests`}</p>
    <${Table} caption="Requests, newest first" rows=${items} rowKey=${(one) => one.id} columns=${columns} />`;
}

function Requests({ me, domain }) {
  const isWide = me.level === "super" || me.level === "reseller";
  const by = `${me.uid} ${me.name} ${domain}`;
  const before = last.by === by ? last : { fields: NOTHING, start: 1 };
  const [fields, setFields] = useState(before.fields);
  const [asked, setAsked] = useState(before.fields);
  const [start, setStart] = useState(before.start);
  const set = (name) => (value) => setFields({ ...fields, [name]: value });
  last = { by, fields: asked, start };
  const query = {
    method: asked.method,
    path: asked.path.trim(),
    status: asked.status,
    key: asked.key.trim().replace(/…$/, ""),
    "datetime-start": asked.since && new Date(`${asked.since}T00:00:00`).toISOString(),
    "datetime-end": asked.until && new Date(`${asked.until}T23:59:59.999`).toISOString(),
  };
  const loaded = useLoad(() => list(REQUESTS, { ...query, domain: isWide ? domain : "", start, limit: LIMIT }), [start, asked]);
  const search = (next) => async () => {
    setFields(next);
    setStart(1);
    setAsked({ ...next });
  };
  return html`<h1>Requests</h1>
    <p>What programs, and this console, asked of the API with your keys and logins, and what they were answered.</p>
    <form class="filters" role="search" aria-label="Search the requests" onSubmit=${(event) => event.preventDefault()}>
      <${Field} label="Method" options=${METHODS} value=${fields.method} onValue=${set("method")} />
      <${Field} label="Path holds" value=${fields.path} onValue=${set("path")} />
      <${Field} label="Status" options=${STATUSES} value=${fields.status} onValue=${set("status")} />
      <${Field} label="Key" value=${fields.key} onValue=${set("key")} />
      <${Field} label="From" type="date" value=${fields.since} onValue=${set("since")} />
      <${Field} label="To" type="date" value=${fields.until} onValue=${set("until")} />
      <${Button} type="submit" kind="main" act=${search(fields)}>Search<//>
    </form>
    <${Loaded} of=${loaded}>
      ${({ items, total }) => html`${items.length > 0 && html`<${Found} items=${items} total=${total} />`}
        ${items.length === 0 &&
        (total > 0 || Object.values(query).some(Boolean)
          ? html`<${Empty} title="No requests like these.">
              <p>Choose other days or fewer words.</p>
              <p><${Button} act=${search(NOTHING)}>Show all requests<//></p>
            <//>`
          : html`<${Empty} title="No requests yet.">
              <p><a href="#/keys">Make a key</a> for your program: what it asks of the API with it is here at once.</p>
            <//>`)}
        <${Pager} start=${start} limit=${LIMIT} shown=${items.length} total=${total} onStart=${setStart} />`}
    <//>`;
}

export function RequestsPage({ me, domain, query }) {
  return query.length === 1 ? html`<${OneRequest} key=${query[0]} id=${query[0]} />` : html`<${Requests} me=${me} domain=${domain} />`;
}
