"""Fields of answer rules, by every name of their schemas in the contract."""

from __future__ import annotations

from typing import Final

from ringbridge.model.field_tables import checks
from ringbridge.model.fields import Field, Form, Role

YES_NO, WHOLE, TRUTH, JSON = Form.YES_NO, Form.WHOLE, Form.TRUTH, Form.JSON
NAME, LIVE = Role.NAME, Role.LIVE

ANSWER_RULE_FIELDS: Final = (
    Field("domain", role=NAME),
    Field("user", role=NAME),
    Field(
        "time-frame",
        role=NAME,
        required=True,
        description="When the rule holds; `*` is always.",
        check=checks.time_frame,
        max_length=64,
        example="Default",
    ),
    Field("enabled", YES_NO, required=True, always=True, default="yes", description="`no`: the rule is passed over."),
    Field(
        "is-active",
        TRUTH,
        required=True,
        always=True,
        default="yes",
        description="Whether the rule holds now, as its maker says.",
    ),
    Field("order", WHOLE, default="99", description="Rules are tried by it, lowest first."),
    Field("simultaneous-ring", JSON, check=checks.feature),
    Field("do-not-disturb", JSON, check=checks.feature),
    Field("forward-always", JSON, check=checks.feature),
    Field("forward-on-active", JSON, check=checks.feature),
    Field("forward-on-busy", JSON, check=checks.feature),
    Field("forward-no-answer", JSON, check=checks.feature),
    Field("forward-when-unregistered", JSON, check=checks.feature),
    Field("forward-on-dnd", JSON, check=checks.feature),
    Field("forward-on-spam-call", JSON, check=checks.feature),
    Field("call-screening", JSON, check=checks.feature),
    Field("phone-numbers-to-allow", JSON, check=checks.feature),
    Field(
        "new-position",
        enum=(
            "top",
            "bottom",
        ),
        description="Where the rule goes when it is written.",
    ),
    Field("phone-numbers-to-reject", JSON, check=checks.feature),
    Field("time_range_data", JSON, role=LIVE),
)
