// Places a call with the client that openapi-typescript made of a server's own document, follows it and ends it.
import createClient from "openapi-fetch";
import type { paths } from "./generated/api.js";

const { BASE_URL, KEY, DOMAIN, CALL_ID } = process.env as Record<string, string>;
const api = createClient<paths>({ baseUrl: BASE_URL, headers: { Authorization: `Bearer ${KEY}` } });
const user = { domain: DOMAIN, user: "1001" };
const call = { ...user, "call-id": CALL_ID };

function must<T>(what: string, answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${what}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

async function untilState(state: string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const read = await api.GET("/ns-api/v2/domains/{domain}/users/{user}/calls/{call-id}", { params: { path: call } });
    if (must("read", read)["call-state"] === state) {
      console.log(state);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not ${state}`);
}

const placed = must(
  "place",
  await api.POST("/ns-api/v2/domains/{domain}/users/{user}/calls", {
    params: { path: user },
    body: { "call-id": CALL_ID, "call-term-user": "1002", synchronous: "yes" },
  }),
);
console.log(`placed ${placed["call-id"]}`);
await untilState("connected");
must("end", await api.DELETE("/ns-api/v2/domains/{domain}/users/{user}/calls/{call-id}", { params: { path: call } }));
await untilState("ended");
