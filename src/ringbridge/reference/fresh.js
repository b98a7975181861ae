// Names of calls that this page makes, each of which is used once: the same name again would be the same call.

const made = new Set();
const used = new Set();

/** A `call-id` that nobody has used. */
export function freshCallId() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  const id = `docs-${Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("")}`;
  made.add(id);
  return id;
}

/** The request as it is sent: a `call-id` that was made here and sent before is a new one; one that a person typed stays. */
export async function withFreshId(request) {
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
