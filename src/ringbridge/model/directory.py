"""The directory: what tenants own. Field names are the contract's, kebab-case on the wire (contract §4).

Each record has a `kind` and a key inside that kind; together they are its place in the bus's key-value bucket and
in every replica. `domain` is always the key's first part, so that one tenant's records can be listed.

Fields that something acts on are attributes; the contract's other fields are kept in `other`, as text by wire name
(`model.resources`).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from ringbridge.model.accounts import ACCOUNT_KINDS, Account
from ringbridge.model.actors import Actor
from ringbridge.model.audit import AuditEntry
from ringbridge.model.connection_states import CONNECTION_STATE, ConnectionState

YesNo: TypeAlias = Literal["yes", "no"]
Key: TypeAlias = tuple[str, ...]
ACTIVE: Final = "standard"
"""The one `account-status` with which a user is let in; the others say why not yet, or not now."""


class Domain(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="domain", tag_field="kind"):
    """A tenant."""

    domain: str
    reseller: str = ""
    description: str = ""
    dial_plan: str = ""
    """Dial plan of users who name none; empty: the domain's own name."""
    dial_policy: str = ""
    caller_id_number: str = ""
    caller_id_name: str = ""
    time_zone: str = "Etc/GMT"
    home_country: str = ""
    """ISO code of the country in which its numbers are dialled (ours)."""
    allowed_countries: str = ""
    """Where its users may call (ours, `model.dial_policy`)."""
    verified_caller_ids: str = ""
    """Comma list of numbers that are not its own and that it may show (ours)."""
    limits_max_active_calls_total: int | None = None
    limits_max_active_calls_offnet: int | None = None
    limits_max_calls_per_minute: int | None = None
    """Ours; as the other limits, none or 0 is no limit (`model.limits`)."""
    limits_max_spend_per_month: str = ""
    """An amount by the rate table (ours, `model.rates`); empty: no cap."""
    made_at: float = 0.0
    """Epoch seconds: an earlier tenant of this name was another one; 0: not known."""
    other: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.domain,)


class User(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="user", tag_field="kind"):
    """A person's extension."""

    domain: str
    user: str
    name_first_name: str = ""
    name_last_name: str = ""
    email_address: str = ""
    user_scope: str = "Basic User"
    login_username: str = ""
    caller_id_number: str = ""
    caller_id_name: str = ""
    area_code: str = ""
    dial_plan: str = ""
    dial_policy: str = ""
    time_zone: str = ""
    ring_no_answer_timeout_seconds: int | None = None
    limits_max_active_calls_total: int | None = None
    limits_max_calls_per_minute: int | None = None
    limits_max_spend_per_month: str = ""
    verified_caller_ids: str = ""
    account_status: str = ACTIVE
    made_at: float = 0.0
    """As of a domain."""
    other: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.domain, self.user)

    @property
    def is_active(self) -> bool:
        return self.account_status == ACTIVE

    @property
    def full_name(self) -> str:
        return f"{self.name_first_name} {self.name_last_name}".strip()


class Device(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="device", tag_field="kind"):
    """A phone with an address-of-record `sip:{device}@{domain}`; its digest user name is `device`.

    The password is kept as the two HA1 values of the realm (the domain), never in clear (RFC 7616 §3.4.2).
    """

    domain: str
    user: str
    device: str
    ha1_md5: str = ""
    ha1_sha256: str = ""
    auto_answer_enabled: YesNo = "no"
    device_sip_nat_traversal_enabled: str = "automatic"
    device_srtp_enabled: str = "no"
    device_models_model: str = ""
    other: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.domain, self.device)

    @property
    def aor(self) -> str:
        return f"sip:{self.device}@{self.domain}"

    @property
    def requires_srtp(self) -> bool:
        """Whether it may not be rung with plain RTP."""
        return self.device_srtp_enabled == "yes"

    @property
    def is_recorded(self) -> bool:
        """Whether its calls are recorded."""
        return self.other.get("device-level-call-recording-enabled") == "yes"


class PhoneNumber(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="phonenumber", tag_field="kind"):
    """A number that the domain owns; `user` is its owner, empty for the whole domain."""

    domain: str
    phonenumber: str
    user: str = ""
    enabled: YesNo = "yes"
    dial_rule_application: str = "to-user"
    dial_rule_parameter: str = ""
    dial_rule_translation_destination_user: str = ""
    dial_rule_translation_destination_host: str = "[*]"
    other: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.domain, self.phonenumber)


class DialRule(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="dialrule", tag_field="kind"):
    """A pattern with an application and translations (contract §4 "Dial rule"); `dail-…` is the wire's own spelling."""

    domain: str
    dial_rule_dial_plan: str
    dialrule: str
    """The rule's name in its plan."""
    dail_rule_matching_to_uri: str
    dail_rule_matching_from_uri: str = "*"
    enabled: YesNo = "yes"
    dial_rule_matching_day_of_week: str = "*"
    dial_rule_matching_start_date: str = ""
    dial_rule_matching_end_date: str = ""
    dial_rule_matching_start_time: str = "*"
    dial_rule_matching_end_time: str = "*"
    dial_rule_application: str = "to-user"
    dial_rule_parameter: str = ""
    dial_rule_translation_destination_scheme: str = "[*]"
    dial_rule_translation_destination_user: str = "[*]"
    dial_rule_translation_destination_host: str = "[*]"
    dial_rule_translation_source_name: str = "[*]"
    dial_rule_translation_source_scheme: str = "[*]"
    dial_rule_translation_source_user: str = "[*]"
    dial_rule_translation_source_host: str = "[*]"
    dial_rule_description: str = ""
    other: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.domain, self.dial_rule_dial_plan, self.dialrule)


class Connection(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="connection", tag_field="kind"):
    """A SIP link to a carrier or PBX. `connection-address` is `host[:port]`; credentials answer its challenges only."""

    domain: str
    connection_orig_match_pattern: str
    """The connection's name: what a dial rule's parameter names."""
    connection_term_match_pattern: str = ""
    description: str = ""
    connection_address: str = ""
    connection_sip_transport_protocol: str = "udp"
    connection_sip_registration_enabled: YesNo = "no"
    connection_sip_registration_username: str = ""
    connection_sip_registration_password: str = ""
    connection_sip_registration_realm: str = ""
    connection_sip_authenticate_as_client_enabled: YesNo = "yes"
    connection_custom_p_asserted_id_format: str = ""
    connection_term_enabled: YesNo = "yes"
    connection_health_check_enabled: YesNo = "no"
    connection_health_check_interval_seconds: int = 30
    limits_max_active_calls_total: int | None = None
    limits_max_active_calls_term: int | None = None
    limits_max_calls_per_minute: int | None = None
    other: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.domain, self.connection_orig_match_pattern)

    @property
    def has_session_timer(self) -> bool:
        """Whether its calls have a session timer (`connection-sip-session-timer-enabled`): by default, yes."""
        return self.other.get("connection-sip-session-timer-enabled") != "no"

    @property
    def pcmu_only(self) -> bool:
        """Whether its calls have no codec for sound but PCMU (`connection-pcmu-only-enabled`)."""
        return self.other.get("connection-pcmu-only-enabled") == "yes"

    @property
    def is_recorded(self) -> bool:
        """Whether the calls through it are recorded."""
        return self.other.get("connection-record-all-calls-enabled") == "yes"


class AnswerRule(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="answerrule", tag_field="kind"):
    """What becomes of calls to a user in a time frame; kept and told, not acted on yet."""

    domain: str
    user: str
    time_frame: str
    enabled: YesNo = "yes"
    order: int = 99
    other: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.domain, self.user, self.time_frame)


class ApiKey(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="apikey", tag_field="kind"):
    """An API key without its secret: `key_sha256` is the hash of the whole 60 characters (contract §2)."""

    key_id: str
    key_sha256: str
    description: str
    domain: str = "*"
    user: str = "*"
    reseller: str = "*"
    user_scope: str = "Basic User"
    ip_address: str = ""
    readonly: YesNo = "no"
    can_create_keys: YesNo = "no"
    allowed_models: tuple[str, ...] = ()
    """Kinds of resources that it may be used for (`model.access.MODELS`); empty: all."""
    created_at: float = 0.0
    expires_at: float = 0.0
    """Epoch seconds; 0: never."""

    @property
    def key(self) -> Key:
        return (self.key_id,)


class Subscription(
    msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="subscription", tag_field="kind"
):
    """Whose events go to which URL (contract §5). `*` is resolved to what the maker's token rules over.

    `secret` signs the deliveries, so it is kept as it is; it is told once, at creation.
    """

    id: str
    model: str
    post_url: str
    secret: str
    domain: str = "*"
    user: str = "*"
    reseller: str = "*"
    holder_domain: str = "*"
    """The domain of the token that made it, as `holder_user` and `holder_reseller`: who sees and changes it."""
    holder_user: str = "*"
    holder_reseller: str = "*"
    holder_key_id: str = ""
    actors: tuple[Actor, ...] = ()
    """Who has to stay good for it: the key or login that made it (`calls.access.standing`)."""
    ended: str = ""
    """Why it is over though it has not expired; nothing more is sent."""
    user_scope: str = "Basic User"
    subscription_geo_support: YesNo = "yes"
    preferred_server: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0
    since: tuple[int, ...] = ()
    """Positions in the streams of calls behind which its events begin; of presence, that in its own before them."""
    restarts: int = 0
    """How often a change gave it a fresh start after its receiver had ended it with 410."""
    posts_offset: int = 0
    """What an update that sets `posts-count` adds to the posts that were counted."""
    errors_offset: int = 0

    @property
    def key(self) -> Key:
        return (self.id,)


Record: TypeAlias = (
    Domain
    | User
    | Device
    | PhoneNumber
    | DialRule
    | Connection
    | ApiKey
    | Subscription
    | AnswerRule
    | AuditEntry
    | Account
    | ConnectionState
)
"""Everything that the directory bucket holds."""

KINDS: dict[str, type[Record]] = {
    "domain": Domain,
    "user": User,
    "device": Device,
    "phonenumber": PhoneNumber,
    "dialrule": DialRule,
    "connection": Connection,
    "answerrule": AnswerRule,
    "apikey": ApiKey,
    "subscription": Subscription,
    "audit": AuditEntry,
    **ACCOUNT_KINDS,
    CONNECTION_STATE: ConnectionState,
}


def kind_of(record: Record) -> str:
    """Return the kind under which `record` is stored: a key of `KINDS`."""
    return str(type(record).__struct_config__.tag)


def parent_of(record: Record) -> str:
    """Return what a record is listed by, besides its domain."""
    match record:
        case Device() | PhoneNumber() | AnswerRule() | ApiKey() | Subscription():
            return record.user
        case DialRule():
            return record.dial_rule_dial_plan
        case Domain():
            return record.reseller
        case AuditEntry():
            return record.of
        case User():
            return record.login_username.lower()
        case _:
            return ""


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a device can be reached now: one REGISTERed contact (RFC 3261 §10; glossary "location").

    `peer_*` is the transport address the REGISTER came from, used instead of the contact's own where NAT needs it.
    `expires_at` is in epoch seconds. `node` is the node that holds the connection of a stream transport.
    """

    domain: str
    device: str
    contact: str
    expires_at: float
    peer_transport: str = "UDP"
    peer_host: str = ""
    peer_port: int = 0
    path: tuple[str, ...] = ()
    instance: str = ""
    user_agent: str = ""
    sip_call_id: str = ""
    cseq: int = 0
    q: float = 1.0
    node: str = ""
    registered_at: float = 0.0

    @property
    def aor(self) -> str:
        return f"sip:{self.device}@{self.domain}"
