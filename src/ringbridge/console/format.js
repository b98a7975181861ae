// How times, lengths of time and names are written.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

/** A time of the API (RFC 3339, or the legacy `YYYY-MM-DD HH:MM:SS` in UTC) in milliseconds; 0 for none. */
export function instant(text) {
  if (!text) return 0;
  const iso = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text) ? `${text.replace(" ", "T")}Z` : text;
  return Date.parse(iso) || 0;
}

/** The time of day here, with the date where that is not today. */
export function when(text) {
  const at = instant(text);
  if (!at) return "";
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
}

/** Seconds as `0:07`, `12:30` or `1:02:03`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Milliseconds since the call was asked for. */
export function since(ms) {
  return ms < 10_000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A release cause in one line, as the API's ladder has it. */
export function causeText(cause) {
  if (!cause) return "";
  const status = cause["sip-status"] ? `${cause["sip-status"]} ` : "";
  return `${cause.result} (${status}${cause.reason})`;
}

export const STATES = {
  requested: "Requested",
  claimed: "Starting",
  "orig-ringing": "First leg rings",
  "orig-answered": "First leg answered",
  "term-ringing": "Second leg rings",
  connected: "Connected",
  held: "On hold",
  ended: "Ended",
};
