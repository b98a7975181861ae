// Phones, and whether each is registered now.
import { list, paths } from "../api.js";
import { html, useLoad, useState } from "../core.js";
import { Empty, Loaded, Pager, Table, Time } from "../parts.js";

const USERS_AT_ONCE = 20; // each costs a request for its devices

async function devicesOf(domain, users) {
  const found = await Promise.all(users.map((user) => list(`${paths.user(domain, user)}/devices`, { limit: 1000 })));
  return found.flatMap(({ items }) => items);
}

function Registered({ device }) {
  const is = device["device-sip-registration-state"] === "registered";
  return html`<span class=${`state ${is ? "connected" : "ended"}`}>${is ? "Registered" : "Not registered"}</span>`;
}

export function DevicesPage({ me, domain }) {
  const [start, setStart] = useState(1);
  const loaded = useLoad(async () => {
    if (me.level === "user") return { devices: await devicesOf(domain, [me.user]), shown: 1, total: 1 };
    const users = await list(`${paths.domain(domain)}/users`, { start, limit: USERS_AT_ONCE });
    const devices = await devicesOf(domain, users.items.map((one) => one.user));
    return { devices, shown: users.items.length, total: users.total };
  }, [domain, start]);
  return html`<div class="heading">
      <h1>Devices</h1>
      <button type="button" class="button" onClick=${loaded.reload}>Look again</button>
    </div>
    <${Loaded} of=${loaded}>
      ${({ devices, shown, total }) => html`${devices.length === 0
          ? html`<${Empty} title="No devices.">
              <p>A device is a phone's account: its name and password let a phone register here. Make one with <code>POST …/users/{user}/devices</code> or <code>ringbridge apply</code>, then enter them in the phone.</p>
            <//>`
          : html`<${Table}
              caption="Devices and whether each is registered"
              rows=${devices}
              rowKey=${(device) => device.device}
              columns=${[
                ["Device", (device) => device.device, "number"],
                ["User", (device) => [device.user, device["name-full-name"]].filter(Boolean).join(", ")],
                ["State", (device) => html`<${Registered} device=${device} />`],
                ["From", (device) => device["device-sip-registration-ip-address"] || html`<span class="none">–</span>`],
                ["Phone", (device) => device["device-sip-registration-user-agent"] || html`<span class="none">–</span>`],
                ["Since", (device) => html`<${Time} at=${device["device-sip-registration-datetime"]} />`],
                ["Until", (device) => html`<${Time} at=${device["device-sip-registration-expires-datetime"]} />`],
              ]}
            />`}
        ${me.level !== "user" && html`<${Pager} start=${start} limit=${USERS_AT_ONCE} shown=${shown} total=${total} onStart=${setStart} />`}`}
    <//>`;
}
