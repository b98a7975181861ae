// One call as a sequence diagram: who told whom what, and when. The table below it says the same.
import { html, useEffect, useState } from "./core.js";
import { since } from "./format.js";

const TOP = 64;
const STEP = 40;
// Where times stand, from there to the first line of life, between two of them, and behind the last.
const WIDE = { gutter: 84, first: 62, apart: 176, right: 92, hasNotes: true };
export const SNUG = { gutter: 78, first: 40, apart: 140, right: 60, hasNotes: true }; // in half a window
const NARROW = { gutter: 66, first: 18, apart: 79, right: 40, hasNotes: false };
const PHONE = matchMedia("(max-width: 46rem)");
const RELEASED_BY_PHONE = new Set(["hung-up"]);
const SIDES = { origination: "First leg", termination: "Second leg" };

/** The lines of life of a call: who asks, Ringbridge, and each phone or line that was rung. */
function columnsOf(call) {
  const legs = call["call-legs"].map((leg) => ({
    id: leg["leg-id"],
    title: leg.target || leg["target-uri"],
    note: `${SIDES[leg.leg] ?? leg.leg}${leg.transfer ? ", transfer" : ""}${leg.connection ? `, ${leg.connection}` : ""}`,
    side: leg.leg,
    leg,
  }));
  return [{ id: "api", title: "API" }, { id: "ringbridge", title: "Ringbridge" }, ...legs];
}

function released(step, column, call) {
  const status = /\((\d{3}) ([^)]*)\)/.exec(step.detail);
  if (status) return { from: step["leg-id"], to: "ringbridge", text: `${status[1]} ${status[2]}` };
  const reason = /\(([^)]*)\)/.exec(step.detail)?.[1] ?? "";
  const gaveUp = reason === "origination-hung-up" && column?.side === "origination";
  if (RELEASED_BY_PHONE.has(reason) || gaveUp) return { from: step["leg-id"], to: "ringbridge", text: "BYE" };
  const text = column?.leg["answered-datetime"] ? "BYE" : "CANCEL";
  return { from: "ringbridge", to: step["leg-id"], text, note: reason };
}

/** What one step of the API's ladder is in the picture: an arrow, or a note on a line of life. */
function drawn(step, columns, call) {
  const leg = step["leg-id"];
  const column = columns.find((one) => one.id === leg);
  switch (step.step) {
    case "requested":
      return { from: "api", to: "ringbridge", text: "POST a call", note: `to ${step.detail}` };
    case "claimed":
      return { at: "ringbridge", text: `engine ${step.detail}` };
    case "invite":
      return { from: "ringbridge", to: leg, text: "INVITE", note: step.detail };
    case "ringing":
      return { from: leg, to: "ringbridge", text: step.detail ? "183" : "180", note: step.detail || "ringing" };
    case "answered":
      return { from: leg, to: "ringbridge", text: "200 OK", note: step.detail };
    case "ack":
      return { from: "ringbridge", to: leg, text: "ACK" };
    case "joined": {
      const up = columns.filter((one) => one.leg?.["answered-datetime"]);
      const orig = up.find((one) => one.side === "origination");
      const term = up.find((one) => one.side === "termination");
      if (!orig || !term) return { at: "ringbridge", text: "joined" };
      return { from: orig.id, to: term.id, text: "audio", note: "both ways", isMedia: true };
    }
    case "ordered":
      return { from: "api", to: "ringbridge", text: step.detail.split(",")[0] }; // by which key, the table says
    case "held":
      return { at: "ringbridge", text: "on hold" };
    case "done":
      return { at: "ringbridge", text: `${step.detail} done` };
    case "refused":
      return { at: "ringbridge", text: `not done: ${step.detail}`, isBad: true };
    case "released":
      return released(step, column, call);
    case "ended":
      return { at: "ringbridge", text: "ended", note: step.detail };
    default:
      return { at: column ? leg : "ringbridge", text: step.step, note: step.detail };
  }
}

function Arrow({ x1, x2, y, one, hasNotes }) {
  const turn = x2 > x1 ? 1 : -1;
  const middle = (x1 + x2) / 2;
  const isFailure = /^[4-6]\d\d/.test(one.text);
  const kind = one.isMedia ? "media" : isFailure ? "failure" : "";
  return html`<g class=${`arrow ${kind}`}>
    <line x1=${x1 + turn * (one.isMedia ? 8 : 0)} y1=${y} x2=${x2 - turn * 7} y2=${y} />
    <path d=${`M${x2} ${y} l${-turn * 9} -4.5 v9 z`} />
    ${one.isMedia && html`<path d=${`M${x1} ${y} l${turn * 9} -4.5 v9 z`} />`}
    <text x=${middle} y=${y - 6} text-anchor="middle">
      ${one.text}${one.note && hasNotes && html`<tspan class="detail"> ${one.note}</tspan>`}
    </text>
  </g>`;
}

function Note({ x, y, one, hasNotes }) {
  return html`<g class=${`remark ${one.isBad ? "failure" : ""}`}>
    <circle cx=${x} cy=${y} r="4" />
    <text x=${x + 11} y=${y + 4}>${one.text}${one.note && hasNotes && html`<tspan class="detail"> ${one.note}</tspan>`}</text>
  </g>`;
}

/** Whether there is little room; the table says what then has no place in the picture. */
function useNarrow() {
  const [isNarrow, setNarrow] = useState(PHONE.matches);
  useEffect(() => {
    const change = () => setNarrow(PHONE.matches);
    PHONE.addEventListener("change", change);
    return () => PHONE.removeEventListener("change", change);
  }, []);
  return isNarrow;
}

function Picture({ call, steps, room }) {
  const { gutter, first, apart, right, hasNotes } = useNarrow() ? NARROW : room;
  const columns = columnsOf(call);
  const places = new Map(columns.map((column, number) => [column.id, gutter + first + number * apart]));
  const width = gutter + first + (columns.length - 1) * apart + right;
  const height = TOP + steps.length * STEP + 16;
  const isLive = call["call-state"] !== "ended";
  return html`<svg
    class="ladder"
    viewBox=${`0 0 ${width} ${height}`}
    width=${width}
    height=${height}
    role="img"
    aria-label=${`Sequence of ${steps.length} steps between the API, Ringbridge and ${columns.length - 2} legs; the table below says the same`}
  >
    ${columns.map((column) => {
      const x = places.get(column.id);
      return html`<g class="life">
        <line x1=${x} y1=${TOP - 16} x2=${x} y2=${height - 8} />
        <text class="title" x=${x} y="20" text-anchor="middle">${column.title}</text>
        ${column.note && html`<text class="detail" x=${x} y="37" text-anchor="middle">${column.note}</text>`}
      </g>`;
    })}
    ${steps.map((step, number) => {
      const y = TOP + number * STEP + STEP / 2;
      const one = drawn(step, columns, call);
      const isLast = isLive && number === steps.length - 1;
      return html`<g key=${`${number}`} class=${isLast ? "latest" : ""}>
        <text class="time" x=${gutter - 10} y=${y + 4} text-anchor="end">${since(step.ms)}</text>
        ${one.at
          ? html`<${Note} x=${places.get(one.at)} y=${y} one=${one} hasNotes=${hasNotes} />`
          : html`<${Arrow} x1=${places.get(one.from)} x2=${places.get(one.to)} y=${y} one=${one} hasNotes=${hasNotes} />`}
      </g>`;
    })}
  </svg>`;
}

/** The picture of a call's steps, and the same as a table; `room` is what there is on a screen that is no phone's. */
export function Ladder({ call, steps, room = WIDE }) {
  return html`<div class="ladder-frame" tabindex="0" role="region" aria-label="Sequence diagram; scrolls sideways">
      <${Picture} call=${call} steps=${steps} room=${room} />
    </div>
    <details>
      <summary>The steps as a table</summary>
      <div class="table-frame">
        <table>
          <caption class="unseen">Steps of the call</caption>
          <thead>
            <tr>
              <th scope="col" class="figure">After</th>
              <th scope="col">Step</th>
              <th scope="col">Leg</th>
              <th scope="col">Detail</th>
            </tr>
          </thead>
          <tbody>
            ${steps.map(
              (step) => html`<tr>
                <td data-title="After" class="figure"><span title=${step.at}>${since(step.ms)}</span></td>
                <td data-title="Step">${step.step}</td>
                <td data-title="Leg">${step.leg ? `${step.leg} ${step["leg-id"]}` : html`<span class="none">–</span>`}</td>
                <td data-title="Detail">${step.detail || html`<span class="none">–</span>`}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>`;
}
