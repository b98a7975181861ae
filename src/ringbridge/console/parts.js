// Pieces that pages are made of.
import { html, useEffect, useRef, useState } from "./core.js";
import { STATES, when } from "./format.js";

/** An error word by word as the API has it: its message, each of several faults, and the request id to report it by. */
export function ErrorNote({ error }) {
  if (!error) return null;
  const faults = error.faults ?? [];
  return html`<div class="note bad" role="alert">
    <p>${error.message}${faults.length === 1 && html`<${Found} fault=${faults[0]} />`}</p>
    ${faults.length > 1 &&
    html`<ul>
      ${faults.map(
        (fault) => html`<li>
          ${fault.field && html`<code>${fault.field}</code>${": "}`}${fault.message}<${Found} fault=${fault} />
        </li>`,
      )}
    </ul>`}
    ${error.requestId && html`<p class="small">Request ${error.requestId}</p>`}
  </div>`;
}

function Found({ fault }) {
  return html`${fault.found !== undefined && html`${" "}(found: <code>${fault.found || "nothing"}</code>)`}
  ${fault.allowed !== undefined && html`${"; allowed: "}${fault.allowed}`}`;
}

/** A message that is read out when it appears. */
export function Notice({ kind = "good", children }) {
  return html`<div class="note ${kind}" role="status">${children}</div>`;
}

export function sentence(text) {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

/** What stands where nothing is: why, and what to do next. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

export function State({ state }) {
  return html`<span class="state ${state}">${STATES[state] ?? state}</span>`;
}

export function Time({ at }) {
  return at ? html`<time datetime=${at} title=${at}>${when(at)}</time>` : html`<span class="none">–</span>`;
}

/** A button whose action takes a while; it is not pressed twice meanwhile. `act` may throw: `onError` is told. */
export function Button({ act, onError, kind = "", type = "button", disabled, children, ...more }) {
  const [busy, setBusy] = useState(false);
  const isThere = useRef(true);
  useEffect(() => () => (isThere.current = false), []);
  const press = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    onError?.(null);
    try {
      await act();
    } catch (error) {
      onError?.(error);
    } finally {
      if (isThere.current) setBusy(false);
    }
  };
  return html`<button
    type=${type}
    class="button ${kind}"
    aria-busy=${busy ? "true" : undefined}
    disabled=${disabled || busy}
    onClick=${act ? press : undefined}
    ...${more}
  >
    ${children}
  </button>`;
}

let fields = 0;

/** A labelled input; `hint` is read with it. `options` makes it a select; `isNext` is for what has just been asked for. */
export function Field({ label, hint, options, value, onValue, required, isNext, ...more }) {
  const [id] = useState(() => `field-${(fields += 1)}`);
  useEffect(() => {
    if (isNext) document.getElementById(id).focus();
  }, []);
  const common = {
    id,
    value,
    required,
    "aria-describedby": hint ? `${id}-hint` : undefined,
    onInput: (event) => onValue(event.target.value),
    ...more,
  };
  return html`<div class="field">
    <label for=${id}>${label}${required && html`<span class="required" aria-hidden="true"> *</span>`}</label>
    ${options
      ? html`<select ...${common}>
          ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
        </select>`
      : html`<input type="text" autocomplete="off" ...${common} />`}
    ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
  </div>`;
}

export function Check({ label, checked, onChecked }) {
  return html`<label class="check">
    <input type="checkbox" checked=${checked} onChange=${(event) => onChecked(event.target.checked)} /> ${label}
  </label>`;
}

/** Text that is meant to be taken elsewhere. */
export function Copy({ text, label }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      setSaid("Select it and copy it by hand");
    }
  };
  return html`<span class="copy">
    <code class="copied-text">${text}</code>
    <button type="button" class="button small" onClick=${copy} aria-label=${`Copy ${label}`}>Copy</button>
    <span role="status" class="small">${said}</span>
  </span>`;
}

/**
 * A table that becomes a list of cards on a phone. `columns` are `[title, row => cell, class]`; `rowKey` tells rows apart.
 */
export function Table({ caption, columns, rows, rowKey, rowClass }) {
  return html`<div class="table-frame">
    <table>
      <caption class="unseen">${caption}</caption>
      <thead>
        <tr>
          ${columns.map(([title, , kind]) => html`<th scope="col" class=${kind}>${title || html`<span class="unseen">Actions</span>`}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr key=${rowKey(row)} class=${rowClass?.(row)}>
            ${columns.map(([title, cell, kind]) => html`<td data-title=${title} class=${kind}>${cell(row)}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Links to the pages of a list. */
export function Pager({ start, limit, shown, total, onStart }) {
  const last = start + shown - 1;
  const hasMore = total === null ? shown === limit : last < total;
  if (start === 1 && !hasMore) return null;
  return html`<nav class="pager" aria-label="Pages of the list">
    <${Button} disabled=${start === 1} act=${() => onStart(Math.max(1, start - limit))}>Previous<//>
    <span>${shown ? `${start} to ${last}` : "None"}${total === null ? "" : ` of ${total}`}</span>
    <${Button} disabled=${!hasMore} act=${() => onStart(start + limit)}>Next<//>
  </nav>`;
}

/** The loading state of a part of a page: an error with a way to try again, a line, or what is there. */
export function Loaded({ of, children }) {
  if (of.error && of.data === null) {
    return html`<${ErrorNote} error=${of.error} /><p><${Button} act=${of.reload}>Try again<//></p>`;
  }
  if (of.data === null) return html`<p class="loading" role="status">Loading…</p>`;
  return html`<${ErrorNote} error=${of.error} />${children(of.data)}`;
}
