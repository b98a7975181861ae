// The frame around all pages: who is logged in, where one is, and what can be gone to.
import { ask, list } from "./api.js";
import { createStore, html, render, useEffect, useLayoutEffect, useRef, useState, useStore } from "./core.js";
import { liveState, start } from "./events.js";
import { CallPage } from "./pages/call.js";
import { CallsPage } from "./pages/calls.js";
import { DevicesPage } from "./pages/devices.js";
import { HistoryPage } from "./pages/history.js";
import { KeysPage } from "./pages/keys.js";
import { LoginPage } from "./pages/login.js";
import { PlacePage } from "./pages/place.js";
import { RequestsPage } from "./pages/requests.js";
import { SubscriptionsPage } from "./pages/subscriptions.js";
import { Empty } from "./parts.js";
import { logOut, session, settings } from "./session.js";

const PAGES = [
  { name: "calls", title: "Live calls", page: CallsPage },
  { name: "place", title: "Place a call", page: PlacePage, needsDomain: true },
  { name: "devices", title: "Devices", page: DevicesPage, needsDomain: true },
  { name: "history", title: "History", page: HistoryPage, needsDomain: true },
  { name: "keys", title: "API keys", page: KeysPage },
  { name: "requests", title: "Requests", page: RequestsPage },
  { name: "events", title: "Events", page: SubscriptionsPage },
];
const LIVE = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  paused: "Paused",
};

/** The domain that somebody who rules over several looks at; empty for all. */
const chosenDomain = createStore("");

function route() {
  const [, name = "", ...rest] = location.hash.split("/").map(decodeURIComponent);
  return { name: name || "calls", rest };
}

function useRoute() {
  const [now, setNow] = useState(route);
  useEffect(() => {
    const change = () => setNow(route());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return now;
}

function LiveMark() {
  const state = useStore(liveState);
  return html`<span class="live-mark ${state}" role="status">
    <span class="dot" aria-hidden="true"></span>${LIVE[state]}
  </span>`;
}

function DomainChoice() {
  const chosen = useStore(chosenDomain);
  const [domains, setDomains] = useState([]);
  useEffect(() => {
    list("/ns-api/v2/domains", { limit: 1000 }).then(
      ({ items }) => setDomains(items.map((one) => one.domain)),
      () => setDomains([]),
    );
  }, []);
  return html`<label class="domain-choice">
    <span>Domain</span>
    <select value=${chosen} onInput=${(event) => chosenDomain.set(event.target.value)}>
      <option value="">All domains</option>
      ${domains.map((one) => html`<option value=${one} selected=${one === chosen}>${one}</option>`)}
    </select>
  </label>`;
}

function Frame({ me, now, children }) {
  const isWide = me.level === "super" || me.level === "reseller";
  return html`<a class="skip" href="#main" onClick=${skip}>To the content</a>
    <header class="bar">
      <a class="brand" href="#/calls"><img src="icon.svg" alt="" width="24" height="24" />Ringbridge</a>
      <nav aria-label="Pages">
        <ul>
          ${PAGES.map(({ name, title }) => {
            const isHere = name === now.name || (name === "calls" && now.name === "call");
            return html`<li><a href=${`#/${name}`} aria-current=${isHere ? "page" : undefined}>${title}</a></li>`;
          })}
        </ul>
      </nav>
      <div class="who">
        <${LiveMark} />
        ${isWide && html`<${DomainChoice} />`}
        <span class="name" title=${`${me.name} ${me.uid}`}><span>${me.name}</span><span class="scope">${me.scope}</span></span>
        <button type="button" class="button small" onClick=${logOut}>Log out</button>
      </div>
    </header>
    <main id="main" tabindex="-1">${children}</main>
    <footer><span>Ringbridge ${settings.version}</span></footer>`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Page({ me, now }) {
  const domain = useStore(chosenDomain) || (me.level === "user" || me.level === "domain" ? me.domain : "");
  if (now.name === "call" && now.rest.length === 3) {
    const [callDomain, user, callId] = now.rest;
    return html`<${CallPage} key=${now.rest.join("/")} me=${me} domain=${callDomain} user=${user} callId=${callId} />`;
  }
  const found = PAGES.find(({ name }) => name === now.name);
  if (!found) return html`<h1>Not found</h1><p>There is no such page. <a href="#/calls">To the live calls</a></p>`;
  if (found.needsDomain && !domain) {
    return html`<h1>${found.title}</h1>
      <${Empty} title="Which domain?"><p>You rule over several. Choose one at the top of the page.</p><//>`;
  }
  return html`<${found.page} key=${`${found.name} ${domain}`} me=${me} domain=${domain} query=${now.rest} />`;
}

function App() {
  const current = useStore(session);
  const now = useRoute();
  const isFirst = useRef(true);
  const isIn = current !== null;
  const token = isIn ? current.me.uid + current.me.name : "";
  useEffect(() => (isIn ? start(ask) : undefined), [token]);
  useEffect(() => {
    if (!isIn) chosenDomain.set("");
  }, [isIn]);
  const where = isIn ? `${now.name}/${now.rest.join("/")}` : "login";
  useLayoutEffect(() => {
    const title = document.querySelector("h1")?.textContent ?? "Console";
    document.title = `${title} · Ringbridge`;
    // Whoever listens to the page hears that it is another one.
    if (!isFirst.current) {
      window.scrollTo(0, 0);
      document.getElementById("main")?.focus({ preventScroll: true });
    }
    isFirst.current = false;
  }, [where]);
  if (!isIn) return html`<${LoginPage} />`;
  return html`<${Frame} me=${current.me} now=${now}><${Page} me=${current.me} now=${now} /><//>`;
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
