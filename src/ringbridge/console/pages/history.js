// Calls that are over: searched, paged, and taken away as CSV.
import { ask, list, paths, read } from "../api.js";
import { html, useLoad, useState } from "../core.js";
import { causeText, duration, instant } from "../format.js";
import { Button, Empty, ErrorNote, Field, Loaded, Pager, Table, Time } from "../parts.js";

const LIMIT = 50;
const READABLE_MS = 24 * 3600 * 1000; // so long a call can be opened after its end
const DIRECTIONS = ["Outgoing", "Incoming", "Missed", "Internal"];
const TYPES = [
  ["", "All"],
  ["Outbound", "Outgoing"],
  ["Inbound", "Incoming"],
  ["Missed", "Missed"],
  ["On-net", "Internal"],
];

/** A day as an input has it, in the time zone here. */
function day(ago) {
  const date = new Date(Date.now() - ago * 24 * 3600 * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** A user's own CDRs and a domain's have other names for the same; a user's tell who the other party was. */
function ofRow(row) {
  const epoch = (seconds) => (seconds ? new Date(seconds * 1000).toISOString() : "");
  const isUsers = "cdr_id" in row;
  const other = [row.name, row.number].filter(Boolean).join(" · ");
  const isMine = isUsers && DIRECTIONS[row.type] === "Outgoing";
  return {
    id: row.id ?? row.cdr_id,
    callId: row["call-id"],
    user: row["call-by-user"],
    domain: row.domain,
    startedAt: isUsers ? epoch(row.time_start) : row["call-start-datetime"],
    endedAt: isUsers ? epoch(row.time_release) : row["call-disconnect-datetime"],
    direction: DIRECTIONS[isUsers ? row.type : row["call-direction"]] ?? "",
    from: isUsers ? (isMine ? "you" : other) : row["call-orig-user"] ?? row["call-orig-from-user"],
    to: isUsers ? (isMine ? other : "you") : row["call-orig-to-user"] ?? row["call-term-user"],
    talked: isUsers ? (row.time_answer ? row.time_release - row.time_answer : 0) : row["call-talking-duration-seconds"],
    cause: row["release-cause"],
  };
}

function Call({ row }) {
  if (Date.now() - instant(row.endedAt) > READABLE_MS) return html`<span class="none">–</span>`;
  const href = `#/call/${[row.domain, row.user, row.callId].map(encodeURIComponent).join("/")}`;
  return html`<a class="button small" href=${href}>Open<span class="unseen"> the call from ${row.from} to ${row.to}</span></a>`;
}

export function HistoryPage({ me, domain }) {
  const [fields, setFields] = useState({ since: day(1), until: "", type: "", caller: "", dialled: "" });
  const [asked, setAsked] = useState(fields);
  const [start, setStart] = useState(1);
  const [error, setError] = useState(null);
  const path = paths.cdrs(me, domain);
  const set = (name) => (value) => setFields({ ...fields, [name]: value });
  const query = {
    "datetime-start": asked.since && new Date(`${asked.since}T00:00:00`).toISOString(),
    "datetime-end": asked.until && new Date(`${asked.until}T23:59:59.999`).toISOString(),
    type: asked.type,
    caller: asked.caller.trim(),
    dialled: asked.dialled.trim(),
  };
  const loaded = useLoad(async () => {
    const [page, sums] = await Promise.all([list(path, { ...query, start, limit: LIMIT }), read(`${path}/count`, query)]);
    return { rows: page.items.map(ofRow), total: sums.total, seconds: sums["call-total-duration-seconds"] };
  }, [path, start, JSON.stringify(asked)]);
  const search = async () => {
    setStart(1);
    setAsked({ ...fields });
  };
  const download = async () => {
    const answer = await ask("GET", path, { query, headers: { accept: "text/csv" } });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `calls-${domain === "~" ? "mine" : domain}-${asked.since || "all"}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  return html`<div class="heading">
      <h1>History</h1>
      <${Button} act=${download} onError=${setError}>Download CSV<//>
    </div>
    <form class="filters" role="search" aria-label="Search the history" onSubmit=${(event) => event.preventDefault()}>
      <${Field} label="From" type="date" value=${fields.since} onValue=${set("since")} required />
      <${Field} label="To" type="date" value=${fields.until} onValue=${set("until")} />
      <${Field} label="Direction" options=${TYPES} value=${fields.type} onValue=${set("type")} />
      <${Field} label="Caller" value=${fields.caller} onValue=${set("caller")} />
      <${Field} label="Dialled" value=${fields.dialled} onValue=${set("dialled")} />
      <${Button} type="submit" kind="main" act=${search}>Search<//>
    </form>
    <${ErrorNote} error=${error} />
    <${Loaded} of=${loaded}>
      ${({ rows, total, seconds }) =>
        total === 0
          ? html`<${Empty} title="No calls in this time.">
              <p>Choose an earlier day or fewer words, or <a href="#/place">place a call</a>: it is here as soon as it is over.</p>
            <//>`
          : html`<p class="count" role="status">${total === 1 ? "1 call" : `${total} calls`}, ${duration(seconds)} in all</p>
              <${Table}
                caption="Calls that are over, newest first"
                rows=${rows}
                rowKey=${(row) => row.id}
                columns=${[
                  ["Started", (row) => html`<${Time} at=${row.startedAt} />`],
                  ["Direction", (row) => row.direction],
                  ["From", (row) => row.from, "number"],
                  ["To", (row) => row.to, "number"],
                  ["Talked", (row) => (row.talked ? duration(row.talked) : html`<span class="none">–</span>`), "figure"],
                  ["Ended", (row) => causeText(row.cause)],
                  ["", (row) => html`<${Call} row=${row} />`, "acts"],
                ]}
              />
              <${Pager} start=${start} limit=${LIMIT} shown=${rows.length} total=${total} onStart=${setStart} />`}
    <//>`;
}
