// One request to the API, and what it says when it refuses.

/** Where the API is: the console is served beside it. */
export const BASE = new URL("..", document.baseURI);

/** A link of the API's as this page reaches it: a proxy may have another name or path for the server than it knows. */
export function here(link) {
  const { pathname, search } = new URL(link, BASE);
  return new URL(pathname.slice(1) + search, BASE).href;
}

/** What went wrong, in the API's own words. `status` is 0 where no answer came. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body.message);
    this.status = status;
    this.faults = body.errors ?? [];
    this.requestId = body["request-id"] ?? "";
  }

  get code() {
    return this.faults[0]?.code ?? "";
  }
}

/** Sends a request; returns the answer if it is a success, else throws `ApiError`. */
export async function send(method, path, { token, body, query, headers = {}, signal } = {}) {
  const url = new URL(path.replace(/^\//, ""), BASE);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  const sent = { accept: "application/json", ...headers };
  if (token) sent.authorization = `Bearer ${token}`;
  if (body !== undefined) sent["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server cannot be reached. Is it running, and is this machine online?" });
  }
  if (answer.ok) return answer;
  let told;
  try {
    told = await answer.json();
  } catch {
    told = { message: `The server answered ${answer.status} ${answer.statusText}` };
  }
  throw new ApiError(answer.status, told);
}
