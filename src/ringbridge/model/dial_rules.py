"""Dial rules: where a rule that matches sends the call, and what it makes of the caller (contract §4 "Dial rule").

Translations are templates. `[*]` alone leaves a part as it was but for what the pattern's wildcard leaves out; inside
other text it is what the wildcard matched. `<OwnDomain>` is the domain, `<Null>` nothing. An empty one is `[*]`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ringbridge.model.dial_patterns import read_pattern
from ringbridge.model.directory import DialRule, PhoneNumber

CAPTURED: Final = "[*]"
OWN_DOMAIN: Final = "<OwnDomain>"
NULL: Final = "<Null>"
DEFAULT_APPLICATION: Final = "to-user"
"""What a rule that names no application does."""
HEADER_NAME: Final = re.compile(r"[Xx]-[A-Za-z0-9.!%*_+`'~-]{1,64}")
HEADER_VALUE: Final = re.compile(r"[ -~\u00a0-\ud7ff\ue000-\ufffd]{0,200}")
NUMBERS_PLAN: Final = "phonenumbers"
"""The dial plan, in answers, of rules that phone numbers stand for."""


class Match(msgspec.Struct, frozen=True):
    """A rule that matches, and what the wildcards in the user parts of its two patterns matched."""

    rule: DialRule
    captured: str
    captured_source: str = ""


class Shown(msgspec.Struct, frozen=True):
    """What a rule makes of the caller ID; None leaves a part as it is, an empty text takes it away."""

    name: str | None = None
    user: str | None = None
    host: str | None = None


class Destination(msgspec.Struct, frozen=True):
    """Where a matched rule sends the call: application, parameter, and the translated user and host.

    `host` is empty where the rule leaves it to the connection.
    """

    application: str
    parameter: str
    user: str
    host: str
    pattern: str
    rule: str = ""
    """The rule's name in its plan."""
    plan: str = ""
    shown: Shown = Shown()


def rule_of(number: PhoneNumber) -> DialRule:
    """Return the dial rule that a phone number stands for; its owner is rung where it names nobody else."""
    return DialRule(
        domain=number.domain,
        dial_rule_dial_plan=NUMBERS_PLAN,
        dialrule=number.phonenumber,
        dail_rule_matching_to_uri=f"sip:{number.phonenumber}@*",
        enabled=number.enabled,
        dial_rule_application=number.dial_rule_application,
        dial_rule_parameter=number.dial_rule_parameter,
        dial_rule_translation_destination_user=number.dial_rule_translation_destination_user or number.user or NULL,
        dial_rule_translation_destination_host=number.dial_rule_translation_destination_host,
    )


def translate(found: Match, *, dialled: str, domain: str) -> Destination:
    """Return where the matched rule sends a call to `dialled`, a user part without its leading `+`."""
    rule = found.rule

    def filled(template: str, captured: str) -> str:
        return template.replace(CAPTURED, captured).replace(OWN_DOMAIN, domain).replace(NULL, "")

    def changed(template: str, captured: str) -> str | None:
        return None if template in ("", CAPTURED) else filled(template, captured)

    pattern = read_pattern(rule.dail_rule_matching_to_uri)
    user = changed(rule.dial_rule_translation_destination_user, found.captured)
    if user is None:
        user = found.captured if pattern is not None and pattern.has_wildcard else dialled
    return Destination(
        application=rule.dial_rule_application or DEFAULT_APPLICATION,
        parameter=filled(rule.dial_rule_parameter, found.captured),
        user=user,
        host=changed(rule.dial_rule_translation_destination_host, domain) or "",
        pattern=rule.dail_rule_matching_to_uri,
        rule=rule.dialrule,
        plan=rule.dial_rule_dial_plan,
        shown=Shown(
            name=changed(rule.dial_rule_translation_source_name, found.captured_source),
            user=changed(rule.dial_rule_translation_source_user, found.captured_source),
            host=changed(rule.dial_rule_translation_source_host, domain),
        ),
    )


def connection_of(application: str, parameter: str) -> str:
    """Return the connection that a `to-connection…` rule names: the parameter, up to the `;` where a header follows."""
    return parameter.partition(";")[0] if "-add-header" in application else parameter


def header_of(application: str, parameter: str) -> tuple[str, str] | str | None:
    """Return the header that a rule adds, None where it adds none, or in words what is wrong with it."""
    if "-add-header" not in application:
        return None
    name, colon, value = parameter.partition(";")[2].partition(":")
    if not colon or not HEADER_NAME.fullmatch(name.strip()) or not HEADER_VALUE.fullmatch(value.strip()):
        return "its parameter must be `connection;X-Name: value`"
    return name.strip(), value.strip()
