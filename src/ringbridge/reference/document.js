// The OpenAPI document of this server, made ready for the page, and which of its operations a request is.
import { freshCallId } from "./fresh.js";

/** Marks an operation whose requests are shown below its description: by its name. */
export const HISTORY = "x-ringbridge-history";
const here = (path) => new URL(path, document.baseURI).href;

const INTRODUCTION = `One request rings one phone and, when it is answered, rings the other and joins the two.

1. Enter an API key (\`ringbridge demo\` prints one) as **Bearer Token**. It stays in this tab, and is forgotten with it.
2. Open **Make a call**, press **Try It!** and then **Send**: the phones ring, and the call is shown as it happens.

The document of this page, for client generators: [openapi.json](../openapi.json), [openapi.yaml](../openapi.yaml).
Live calls, devices, history and keys are in the [console](../console/).`;

/** `{ name, method, path, names }` of all operations; of two that a path may be, the one with fewer names comes first. */
let operations = [];

/** Whether the server keeps requests of an operation: those that need a credential, but for reads of what it keeps. */
function isKept(method, operation) {
  const isOpen = operation.security.length === 0 || operation.security.some((one) => Object.keys(one).length === 0);
  return !isOpen && !(method === "get" && operation.tags.includes("Requests"));
}

/** Reads the document. A call-id is one call for ever, so each visitor begins with one that nobody has used. */
export async function readDocument() {
  const answer = await fetch(here("../openapi.json"), { credentials: "omit" });
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  const told = await answer.json();
  operations = [];
  for (const [path, methods] of Object.entries(told.paths)) {
    const pattern = path.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{[^}]+\}/g, "[^/]*");
    for (const [method, operation] of Object.entries(methods)) {
      if (isKept(method, operation)) operation[HISTORY] = operation.operationId;
      if (operation.operationId === "make-call") {
        for (const media of Object.values(operation.requestBody.content)) media.example["call-id"] = freshCallId();
      }
      operations.push({
        name: operation.operationId,
        method: method.toUpperCase(),
        path: new RegExp(`${pattern}/?$`),
        names: path.split("{").length,
      });
    }
  }
  operations.sort((one, other) => one.names - other.names);
  told.info.description = INTRODUCTION;
  told.servers = [{ url: here("..").replace(/\/$/, "") }];
  return told;
}

/** The name of the operation that a request is; empty for none. */
export function operationOf(method, path) {
  return operations.find((one) => one.method === method && one.path.test(path))?.name ?? "";
}
