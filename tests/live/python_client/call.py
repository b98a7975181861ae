"""Places a call with the client that openapi-python-client made of a server's own document, follows it, ends it.

`python call.py FOLDER URL KEY DOMAIN CALL_ID`; FOLDER holds the generated package `ringbridge_client`. Run by
`tests/live/test_generated_clients.py` with an interpreter that knows nothing of Ringbridge.
"""

import importlib
import sys
import time

_, folder, url, key, domain, call_id = sys.argv
sys.path.insert(0, folder)

client = importlib.import_module("ringbridge_client").AuthenticatedClient(base_url=url, token=key)
make_call, read_call, end_call = (
    importlib.import_module(f"ringbridge_client.api.calls.{name}") for name in ("make_call", "read_call", "end_call")
)
models = importlib.import_module("ringbridge_client.models")


def until_state(state: str) -> None:
    """Return once the call is in this state, as the generated model tells it."""
    for _ in range(200):
        read = read_call.sync(domain, "1001", call_id, client=client)
        if isinstance(read, models.CallView) and read.call_state == state:
            sys.stdout.write(f"{state}\n")
            return
        time.sleep(0.05)
    sys.exit(f"not {state}")


body = models.CallRequest.from_dict({"call-id": call_id, "call-term-user": "1002", "synchronous": "yes"})
placed = make_call.sync(domain, "1001", client=client, body=body)
if not isinstance(placed, models.CallView):
    sys.exit(f"not placed: {placed}")
sys.stdout.write(f"placed {placed.call_id}\n")
until_state("connected")
end_call.sync_detailed(domain, "1001", call_id, client=client)
until_state("ended")
