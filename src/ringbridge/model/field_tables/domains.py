"""Fields of domains, by every name of their schemas in the contract."""

from __future__ import annotations

from typing import Final

from ringbridge.model.dial_policy import check_countries, check_country
from ringbridge.model.field_tables import checks
from ringbridge.model.fields import Field, Form, Role
from ringbridge.model.rates import check_amount

YES_NO, WHOLE, DIGITS, JSON = Form.YES_NO, Form.WHOLE, Form.DIGITS, Form.JSON
NAME, LIVE, SECRET = Role.NAME, Role.LIVE, Role.SECRET

DOMAIN_FIELDS: Final = (
    Field(
        "domain",
        role=NAME,
        required=True,
        description="The tenant's name.",
        check=checks.domain,
        max_length=64,
        pattern=checks.NEW_DOMAIN_PATTERN,
        is_searched=True,
        example="acme.example",
    ),
    Field(
        "reseller",
        required=True,
        always=True,
        description="The reseller that the domain belongs to.",
        max_length=64,
        is_searched=True,
        example="acme",
    ),
    Field("description", always=True, description="For people.", is_searched=True, example="Acme, Inc."),
    Field("music-on-hold-enabled", YES_NO),
    Field("music-on-ring-enabled", YES_NO),
    Field("music-on-hold-randomized-enabled", YES_NO),
    Field(
        "domain-type",
        enum=(
            "Standard",
            "Residential",
            "Hospitality",
        ),
    ),
    Field("dial-plan", description="Dial plan of users who name none; empty: the domain's own name.", max_length=64),
    Field(
        "dial-policy",
        description="Who may dial what, for users who name none: internal, national or international (the default); "
        "any other permits nothing outside the domain.",
        max_length=64,
    ),
    Field(
        "home-country",
        description="ISO code of the country in which the domain's numbers are dialled (ours).",
        check=check_country,
        max_length=2,
        example="DK",
    ),
    Field(
        "allowed-countries",
        description="Where users may call: a comma list of ISO codes, +digits, * for all but what is dear, and "
        "premium; empty: as the operator says (ours).",
        check=check_countries,
        example="DK, SE, +881",
    ),
    Field(
        "verified-caller-ids",
        description="A comma list of numbers of others that users may show as theirs (ours).",
        check=checks.numbers,
        example="4570101099",
    ),
    Field("email-send-from-address"),
    Field("single-sign-on-enabled", YES_NO),
    Field("area-code", DIGITS, description="Of users who have none of their own."),
    Field("caller-id-name", description="Caller ID of users who have none."),
    Field(
        "caller-id-number",
        DIGITS,
        description="Caller ID of users who have none.",
        check=checks.number,
        allowed=checks.NUMBER_ALLOWED,
        example="4570101010",
    ),
    Field("caller-id-number-emergency", DIGITS, check=checks.number, allowed=checks.NUMBER_ALLOWED),
    Field("limits-max-subcriber-resources-total", WHOLE),
    Field("limits-max-active-calls-total", WHOLE, description="Most calls at once; empty or 0: no limit."),
    Field(
        "limits-max-active-calls-offnet",
        WHOLE,
        description="Most calls at once that leave the domain; empty or 0: no limit.",
    ),
    Field("limits-max-calls-per-minute", WHOLE, description="Most calls in a minute; empty or 0: no limit (ours)."),
    Field(
        "limits-max-spend-per-month",
        description="What calls of a calendar month may cost by the rate table; empty: no cap (ours).",
        check=check_amount,
        max_length=16,
        example="25.00",
    ),
    Field("limits-max-call-queues", WHOLE),
    Field("limits-max-auto-attendants", WHOLE),
    Field("limits-max-conferences", WHOLE),
    Field("limits-max-departments", WHOLE),
    Field("limits-max-users", WHOLE),
    Field("limits-max-sites", WHOLE),
    Field("limits-max-fax-accounts", WHOLE),
    Field(
        "time-zone",
        description="What times of day mean: an IANA time zone; Etc/GMT is UTC.",
        check=checks.time_zone,
        default="Etc/GMT",
        example="Europe/Copenhagen",
    ),
    Field("email-send-smtp-hostname"),
    Field("email-send-smtp-port"),
    Field("email-send-smtp-username"),
    Field("email-send-smtp-password", role=SECRET),
    Field("active-calls-total-current", WHOLE, role=LIVE),
    Field("active-calls-against-license-count", WHOLE, role=LIVE),
    Field("active-calls-offnet-current", WHOLE, role=LIVE),
    Field("count-subcriber-resources-total", WHOLE, role=LIVE),
    Field("emergency-address-id"),
    Field("voicemail-enabled", YES_NO),
    Field("recording-configuration", JSON),
    Field(
        "voicemail-transcription-enabled",
        default="no",
        enum=(
            "no",
            "Deepgram",
            "Google",
            "Mutare",
            "Voicebase",
        ),
    ),
    Field("language-token", default="en_US"),
    Field("is-domain-locked", YES_NO),
    Field("is-stir-enabled", YES_NO),
    Field("is-ivr-forward-change-blocked", YES_NO),
)
