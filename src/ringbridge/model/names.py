"""What names look like, wherever they come from (contract §1 "Path patterns", §3 "Body of POST"); numbers: `numbers`.

Everything that can reach a SIP message or a bus subject passes one of these first.
"""

from __future__ import annotations

import re
from typing import Final

DOMAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
NEW_DOMAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
"""Of a domain that is made now: no SIP URI can have a host that begins with `-` or `.`; older ones stay readable."""
USER: Final = re.compile(r"[A-Za-z0-9._-]{1,16}")
DEVICE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
CALL_ID: Final = re.compile(r"[A-Za-z0-9._@:+=-]{1,128}")
NO_CALL_ID: Final = frozenset({".", "..", "count"})
"""Deviates: contract §3 takes them. A call of that name could be neither read nor ended: clients remove `.` and `..`
from a path (RFC 3986 §5.2.4), and `…/calls/count` is the count."""
CALL_NAME: Final = re.compile(r"[!-.0-~]{1,255}")
"""Whatever names a call in a path: the application's id, a session id, or a SIP Call-ID (`word [ "@" word ]`)."""
SUBSCRIPTION_ID: Final = re.compile(r"[A-Za-z0-9]{1,64}")
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no text of ours may hold: control characters, line separators, halves of surrogate pairs."""
TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 §5.6.2, and RFC 3261 §25.1 but for `#`, `$`, `&`, `^` and `|`."""
