"""Fields of devices, by every name of their schemas in the contract."""

from __future__ import annotations

from typing import Final

from ringbridge.model.device_password import check_password
from ringbridge.model.field_tables import checks
from ringbridge.model.fields import Field, Form, Role

YES_NO, WHOLE, DECIMAL, DATE_TIME, JSON = (
    Form.YES_NO,
    Form.WHOLE,
    Form.DECIMAL,
    Form.DATE_TIME,
    Form.JSON,
)
NAME, LIVE, SECRET, SEALED = Role.NAME, Role.LIVE, Role.SECRET, Role.SEALED

DEVICE_FIELDS: Final = (
    Field(
        "device",
        role=NAME,
        required=True,
        description="The SIP user part, and the digest user name.",
        check=checks.device,
        max_length=64,
        pattern=checks.DEVICE_PATTERN,
        is_searched=True,
        example="1001_mobile",
    ),
    Field("user", role=NAME),
    Field("domain", role=NAME),
    Field("device-sip-registration-uri", role=LIVE, description="The address-of-record."),
    Field(
        "device-sip-registration-state",
        role=LIVE,
        enum=(
            "registered",
            "unregistered",
        ),
        description="Whether the device is registered now.",
    ),
    Field(
        "device-sip-registration-password",
        role=SEALED,
        check=check_password,
        description="The digest password: never read back; where a create names none, one is made and told once.",
        max_length=128,
    ),
    Field(
        "caller-id-number-emergency",  # text in the schema, as `[*]` is none of digits
        default="[*]",
        check=checks.number_or_wildcard,
        allowed=checks.NUMBER_ALLOWED,
    ),
    Field("device-force-notify-new-voicemails-enabled", YES_NO, default="no"),
    Field("device-level-call-recording-enabled", YES_NO, default="no"),
    Field("device-push-enabled", YES_NO, default="yes"),
    Field("device-sip-registration-contact", role=LIVE, description="Where the device can be reached now."),
    Field("device-sip-registration-core-server", role=LIVE, description="The node that took the registration."),
    Field("device-sip-registration-datetime", DATE_TIME, role=LIVE, description="When the device registered."),
    Field("device-sip-registration-expires-datetime", DATE_TIME, role=LIVE, description="When the registration ends."),
    Field("device-sip-registration-expiry-seconds", WHOLE, default="60"),
    Field("device-sip-registration-ignore-for-presence-calculation", YES_NO, default="no"),
    Field("device-sip-registration-ignore-report-enabled", YES_NO, default="no"),
    Field("device-sip-registration-ip-address", role=LIVE, description="Where the registration came from."),
    Field("device-sip-registration-user-agent", role=LIVE, description="What the device calls itself."),
    Field("device-sip-no-to-tag-in-cancel", YES_NO, default="no"),
    Field(
        "device-srtp-enabled",
        default="no",
        enum=(
            "yes",
            "no",
            "opportunistic",
        ),
        description="`yes`: it is never rung with plain RTP, which is all that calls here have.",
    ),
    Field(
        "auto-answer-enabled",
        YES_NO,
        default="no",
        description="Whether a call's first leg is answered by the phone itself unless the call says otherwise.",
        alias="device-sip-auto-answer-enabled",
    ),
    Field("recording-configuration", JSON),
    Field("device-sip-allowed-user-agent"),
    Field(
        "device-sip-nat-traversal-enabled",
        default="automatic",
        enum=(
            "automatic",
            "none",
            "never",
            "fixed",
        ),
        description="Whether media addresses are learned from packets.",
    ),
    Field("device-sip-latency-seconds-current", DECIMAL, role=LIVE),
    Field("device-sip-latency-seconds-average", DECIMAL, role=LIVE),
    Field("emergency-address-id"),
    Field("error-reading-from-endpoint-module"),
    Field("login-username"),
    Field("name-full-name", role=LIVE, description="Name of the device's user."),
    Field(
        "device-models-model", description="Make and model: what auto-answer headers are chosen by.", is_searched=True
    ),
    Field("device-provisioning-mac-address", is_searched=True),
    Field("device-provisioning-registration-core-server"),
    Field(
        "device-provisioning-sip-transport-protocol",
        default="udp",
        enum=(
            "udp",
            "tcp",
            "tls",
        ),
    ),
    Field("device-provisioning-username"),
    Field("device-provisioning-password", role=SECRET),
    Field("device-provisioning-line", WHOLE),
    Field("device-provisioning-overrides"),
)
