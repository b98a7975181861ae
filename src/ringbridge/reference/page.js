// The reference: Scalar's component over this server's own document, and what it lacks beside it.
import { credential, fromScalar } from "./credential.js";
import { freshCallId, send } from "./sending.js";
import "./ladder.js";

const SLUG = "ringbridge";
const SCHEME = "bearer";
const here = (path) => new URL(path, document.baseURI).href;

const plugin = () => ({
  name: "ringbridge",
  extensions: [],
  apiClientPlugins: [{ components: { response: { component: "ringbridge-ladder" } } }],
  hooks: {
    onInit: ({ auth }) => fromScalar(() => auth.getAuthSecrets(SLUG, SCHEME)?.["x-scalar-secret-token"] ?? ""),
  },
});

const INTRODUCTION = `One request rings one phone and, when it is answered, rings the other and joins the two.

1. Enter an API key (\`ringbridge demo\` prints one) as **Bearer Token**. It stays in this tab, and is forgotten with it.
2. Open **Make a call**, press **Try It!** and then **Send**: the phones ring, and the call is shown as it happens.

The document of this page, for client generators: [openapi.json](../openapi.json), [openapi.yaml](../openapi.yaml).
Live calls, devices, history and keys are in the [console](../console/).`;

async function readDocument() {
  const answer = await fetch(here("../openapi.json"), { credentials: "omit" });
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  const told = await answer.json();
  // A call-id is one call for ever, so each visitor begins with one that nobody has used.
  const paths = Object.values(told.paths).flatMap((path) => Object.values(path));
  for (const operation of paths.filter((one) => one.operationId === "make-call")) {
    for (const media of Object.values(operation.requestBody.content)) media.example["call-id"] = freshCallId();
  }
  told.info.description = INTRODUCTION;
  told.servers = [{ url: here("..").replace(/\/$/, "") }];
  return told;
}

window.Scalar.createApiReference("#reference", {
  slug: SLUG,
  title: "Ringbridge",
  content: await readDocument(),
  plugins: [plugin],
  customFetch: send,
  authentication: { preferredSecurityScheme: SCHEME, securitySchemes: { [SCHEME]: { token: credential() } } },
  persistAuth: false,
  // Nothing of this page asks another host for anything; its content policy would not let it either.
  withDefaultFonts: false,
  telemetry: false,
  proxyUrl: "",
  agent: { disabled: true },
  mcp: { disabled: true },
  externalUrls: { dashboardUrl: "", registryUrl: "", proxyUrl: "", apiBaseUrl: "" },
  hideClientButton: true,
  showDeveloperTools: "never",
  documentDownloadType: "none",
  defaultOpenFirstTag: true,
  defaultRequestBodyView: "form",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
  showOperationId: true,
  localization: { translations: { operation: { testRequest: "Try It!" } } },
});
