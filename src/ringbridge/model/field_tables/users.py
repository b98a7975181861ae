"""Fields of users, by every name of their schemas in the contract."""

from __future__ import annotations

from typing import Final

from ringbridge.model import login_password
from ringbridge.model.field_tables import checks
from ringbridge.model.fields import Field, Form, Role
from ringbridge.model.rates import check_amount

YES_NO, WHOLE, DIGITS, DATE_TIME, JSON = Form.YES_NO, Form.WHOLE, Form.DIGITS, Form.DATE_TIME, Form.JSON
NAME, LIVE, STAMPED = Role.NAME, Role.LIVE, Role.STAMPED

USER_FIELDS: Final = (
    Field("domain", role=NAME),
    Field(
        "user",
        role=NAME,
        required=True,
        description="The extension.",
        check=checks.user,
        max_length=16,
        pattern=checks.USER_PATTERN,
        is_searched=True,
        example="1001",
    ),
    Field("name-first-name", required=True, always=True, description="First name.", is_searched=True, example="Ada"),
    Field("name-last-name", required=True, always=True, description="Last name.", is_searched=True, example="Lovelace"),
    Field(
        "login-username",
        description="What the user logs in as beside user@domain: in any case, and nobody else's in the installation.",
        plain=str.strip,
        is_searched=True,
    ),
    Field(
        login_password.FIELD,
        role=Role.SEALED,
        description="The password that the user logs in with: never read back. A change ends the user's logins; blank "
        "changes nothing (ours).",
        check=login_password.password_fault,
        allowed=login_password.ALLOWED,
        max_length=login_password.MAX_LENGTH,
        pattern=f"^.{{{login_password.MIN_LENGTH},{login_password.MAX_LENGTH}}}$",
    ),
    Field(
        "email-address",
        required=True,
        always=True,
        description="Where mail to the user goes.",
        is_searched=True,
        example="ada@acme.example",
    ),
    Field(
        "user-scope",
        required=True,
        always=True,
        description="What the user may do.",
        enum=checks.SCOPE_NAMES,
        default="Basic User",
        example="Basic User",
    ),
    Field("department", is_searched=True),
    Field("site", is_searched=True),
    Field("time-zone", description="What times of day mean to the user; empty: the domain's.", check=checks.time_zone),
    Field("voicemail-login-pin", DIGITS),
    Field("privacy", YES_NO, default="no"),
    Field("dial-plan", description="Dial plan of the user's calls; empty: the domain's.", max_length=64),
    Field("dial-policy", description="Who the user may dial; empty: the domain's.", max_length=64),
    Field("status-message"),
    Field("user-presence-status"),
    Field("directory-name-number-dtmf-mapping", DIGITS),
    Field("voicemail-user-control-enabled", YES_NO, default="yes"),
    Field("phone-numbers-to-allow-enabled", YES_NO, default="yes"),
    Field("phone-numbers-to-reject-enabled", YES_NO, default="yes"),
    Field("call-screening-enabled", YES_NO, default="yes"),
    Field("ring-no-answer-timeout-seconds", WHOLE, description="How long a call rings the user."),
    Field("language-token", default="en_US"),
    Field("limits-max-data-storage-kilobytes", WHOLE),
    Field(
        "limits-max-active-calls-total", WHOLE, description="Most calls at once; empty or 0: no limit of the user's."
    ),
    Field("limits-max-calls-per-minute", WHOLE, description="Most calls in a minute; empty or 0: no limit (ours)."),
    Field(
        "limits-max-spend-per-month",
        description="What calls of a calendar month may cost by the rate table; empty: no cap (ours).",
        check=check_amount,
        max_length=16,
        example="25.00",
    ),
    Field(
        "verified-caller-ids",
        description="A comma list of numbers of others that the user may show (ours).",
        check=checks.numbers,
        example="4570101099",
    ),
    Field("directory-annouce-in-dial-by-name-enabled", YES_NO, default="yes"),
    Field("directory-override-order-duplicate-dtmf-mapping", WHOLE),
    Field("voicemail-greeting-index", WHOLE),
    Field("voicemail-enabled", YES_NO, default="yes"),
    Field("voicemail-receive-broadcast-enabled", YES_NO, default="yes"),
    Field("reject-anonymous-calls-enabled", YES_NO, default="no"),
    Field("voicemail-playback-announce-datetime-received", YES_NO, default="no"),
    Field("voicemail-playback-announce-caller-id", YES_NO, default="no"),
    Field("voicemail-playback-sort-newest-to-oldest", YES_NO, default="yes"),
    Field("email-send-alert-new-voicemail-cc-list-csv"),
    Field(
        "email-send-alert-new-voicemail-behavior",
        default="no",
        enum=(
            "no",
            "yes",
            "attnew",
            "attsave",
            "atttrash",
            "brief",
            "briefattnew",
            "briefattsave",
            "briefatttrash",
        ),
    ),
    Field("email-send-alert-new-voicemail-enabled", YES_NO, default="no"),
    Field("email-send-alert-new-missed-call-enabled", YES_NO, default="no"),
    Field("email-send-alert-data-storage-limit-reached-enabled", YES_NO, default="no"),
    Field(
        "caller-id-number",
        DIGITS,
        description="Caller ID that the user's calls show.",
        check=checks.number,
        allowed=checks.NUMBER_ALLOWED,
        is_searched=True,
        example="4570101001",
    ),
    Field("caller-id-name", description="Caller ID that the user's calls show."),
    Field("caller-id-number-emergency", DIGITS, check=checks.number, allowed=checks.NUMBER_ALLOWED),
    Field("area-code", DIGITS, description="Put before local numbers, of seven digits."),
    Field("directory-name-visible-in-list-enabled", YES_NO, default="yes"),
    Field("service-code"),
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
    Field("emergency-address-id"),
    Field("call-recordings-hide-from-others-enabled", YES_NO, default="no"),
    Field("music-on-hold-randomized-enabled", YES_NO, default="no"),
    Field("music-on-hold-comfort-message-repeat-interval-seconds", WHOLE),
    Field("active-calls-total-current", WHOLE, role=LIVE, description="Calls of the user that are up now."),
    Field("recording-configuration", JSON),
    Field(
        "account-status",
        enum=(
            "standard",
            "reset",
            "new",
            "pwd reset",
        ),
        description="With any other than `standard` the user cannot log in, and no token of theirs is taken; their "
        "phones and calls go on.",
        default="standard",
    ),
    Field("created-datetime", DATE_TIME, role=STAMPED, description="When the user was made."),
    Field("last-modified-datetime", DATE_TIME, role=STAMPED, description="When the user was last changed."),
)
