// One request of the history as it is told: what was sent and answered, and sending it again as a new call.
import { html, useState } from "./core.js";
import { since } from "./format.js";
import { Button, ErrorNote, Notice, Time } from "./parts.js";

export const REQUESTS = "/ringbridge/v1/requests";
const CALLS = /^\/ns-api\/v2\/domains\/([^/]+)\/users\/([^/]+)\/calls\/?$/;
const REMARKS = {
  cut: (size) => `Only its beginning is kept; it had ${size} bytes.`,
  redacted: () => "Secrets in it were replaced before it was kept.",
  hidden: () => "It is not kept: it cannot be read, and may hold a secret.",
};

export const pathOf = (id) => `${REQUESTS}/${encodeURIComponent(id)}`;
export const keyOf = (one) => (one["key-prefix"] ? `${one["key-prefix"]}${one["key-id"]}…` : "a login");
export const madeBy = ({ domain, user }) =>
  domain === "*" ? "everything" : user === "*" ? domain : `${user}@${domain}`;

export function Status({ of }) {
  return html`<span class=${of < 400 ? "" : "failed"}>${of}</span>`;
}

function Facts({ facts }) {
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** JSON on several lines; anything else, what is masked or cut too, as it stands. */
function laidOut(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Part({ title, level, headers, text, state, size }) {
  return html`<section class="card">
    <${`h${level}`}>${title}<//>
    <${Facts} facts=${Object.entries(headers)} />
    ${state === "none" && html`<p class="none">No body.</p>`}
    ${REMARKS[state] && html`<p class="small">${REMARKS[state](size)}</p>`}
    ${text && html`<pre>${laidOut(text)}</pre>`}
  </section>`;
}

/** The call that an answer tells of, `{ domain, user, id }`; null where it tells of none. */
function callOf(request, answer) {
  const found = CALLS.exec(request.path);
  if (!found || !answer["call-id"] || "would-ring" in answer) return null;
  const domain = found[1] === "~" ? request.domain : found[1];
  const user = found[2] === "~" ? request.user : found[2];
  return { domain, user, id: answer["call-id"] };
}

function SendAgain({ request, ask, hrefOf, onMade }) {
  const [error, setError] = useState(null);
  const [answer, setAnswer] = useState(null);
  const send = async () => {
    setAnswer(null);
    const told = await (await ask("POST", `${pathOf(request.id)}/resend`)).json();
    setAnswer(told);
    onMade?.(callOf(request, told));
  };
  const call = answer && callOf(request, answer);
  return html`<div class="row">
      <${Button} kind="main" act=${send} onError=${setError}>Send again as a new call<//>
      <p class="small">With a call-id of its own, and what you may do.</p>
    </div>
    <${ErrorNote} error=${error} />
    ${answer &&
    html`<${Notice}>
      ${call
        ? html`<p>A new call is placed. <a href=${hrefOf(call)}>Open the call</a></p>`
        : html`<p>It was asked again what would ring. Nobody has been dialled.</p>`}
    <//>`}`;
}

/**
 * A request with all that is kept of it, below a heading of `level`. `ask` sends it again, `hrefOf` is where the page of
 * a call is, and `onMade` is told of the call, or `null`.
 */
export function Exchange({ request, level, ask, hrefOf, onMade }) {
  const query = Object.entries(request.query);
  const facts = [
    ["Asked", html`<${Time} at=${request.datetime} />`],
    ["Status", html`<${Status} of=${request.status} />`],
    ["Took", since(request["duration-ms"])],
    ["Operation", request.operation],
    ["Made by", madeBy(request)],
    ["Key", keyOf(request)],
    ["Address", request.address],
    ["User agent", request["user-agent"] || "–"],
    ["Request id", request["request-id"]],
  ];
  const below = `h${level + 1}`;
  return html`<${`h${level}`}>${request.method} ${request.path}<//>
    <${Facts} facts=${facts} />
    ${query.length > 0 && html`<${below}>Query<//><${Facts} facts=${query} />`}
    ${request.masked &&
    html`<p class="note">Telephone numbers are masked: it was made with a wider scope than yours.</p>`}
    ${request.resendable && html`<${SendAgain} request=${request} ask=${ask} hrefOf=${hrefOf} onMade=${onMade} />`}
    <div class="two">
      <${Part} title="Sent" level=${level + 1} headers=${request.headers} text=${request.body} state=${request["body-state"]} size=${request["body-size"]} />
      <${Part} title="Answered" level=${level + 1} headers=${request["answer-headers"]} text=${request.answer} state=${request["answer-state"]} size=${request["answer-size"]} />
    </div>`;
}
