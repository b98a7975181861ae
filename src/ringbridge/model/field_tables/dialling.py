"""Fields of phone numbers and dial rules, by every name of their schemas in the contract."""

from __future__ import annotations

from typing import Final

from ringbridge.model.dial_patterns import EXAMPLE, check_pattern
from ringbridge.model.dial_times import check_date, check_days, check_time
from ringbridge.model.field_tables import checks
from ringbridge.model.fields import Field, Form, Role

YES_NO, DATE_TIME = Form.YES_NO, Form.DATE_TIME
NAME = Role.NAME

APPLICATIONS: Final = (
    "available-number",
    "hangup",
    "spam-screening",
    "to-callqueue",
    "to-callqueue-announce-count-callers-ahead",
    "to-callqueue-announce-expected-wait-time",
    "to-connection",
    "to-connection-add-header",
    "to-connection-add-header-force-caller-id",
    "to-connection-add-header-no-timeout",
    "to-connection-block-caller-id",
    "to-connection-no-timeout",
    "to-connection-or-user-no-failover",
    "to-single-device",
    "to-single-device-add-header",
    "to-single-device-add-header-allow-voicemail",
    "to-single-device-add-header-allow-voicemail-residential",
    "to-user",
    "to-user-add-header",
    "to-user-answer-and-fake-ringback",
    "to-user-notify-of-recording",
    "to-user-residential",
    "to-user-residential-add-header",
    "to-voicemail",
    "to-voicemail-residential",
)
"""Schema `DialruleApplication`."""

PHONE_NUMBER_FIELDS: Final = (
    Field(
        "phonenumber",
        role=NAME,
        required=True,
        description="The number, in digits.",
        check=checks.digits,
        plain=checks.bare_number,
        max_length=32,
        is_searched=True,
        example="4570102030",
    ),
    Field("enabled", YES_NO, default="yes", description="`no`: calls to it are refused."),
    Field("domain", role=NAME),
    Field(
        "dial-rule-application",
        description="What is done with a call to it.",
        enum=APPLICATIONS,
        default="to-user",
        is_searched=True,
    ),
    Field("dial-rule-parameter", description="What the application needs: a connection, a device.", is_searched=True),
    Field(
        "dial-rule-translation-destination-user",
        required=True,
        always=True,
        description="Who is rung.",
        is_searched=True,
        example="1001",
    ),
    Field("dial-rule-translation-destination-host", default="[*]"),
    Field("dial-rule-translation-source-name", default="[*]"),
    Field("dial-rule-description"),
    Field(
        "user",
        description="Who owns the number; empty: the whole domain (ours).",
        check=checks.user,
        max_length=16,
        is_searched=True,
        example="1001",
    ),
)

DIAL_RULE_FIELDS: Final = (
    Field("domain", role=NAME),
    Field(
        "dial-rule-dial-plan",
        role=NAME,
        description="The dial plan that the rule is in.",
        check=checks.plan,
        max_length=64,
        pattern=checks.DOMAIN_PATTERN,
        example="acme.example",
    ),
    Field(
        "dail-rule-matching-to-uri",
        required=True,
        always=True,
        description="Which destinations it is for: digits, X 0-9, N 2-9, Z 1-9, ? one character, * the rest.",
        check=check_pattern,
        is_searched=True,
        example=EXAMPLE,
    ),
    Field(
        "dialrule",
        role=NAME,
        description="The rule's name in its plan; empty: its `dail-rule-matching-to-uri`.",
        check=checks.segment,
        max_length=128,
        is_searched=True,
        example="long-distance",
    ),
    Field("enabled", YES_NO, default="yes", description="`no`: the rule is passed over."),
    Field("dail-rule-matching-from-uri", default="*", description="Which callers it is for.", check=check_pattern),
    Field("dial-rule-matching-day-of-week", default="*", check=check_days),
    Field("dial-rule-matching-start-date", DATE_TIME, check=check_date),
    Field("dial-rule-matching-end-date", DATE_TIME, check=check_date),
    Field("dial-rule-matching-start-time", default="*", check=check_time),
    Field("dial-rule-matching-end-time", default="*", check=check_time),
    Field(
        "dial-rule-application",
        description="What is done with the call.",
        enum=APPLICATIONS,
        default="to-user",
        is_searched=True,
    ),
    Field("dial-rule-parameter", description="What the application needs: a connection, a device.", is_searched=True),
    Field(
        "dial-rule-translation-destination-scheme",
        default="[*]",
        enum=(
            "[*]",
            "sip:",
            "<Null>",
        ),
    ),
    Field(
        "dial-rule-translation-destination-user",
        required=True,
        always=True,
        description="Who is rung; `[*]` is what the wildcard matched.",
        default="[*]",
        example="[*]",
    ),
    Field("dial-rule-translation-destination-host", default="[*]"),
    Field("dial-rule-translation-source-name", default="[*]"),
    Field(
        "dial-rule-translation-source-scheme",
        default="[*]",
        enum=(
            "[*]",
            "sip:",
            "<Null>",
        ),
    ),
    Field("dial-rule-translation-source-user", default="[*]"),
    Field("dial-rule-translation-source-host", default="[*]"),
    Field("dial-rule-description"),
)
