// The reference: Scalar's component over this server's own document, and what it lacks beside it.
import { credential, fromScalar } from "./credential.js";
import { HISTORY, readDocument } from "./document.js";
import { mendAlways } from "./mending.js";
import { send } from "./sending.js";
import "./history.js";
import "./ladder.js";

const SLUG = "ringbridge";
const SCHEME = "bearer";

const plugin = () => ({
  name: "ringbridge",
  extensions: [{ name: HISTORY, component: "ringbridge-history" }],
  apiClientPlugins: ["ringbridge-ladder", "ringbridge-history"].map((component) => ({
    components: { response: { component } },
  })),
  hooks: {
    onInit: ({ auth }) => fromScalar(() => auth.getAuthSecrets(SLUG, SCHEME)?.["x-scalar-secret-token"] ?? ""),
  },
});

mendAlways();
window.Scalar.createApiReference("#reference", {
  slug: SLUG,
  title: "Ringbridge",
  content: await readDocument(),
  plugins: [plugin],
  customFetch: send,
  authentication: { preferredSecurityScheme: SCHEME, securitySchemes: { [SCHEME]: { token: credential.get() } } },
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
