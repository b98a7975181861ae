"""Who acts through a token, and what of theirs has to stay good (RFC 8693 §4.1)."""

from __future__ import annotations

import msgspec


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """An API key (`key_id`), or a user by a token: `jti` names the token, `sid` its login, `epoch` the credential's."""

    sub: str
    jti: str = ""
    sid: str = ""
    epoch: int = 0
    key_id: str = ""
