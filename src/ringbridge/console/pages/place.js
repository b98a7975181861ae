// Placing a call, or only asking what would ring.
import { ask, list, newCallId, paths } from "../api.js";
import { html, useEffect, useState } from "../core.js";
import { Button, Check, Empty, ErrorNote, Field, Notice, sentence } from "../parts.js";

const SIDES = { origination: "First leg", termination: "Second leg" };

/** Users of a domain who can place calls: for whoever rules over them. */
function useUsers(me, domain) {
  const [users, setUsers] = useState([]);
  useEffect(() => {
    if (me.level === "user") return;
    list(`${paths.domain(domain)}/users`, { limit: 1000 }).then(
      ({ items }) => setUsers(items),
      () => setUsers([]),
    );
  }, [domain]);
  return users;
}

function nameOfUser(user) {
  const name = [user["name-first-name"], user["name-last-name"]].filter(Boolean).join(" ");
  return name ? `${user.user}, ${name}` : user.user;
}

function Explained({ leg }) {
  const rule = leg.dialrule ? `${leg.dialrule} (${leg["dial-rule-application"]})` : "none: it is one of this domain";
  return html`<div class="explained">
    <h3>${SIDES[leg.leg] ?? leg.leg}</h3>
    <dl class="facts">
      <div>
        <dt>Rings</dt>
        <dd>
          ${leg.rings.length === 0
            ? "nothing"
            : html`<ul>${leg.rings.map((one) => html`<li>${one.target} <span class="small">at ${one["sent-to"]}</span></li>`)}</ul>`}
        </dd>
      </div>
      <div><dt>Shows</dt><dd>${[leg["caller-id-name"], leg["caller-id-number"]].filter(Boolean).join(" · ") || "no caller ID"}</dd></div>
      <div><dt>Dial rule</dt><dd>${rule}</dd></div>
      ${leg.connection && html`<div><dt>Through</dt><dd>${leg.connection}</dd></div>`}
      ${leg.headers.length > 0 && html`<div><dt>Headers</dt><dd>${leg.headers.map((one) => html`<code>${one}</code> `)}</dd></div>`}
      ${leg["auto-answer"] === "yes" && html`<div><dt>Answers</dt><dd>by itself, where the phone can</dd></div>`}
    </dl>
  </div>`;
}

function Explanation({ told }) {
  const rings = told["would-ring"] === "yes";
  return html`<section aria-label="What would happen">
    <${Notice} kind=${rings ? "good" : "bad"}>
      <p>${rings ? "This would ring. Nothing has been dialled." : "This would ring nobody:"}</p>
      ${told.reasons.length > 0 &&
      html`<ul>${told.reasons.map((one) => html`<li>${one.field && html`<code>${one.field}</code>: `}${sentence(one.message)}</li>`)}</ul>`}
    <//>
    <div class="two"><${Explained} leg=${told.origination} /><${Explained} leg=${told.termination} /></div>
  </section>`;
}

export function PlacePage({ me, domain }) {
  const users = useUsers(me, domain);
  const [user, setUser] = useState(me.level === "user" || me.user !== "*" ? me.user : "");
  const [to, setTo] = useState("");
  const [from, setFrom] = useState("");
  const [callerId, setCallerId] = useState("");
  const [callbackId, setCallbackId] = useState("");
  const [autoAnswer, setAutoAnswer] = useState(false);
  const [error, setError] = useState(null);
  const [told, setTold] = useState(null);
  const known = users.some((one) => one.user === user) ? user : users[0]?.user ?? user;
  const placer = me.level === "user" ? me.user : known;

  const body = () => ({
    "call-term-user": to.trim(),
    ...(from.trim() && { "call-orig-user": from.trim() }),
    ...(callerId.trim() && { "caller-id-number": callerId.trim() }),
    ...(callbackId.trim() && { "callback-caller-id-number": callbackId.trim() }),
    ...(autoAnswer && { "auto-answer-enabled": "yes" }),
  });
  const calls = `${paths.user(domain, placer)}/calls`;
  const explain = async () => {
    setTold(null);
    const answer = await ask("POST", calls, { body: body(), query: { "dry-run": "yes" } });
    setTold(await answer.json());
  };
  const place = async () => {
    setTold(null);
    const callId = newCallId();
    await ask("POST", calls, { body: { "call-id": callId, ...body() } });
    location.hash = `#/call/${[domain, placer, callId].map(encodeURIComponent).join("/")}`;
  };

  if (me.level !== "user" && users.length === 0 && !placer) {
    return html`<h1>Place a call</h1>
      <${Empty} title="No users in ${domain}."><p>A call is placed for a user: make one by the API or <code>ringbridge apply</code>.</p><//>`;
  }
  return html`<h1>Place a call</h1>
    <p>The first leg rings first: your own phones, unless you say another. When it answers, the destination rings, and both are joined.</p>
    <form class="narrow" onSubmit=${(event) => event.preventDefault()}>
      ${me.level !== "user" &&
      html`<${Field} label="For the user" value=${placer} onValue=${setUser} options=${users.map((one) => [one.user, nameOfUser(one)])} />`}
      <${Field} label="Destination" value=${to} onValue=${setTo} hint="An extension, or a number in any way of writing it" inputmode="tel" required />
      <details>
        <summary>More</summary>
        <${Field} label="First leg" value=${from} onValue=${setFrom} hint="A device, a user or a number; empty rings all phones of the user" />
        <${Field} label="Caller ID for the destination" value=${callerId} onValue=${setCallerId} hint="Empty: the user's own" inputmode="tel" />
        <${Field} label="Caller ID for the first leg" value=${callbackId} onValue=${setCallbackId} hint="Empty: the user's own" inputmode="tel" />
        <${Check} label="Let the first leg answer by itself" checked=${autoAnswer} onChecked=${setAutoAnswer} />
      </details>
      <div class="row">
        <${Button} type="submit" kind="main" act=${place} onError=${setError} disabled=${!to.trim()}>Call<//>
        <${Button} act=${explain} onError=${setError} disabled=${!to.trim()}>Only explain<//>
      </div>
    </form>
    <${ErrorNote} error=${error} />
    ${told && !error && html`<${Explanation} told=${told} />`}`;
}
