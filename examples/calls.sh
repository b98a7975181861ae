#!/usr/bin/env bash
# Requests to a running Ringbridge, one after the other. From the demo:
#   RB_URL=http://127.0.0.1:8480 RB_KEY=nsu_… examples/calls.sh
set -euo pipefail

url=${RB_URL:-http://127.0.0.1:8480}
key=${RB_KEY:?set RB_KEY to an API key of a user}
to=${RB_TO:-1002}
calls=$url/ns-api/v2/domains/~/users/~/calls # ~ is the domain and the user of the key
id=$(uuidgen 2>/dev/null || echo "$RANDOM-$RANDOM-$RANDOM")

request() {
    curl -sS -H "Authorization: Bearer $key" -H 'Content-Type: application/json' "$@"
    echo
}

echo "# Make a call: 202, it is stored and will be rung. Your phone rings first."
request "$calls" -d "{\"call-id\": \"$id\", \"call-term-user\": \"$to\"}"

echo "# The same request again, as after a timeout: the same answer, and nobody is rung again."
request -i "$calls" -d "{\"call-id\": \"$id\", \"call-term-user\": \"$to\"}" | grep -iE '^(HTTP|idempotent)|^\{'

sleep 3
echo "# The call, as it is now."
request "$calls/$id"

echo "# Its steps."
request "$calls/$id/ladder"

echo "# End it."
request -X DELETE "$calls/$id"

sleep 1
echo "# What became of it."
request "$calls/$id/cdr"

echo "# All your calls of the last day, as CSV."
request -H 'Accept: text/csv' "${calls%/calls}/cdrs"
