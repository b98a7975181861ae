// What the component leaves out for those who do not see it: names, roles and reach by keyboard, put right as it draws.

const isNamed = (one) => one.textContent.trim() || one.hasAttribute("aria-label") || one.hasAttribute("aria-labelledby");

/** What the row of a form calls its field. */
function fieldOf(one) {
  return one.closest("tr")?.querySelector("[data-placeholder=Key], input")?.textContent.trim() || "field";
}

/** `[selector, mend]`: what is found is looked at each time that the page has changed. */
const MENDED = [
  ["button[aria-controls]", (one) => document.getElementById(one.getAttribute("aria-controls")) || one.removeAttribute("aria-controls")],
  ["button[role=none]", (one) => one.removeAttribute("role")],
  // It opens no list before something is typed, and says nowhere whether it is open.
  ["[role=combobox]:not([aria-expanded])", (one) => one.setAttribute("role", "textbox")],
  [".cm-content[role=textbox]:not([aria-label])", (one) => one.setAttribute("aria-label", "Body")],
  ["button[class*=copy-button]:not([aria-label])", (one) => one.setAttribute("aria-label", "Copy")],
  ["button[aria-haspopup]", (one) => isNamed(one) || one.setAttribute("aria-label", `Value of ${fieldOf(one)}`)],
  [".scalar-card-content.overflow-auto:not([tabindex])", (one) => {
    one.tabIndex = 0;
    one.setAttribute("role", "group");
    one.setAttribute("aria-label", "Example");
  }],
];

let isDue = false;

function mend() {
  isDue = false;
  for (const [selector, mendOne] of MENDED) document.querySelectorAll(selector).forEach(mendOne);
}

/** Begins to mend, for as long as the page is there. */
export function mendAlways() {
  new MutationObserver(() => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(mend);
  }).observe(document.body, {
    childList: true,
    subtree: true,
    attributes: true,
    attributeFilter: ["role", "aria-controls", "aria-haspopup"],
  });
}
