// The API as the logged-in user asks it, and where things are in it.
import { send } from "./http.js";
import { goodToken, isOver, session } from "./session.js";

/** Sends a request with the session's token, refreshed where that is due. Throws `ApiError`. */
export async function ask(method, path, options = {}) {
  let token;
  try {
    token = await goodToken();
    return await send(method, path, { ...options, token });
  } catch (error) {
    if (error.status !== 401) throw error;
    try {
      const fresh = await goodToken({ renew: true });
      if (fresh !== token) return await send(method, path, { ...options, token: fresh });
    } catch (again) {
      if (again.status !== 401 && again.status !== 403) throw again;
    }
    if (session.get() !== null) isOver(error);
    throw error;
  }
}

/** The JSON of an answer. */
export async function read(path, query, options) {
  return (await ask("GET", path, { query, ...options })).json();
}

/** One page of a list: its `items`, and the `total` where the API tells it. */
export async function list(path, query) {
  const answer = await ask("GET", path, { query });
  const total = answer.headers.get("x-total-count");
  return { items: await answer.json(), total: total === null ? null : Number(total) };
}

const part = encodeURIComponent;

export const paths = {
  domain: (domain) => `/ns-api/v2/domains/${part(domain)}`,
  user: (domain, user) => `/ns-api/v2/domains/${part(domain)}/users/${part(user)}`,
  call: (domain, user, callId) => `/ns-api/v2/domains/${part(domain)}/users/${part(user)}/calls/${part(callId)}`,

  /** The live calls that somebody sees. */
  calls(me) {
    if (me.level === "user") return `${this.user(me.domain, me.user)}/calls`;
    return me.level === "domain" ? `${this.domain(me.domain)}/calls` : "/ns-api/v2/calls";
  },

  /** The history of somebody's own calls, or of a domain's. */
  cdrs(me, domain) {
    return me.level === "user" ? `${this.user(me.domain, me.user)}/cdrs` : `${this.domain(domain)}/cdrs`;
  },
};

/** A name for a call that nobody else has. */
export function newCallId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `console-${Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("")}`;
}
