// Logging in: user and password, a second factor where one is asked for, or an API key.
import { html, useState, useStore } from "../core.js";
import { Button, ErrorNote, Field, Notice } from "../parts.js";
import { farewell, logIn, settings, useKey } from "../session.js";

function WithPassword({ onSecondFactor, onError }) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const submit = async () => {
    const finish = await logIn(username.trim(), password);
    if (finish) onSecondFactor(() => finish);
  };
  return html`<form onSubmit=${(event) => event.preventDefault()}>
    <${Field}
      label="User"
      value=${username}
      onValue=${setUsername}
      hint="user@domain, or your login name"
      autocomplete="username"
      autocapitalize="none"
      spellcheck=${false}
      required
    />
    <${Field}
      label="Password"
      type="password"
      value=${password}
      onValue=${setPassword}
      autocomplete="current-password"
      required
    />
    <${Button} type="submit" kind="main" act=${submit} onError=${onError} disabled=${!username || !password}>Log in<//>
  </form>`;
}

function WithCode({ finish, onBack, onError }) {
  const [code, setCode] = useState("");
  return html`<form onSubmit=${(event) => event.preventDefault()}>
    <${Field}
      label="Code"
      value=${code}
      onValue=${setCode}
      hint="The six digits of your authenticator, or one of your backup codes"
      autocomplete="one-time-code"
      isNext
      required
    />
    <div class="row">
      <${Button} type="submit" kind="main" act=${() => finish(code.trim())} onError=${onError} disabled=${!code}>
        Log in
      <//>
      <button type="button" class="button" onClick=${onBack}>Back</button>
    </div>
  </form>`;
}

function WithKey({ onError }) {
  const [key, setKey] = useState("");
  return html`<form onSubmit=${(event) => event.preventDefault()}>
    <${Field}
      label="API key"
      type="password"
      value=${key}
      onValue=${setKey}
      hint="nsu_… of a user, nsd_… of a domain, nsr_… of a reseller, nss_… of everything"
      spellcheck=${false}
      required
    />
    <${Button} type="submit" kind="main" act=${() => useKey(key.trim())} onError=${onError} disabled=${!key}>
      Use this key
    <//>
  </form>`;
}

export function LoginPage() {
  const hasLogins = settings["client-id"] !== "";
  const [way, setWay] = useState(hasLogins ? "password" : "key");
  const [finish, setFinish] = useState(null);
  const [error, setError] = useState(null);
  const goodbye = useStore(farewell);
  const choose = (next) => {
    setError(null);
    setFinish(null);
    setWay(next);
  };
  return html`<main id="main" class="login" tabindex="-1">
    <h1><img src="icon.svg" alt="" width="32" height="32" />Ringbridge console</h1>
    <p>Watch calls, place them, and see what became of them.</p>
    ${goodbye && html`<${Notice} kind="plain">${goodbye}<//>`}
    ${hasLogins &&
    !finish &&
    html`<div class="ways" role="group" aria-label="How to log in">
      ${[
        ["password", "Password"],
        ["key", "API key"],
      ].map(
        ([name, title]) =>
          html`<button type="button" aria-pressed=${way === name ? "true" : "false"} onClick=${() => choose(name)}>
            ${title}
          </button>`,
      )}
    </div>`}
    <${ErrorNote} error=${error} />
    ${finish && html`<${WithCode} finish=${finish} onBack=${() => choose("password")} onError=${setError} />`}
    ${!finish && way === "password" && html`<${WithPassword} onSecondFactor=${setFinish} onError=${setError} />`}
    ${!finish && way === "key" && html`<${WithKey} onError=${setError} />`}
    <p class="small">What you enter is kept for this tab alone, and goes to this server alone.</p>
  </main>`;
}
