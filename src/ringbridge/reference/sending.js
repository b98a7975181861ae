// Sends what *Try It!* asks for, and notices the calls among it.

const CALLS = /\/ns-api\/v2\/domains\/[^/]+\/users\/[^/]*\/calls\/?$/;
const made = new Set();
const used = new Set();
const followers = new Set();

/** The last request: `null`, or the call that it made, `{ id, path, token, isReplayed }`. */
let latest = null;

/** A `call-id` that nobody has used. */
export function freshCallId() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  const id = `docs-${Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("")}`;
  made.add(id);
  return id;
}

export const latestCall = () => latest;

/** Calls `tell` at each request: with the call that it made, or `null`. */
export function followCalls(tell) {
  followers.add(tell);
  return () => followers.delete(tell);
}

function tellAll(call) {
  latest = call;
  for (const tell of [...followers]) tell(call);
}

/**
 * A request whose `call-id` was made here and has been sent before takes a new one, since the same would be the same
 * call and ring nobody. One that a person typed is sent as it is.
 */
async function withFreshId(request) {
  const text = await request.clone().text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    return request;
  }
  const id = body?.["call-id"];
  if (!made.has(id)) return request;
  if (!used.has(id)) {
    used.add(id);
    return request;
  }
  body["call-id"] = freshCallId();
  used.add(body["call-id"]);
  return new Request(request, { body: JSON.stringify(body) });
}

/** `fetch`, for the component. */
export async function send(input, init) {
  let request = new Request(input, init);
  const url = new URL(request.url);
  const isCall = request.method === "POST" && CALLS.test(url.pathname) && url.searchParams.get("dry-run") !== "yes";
  if (isCall) request = await withFreshId(request);
  tellAll(null);
  const answer = await fetch(request, { credentials: "omit" });
  if (isCall && answer.ok) {
    const told = await answer.clone().json();
    tellAll({
      id: told["call-id"],
      path: `${CALLS.exec(url.pathname)[0].replace(/\/$/, "")}/${encodeURIComponent(told["call-id"])}`,
      token: (request.headers.get("authorization") ?? "").replace(/^bearer +/i, ""),
      isReplayed: answer.headers.get("idempotent-replayed") === "true",
    });
  }
  return answer;
}
