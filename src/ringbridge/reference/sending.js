// Sends what *Try It!* asks for, and notices what was asked and the calls among it.
import { createStore } from "../console/core.js";
import { BASE } from "../console/http.js";
import { operationOf } from "./document.js";
import { withFreshId } from "./fresh.js";

const CALLS = /\/ns-api\/v2\/domains\/[^/]+\/users\/[^/]*\/calls\/?$/;

/** The call that the last request made, `{ id, path, token, isReplayed }`; `null` if it made none. */
export const latestCall = createStore(null);

/** What was answered last: `{ operation }`, a new one each time. */
export const latestAnswer = createStore({ operation: "" });

/** Where the console shows a call. */
export const callHref = ({ domain, user, id }) =>
  new URL(`console/#/call/${[domain, user, id].map(encodeURIComponent).join("/")}`, BASE).href;

/** Shows a call as if it had just been made by *Try It!*. */
export function showCall({ domain, user, id }, token) {
  const path = `/ns-api/v2/domains/${[domain, "users", user, "calls", id].map(encodeURIComponent).join("/")}`;
  latestCall.set({ id, path, token, isReplayed: false });
}

/** `fetch`, for the component. */
export async function send(input, init) {
  let request = new Request(input, init);
  const { pathname, searchParams } = new URL(request.url);
  const isCall = request.method === "POST" && CALLS.test(pathname) && searchParams.get("dry-run") !== "yes";
  if (isCall) request = await withFreshId(request);
  latestCall.set(null);
  const answer = await fetch(request, { credentials: "omit" });
  if (isCall && answer.ok) {
    const told = await answer.clone().json();
    latestCall.set({
      id: told["call-id"],
      path: `${CALLS.exec(pathname)[0].replace(/\/$/, "")}/${encodeURIComponent(told["call-id"])}`,
      token: (request.headers.get("authorization") ?? "").replace(/^bearer +/i, ""),
      isReplayed: answer.headers.get("idempotent-replayed") === "true",
    });
  }
  latestAnswer.set({ operation: operationOf(request.method, pathname) });
  return answer;
}
