// Who is logged in. Tokens are kept for this tab alone: in memory, and in its sessionStorage for a reload.
import { createStore } from "./core.js";
import { ApiError, send } from "./http.js";

const KEPT = "ringbridge-console";
const TOKENS = "/ns-api/v2/tokens";
const EARLY_MS = 30_000; // a token that ends within this is refreshed before it is used
const LEVELS = { "Super User": "super", Reseller: "reseller", "Office Manager": "domain" };
const LEVEL_OF_KEY = { nss_: "super", nsr_: "reseller", nsd_: "domain", nsu_: "user" };

/** What this server wants known before a login: `client-id` and `version`. */
export const settings = await fetch("settings.json", { cache: "no-cache" })
  .then((answer) => answer.json())
  .catch(() => ({ "client-id": "ringbridge", version: "" }));

/** `null`, or `{ token, refresh, endsAt, me }`; `endsAt` is 0 for a key. */
export const session = createStore(kept());

/** Why the last session ended, for the login page. */
export const farewell = createStore("");

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

function begin(next) {
  sessionStorage.setItem(KEPT, JSON.stringify(next));
  farewell.set("");
  session.set(next);
}

function end(why) {
  sessionStorage.removeItem(KEPT);
  farewell.set(why);
  session.set(null);
}

/** Who somebody is: what the console shows, and which lists it asks for. */
function whoIs(scope, fields) {
  return { level: LEVELS[scope] ?? "user", scope, ...fields };
}

function fromLogin(answer) {
  const me = whoIs(answer.scope, {
    kind: "login",
    domain: answer.domain,
    user: answer.user,
    name: answer.displayName || answer.uid,
    uid: answer.uid,
  });
  return {
    token: answer.access_token,
    refresh: answer.refresh_token,
    endsAt: Date.now() + answer.expires_in * 1000,
    me,
  };
}

function grant(fields) {
  const body = { client_id: settings["client-id"], client_secret: "", ...fields };
  return send("POST", TOKENS, { body }).then((answer) => answer.json());
}

/**
 * Logs in with user and password. Where a second factor is asked for, returns a function that takes the code; else
 * nothing, and `session` has begun.
 */
export async function logIn(username, password) {
  const answer = await grant({ grant_type: "password", username, password });
  if (answer.scope !== "mfa_required") {
    begin(fromLogin(answer));
    return null;
  }
  return async (passcode) => {
    const login = { username, password, passcode, access_token: answer.access_token };
    begin(fromLogin(await grant({ grant_type: "mfa", ...login })));
  };
}

/** Begins a session with an API key, once the API has taken it. */
export async function useKey(token) {
  const level = LEVEL_OF_KEY[token.slice(0, 4)] ?? "user";
  let key;
  try {
    key = await send("GET", "/ns-api/v2/apikeys/~", { token }).then((answer) => answer.json());
  } catch (error) {
    // A key for other models alone may not read itself; `~` in paths is all that is needed.
    if (error.code !== "model-not-allowed") throw error;
    const me = { kind: "key", level, scope: "", domain: "~", user: level === "user" ? "~" : "*" };
    begin({ token, refresh: "", endsAt: 0, me: { ...me, name: `key ${token.slice(4, 16)}`, uid: "" } });
    return;
  }
  const me = {
    kind: "key",
    level,
    scope: key["user-scope"],
    domain: key.domain,
    user: key.user,
    name: key.description,
    uid: key.user === "*" ? key.domain : `${key.user}@${key.domain}`,
    readonly: key.readonly === "yes",
  };
  begin({ token, refresh: "", endsAt: 0, me });
}

let refreshing = null;

/** A token that is good now; refreshed before it ends, or at once with `renew`. Throws `ApiError` 401 when it is over. */
export async function goodToken({ renew = false } = {}) {
  const now = session.get();
  if (now === null) throw new ApiError(401, { message: "You are not logged in." });
  const isDue = now.endsAt !== 0 && (renew || Date.now() > now.endsAt - EARLY_MS);
  if (!isDue) return now.token;
  // A refresh token is good once: whoever needs a new token meanwhile waits for the same one.
  refreshing ??= grant({ grant_type: "refresh_token", refresh_token: now.refresh })
    .then((answer) => begin(fromLogin(answer)))
    .finally(() => {
      refreshing = null;
    });
  await refreshing;
  return session.get().token;
}

/** Ends the session here because the API no longer takes its token. */
export function isOver(error) {
  end(`You were logged out: ${error.message}.`);
}

/** Logs out: a login is ended at the server too; a key is only forgotten. */
export async function logOut() {
  const now = session.get();
  end("");
  if (now?.me.kind !== "login") return;
  try {
    await send("DELETE", "/ns-api/v2/jwt", { token: now.token });
  } catch {
    // The token is forgotten here and ends by itself.
  }
}
