// The credential that was entered: kept for this tab alone, in its sessionStorage, and forgotten with it.
import { createStore } from "../console/core.js";

const KEPT = "ringbridge-reference";
const SETTLED_MS = 200; // after the last key, when the component has taken what was typed

/** The API key or token that requests are sent with; empty if there is none. */
export const credential = createStore(sessionStorage.getItem(KEPT) ?? "");

/** Takes over what is entered in the component's own boxes, which `read` returns. */
export function fromScalar(read) {
  let timer = 0;
  const look = () => {
    const now = read().trim();
    if (now === credential.get()) return;
    if (now) sessionStorage.setItem(KEPT, now);
    else sessionStorage.removeItem(KEPT);
    credential.set(now);
  };
  for (const kind of ["input", "change", "paste", "click", "focusout"]) {
    document.addEventListener(
      kind,
      () => {
        clearTimeout(timer);
        timer = setTimeout(look, SETTLED_MS);
      },
      true,
    );
  }
}
