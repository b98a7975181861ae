"""The sections of the configuration: every field with its unit, its default, and why the default is what it is."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import platformdirs
from msgspec import Meta, Struct, field

from ringbridge import __version__
from ringbridge.model.quota import QUOTA_PATTERN

Port = Annotated[int, Meta(ge=0, le=65535, description="0 takes any free port")]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:_-]{1,253}\Z")]


Cidr = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]+(/\d{1,3})?\Z")]
Rate = Annotated[str, Meta(pattern=QUOTA_PATTERN)]


class Role(StrEnum):
    """A part of the program that can run alone on a node."""

    API = "api"
    ENGINE = "engine"
    RELAY = "relay"


class Durability(StrEnum):
    """What the bus must prove at the start: strict refuses one that may lose what it acknowledged."""

    STRICT = "strict"
    RELAXED = "relaxed"


class Https(StrEnum):
    """Where the certificate of HTTPS comes from."""

    OFF = "off"
    FILES = "files"
    SELF_SIGNED = "self-signed"


class Plain(StrEnum):
    """Whether HTTP is served beside HTTPS."""

    YES = "yes"
    NO = "no"


class DigestHash(StrEnum):
    """A hash that phones prove their password by."""

    SHA_256 = "SHA-256"
    MD5 = "MD5"


class LogFormat(StrEnum):
    """How a log line looks; auto is console on a terminal and JSON elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the tree; unknown keys in it are faults."""


def default_data_dir() -> Path:
    """Return the platform's folder for a user's data of this program."""
    return platformdirs.user_data_path("ringbridge", appauthor=False)


class NodeConfig(Section, frozen=True):
    """Who this node is and what it does."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z")] | None = None
    """Name in the cluster. None: made at the first start and kept in `data_dir`, so that a restart is the same node."""
    data_dir: Path = field(default_factory=default_data_dir)
    """Folder of everything kept on disk; the platform's own, so that no right beyond the user's is needed."""
    roles: Annotated[frozenset[Role], Meta(min_length=1)] = frozenset(Role)
    """Parts that run here; all, because one machine is how everybody begins."""


class HttpConfig(Section, frozen=True):
    """Where the API listens."""

    host: Host = "127.0.0.1"
    """Address to listen on; loopback, because reaching further is a decision."""
    port: Port = 8480
    """TCP port; free of well-known services. 0 takes any."""
    https: Https = Https.OFF
    """HTTPS too: off, as there is no certificate to begin with; files: of `tls_cert`; self-signed: for a laptop."""
    https_port: Port = 8443
    """TCP port of HTTPS; what is usual beside 443, which needs a right. 0 takes any."""
    plain: Plain = Plain.YES
    """Whether HTTP is served beside HTTPS; yes, as commands on the same machine use it on loopback."""
    tls_cert: Path | None = None
    """PEM file of the certificate and those above it. None: no HTTPS, or a self-signed one."""
    tls_key: Path | None = None
    """PEM file of the certificate's private key. None: it is in `tls_cert`."""
    body_limit_bytes: Annotated[int, Meta(ge=1024, le=16 * 1024 * 1024)] = 65536
    """Largest request body in bytes; the largest documented request is a tenth of it."""
    trusted_proxies: frozenset[Cidr] = frozenset()
    """Networks of proxies in front, as `10.1.0.0/16`: only they are believed in `X-Forwarded-For` or `Forwarded`. None,
    because whoever is believed can say that it is anybody."""


class HealthConfig(Section, frozen=True):
    """Where a node without API says how it is: `/healthz`, `/readyz` and `/metrics`. One with API says so there."""

    host: Host = "127.0.0.1"
    """Address to listen on; loopback, because reaching further is a decision."""
    port: Port | None = None
    """TCP port; None: nothing is served, because two nodes may share a machine. 0 takes any."""


class RateLimitsConfig(Section, frozen=True):
    """How often the API may be asked, as `5000/second` (or `minute`, `hour`; as many at once), or `off`.

    Each node counts for itself. The defaults stop a program that runs wild, not one that is busy: a node answers some
    thousands a second.
    """

    key: Rate = "5000/second"
    """Requests with one API key or token."""
    user: Rate = "5000/second"
    """Requests with all tokens of one user together."""
    domain: Rate = "10000/second"
    """Requests with all tokens of one domain together."""
    address: Rate = "10000/second"
    """Requests from one client address (of IPv6, one /64); behind a proxy that is none of `http.trusted_proxies`, all
    clients are one."""
    unauthenticated: Rate = "100/second"
    """Requests from one client address that show no valid token; enough for health checks and people who log in."""


class AccessConfig(Section, frozen=True):
    """Logins and tokens."""

    access_token_s: Annotated[int, Meta(ge=60, le=86_400)] = 3600
    """Life of an access token in seconds; what clients of the API expect."""
    jwt_s: Annotated[int, Meta(ge=60, le=30 * 86_400)] = 86_400
    """Life of a JWT in seconds; likewise."""
    refresh_s: Annotated[int, Meta(ge=60, le=30 * 86_400)] = 30 * 86_400
    """Life of a login that is refreshed all the time, in seconds; a month, as signing keys are kept for so long."""
    public_client: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,64}\Z")] = "ringbridge"
    """A `client_id` that logs users in without a secret, so that the first login needs no set-up. Empty: none."""


class SipConfig(Section, frozen=True):
    """SIP sockets, timers of RFC 3261 and the registrar."""

    host: Host = "127.0.0.1"
    """Address to listen on, UDP and TCP; loopback, because reaching further is a decision."""
    port: Port = 5060
    """UDP and TCP port; SIP's own. 0 takes any free one for each."""
    public_address: Host | None = None
    """Address that peers see in Via, Contact and SDP. None: the address that is listened on."""
    user_agent: Annotated[str, Meta(pattern=r"^[!-~]([ -~]{0,126}[!-~])?\Z")] = f"Ringbridge/{__version__}"
    """User-Agent and Server header."""
    t1_s: Annotated[float, Meta(gt=0, le=10)] = 0.5
    """T1, the round-trip estimate, in seconds (RFC 3261 §17.1.1.1 and Table 4)."""
    t2_s: Annotated[float, Meta(gt=0, le=60)] = 4.0
    """T2, the longest gap between retransmissions, in seconds (RFC 3261 Table 4)."""
    t4_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """T4, how long a message stays in the network, in seconds (RFC 3261 Table 4)."""
    tcp_over_bytes: Annotated[int, Meta(ge=200, le=65535)] = 1300
    """Requests longer than this go by TCP where the peer has it (RFC 3261 §18.1.1)."""
    tcp_connect_deadline_s: Seconds = 4.0
    """Seconds for a TCP connection to a peer; long enough for one lost SYN and its second try."""
    session_expires_s: Annotated[int, Meta(ge=90, le=86400)] = 1800
    """Session interval offered, in seconds (RFC 4028 §4.1 recommends 1800)."""
    register_default_expires_s: Annotated[int, Meta(ge=10, le=86400)] = 3600
    """Life of a registration that names none, in seconds (RFC 3261 §10.2.1.1 suggests an hour)."""
    register_min_expires_s: Annotated[int, Meta(ge=10, le=86400)] = 60
    """Shortest life granted, in seconds; a shorter wish gets 423. A minute keeps a NAT open and the registrar quiet."""
    register_max_expires_s: Annotated[int, Meta(ge=10, le=86400)] = 3600
    """Longest life granted, in seconds; a longer wish is cut. A phone that vanished is forgotten within the hour."""
    digest_algorithms: Annotated[frozenset[DigestHash], Meta(min_length=1)] = frozenset(DigestHash)
    """Hashes that a REGISTER is challenged with, SHA-256 first (RFC 8760 §2.4). `MD5` alone is for who reads only the
    first challenge and does not know SHA-256: some old phones, and SIPp."""
    nonce_lifetime_s: Seconds = 300.0
    """How long a digest nonce serves, in seconds; old ones are answered with stale=true, which costs a round trip."""
    max_packets_per_source_per_s: Annotated[int, Meta(ge=1)] = 10_000
    """Packets a second from one address before the rest is dropped; a trunk at 500 calls a second sends half of it."""
    denied_networks: frozenset[Cidr] = frozenset()
    """Networks that SIP and media are never sent to, as `10.1.0.0/16`: those of your own servers, since tenants say
    where their phones and connections are. None, because phones too are in private networks. Loopback (but where `host`
    is), link-local, multicast and broadcast addresses are refused in any case."""


class BusConfig(Section, frozen=True):
    """The NATS JetStream bus."""

    url: (
        Annotated[str, Meta(pattern=r"^(nats|tls)://[^\s,]+(,(nats|tls)://[^\s,]+)*\Z", extra={"secret": True})] | None
    ) = None
    """Servers, comma-separated; may hold a password. None: a server of our own, a child process with its files in
    `data_dir`."""
    nats_server: Path | None = None
    """The `nats-server` program to start. None: the one that is installed with us."""
    durability: Durability = Durability.STRICT
    """strict: a bus that may lose an acknowledged write is refused, because a 202 is a promise."""
    replicas: Annotated[int, Meta(ge=1, le=5)] | None = None
    """Copies of streams that are made here. None: three on an external cluster, one on our own server."""
    connect_deadline_s: Seconds = 10.0
    """Seconds for the first connection; a server that replays a large file store takes a few."""
    audit_kept_s: Annotated[int, Meta(ge=0, le=3650 * 86400)] = 400 * 86400
    """Seconds that the audit trail goes back; 0: for ever. 400 days, so that a whole year can be looked at."""
    publish_deadline_s: Seconds = 8.0
    """Seconds of trying to publish before 503; a cluster was seen without leader for 5 after a kill."""


class StoreConfig(Section, frozen=True):
    """The local copy of what the bus says."""

    path: Path | None = None
    """SQLite file. None: `ringbridge.db` in `data_dir`."""
    url: Annotated[str, Meta(pattern=r"^postgresql://[^\s]+\Z", extra={"secret": True})] | None = None
    """PostgreSQL instead, `postgresql://user:password@host:port/database`, this node's own database; may hold a
    password. None: SQLite, which is faster here and asks for no server. PostgreSQL is for reports on CDRs by others."""
    cdrs_kept_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """Days that CDRs are kept. None: for ever, since they are the proof of what was billed, and how long that must be
    kept, or may be, is a law that only the operator knows."""


class RequestsConfig(Section, frozen=True):
    """The request history: what was asked with whose key, and what was answered, kept by each node for itself."""

    kept_s: Annotated[int, Meta(ge=0, le=3650 * 86400)] = 7 * 86400
    """Seconds that requests are kept; a week, as whoever integrates looks back to last week. 0: none is kept, and
    nothing spent on it."""
    most_kept: Annotated[int, Meta(ge=1000, le=10_000_000)] = 100_000
    """Requests that are kept at most; with bodies as they usually are 150 MB. Of the domain with the most the oldest go
    first."""
    body_bytes: Annotated[int, Meta(ge=0, le=65_536)] = 4096
    """Bytes of a body that are kept, of the request and of the answer each; enough for any call and its resource."""


class RecordingsConfig(Section, frozen=True):
    """Recordings of calls: of devices with `device-level-call-recording-enabled`, and of connections alike."""

    folder: Path | None = None
    """Where they are kept. None: `recordings` in `data_dir`. Nodes that share the folder all serve what is in it."""
    kept_s: Annotated[int, Meta(ge=0, le=3650 * 86400)] = 30 * 86400
    """Seconds that they are kept; 0: for ever. A month, long enough to settle what was said, since voices are personal
    data and an hour takes 115 MB."""
    link_s: Annotated[int, Meta(ge=60, le=7 * 86400)] = 3600
    """Seconds that a `file-access-url` is good for; whoever has it hears the file. An hour, as one is listened to."""
    least_free_bytes: Annotated[int, Meta(ge=0)] = 1_000_000_000
    """Bytes that stay free on its disk: with less no call is recorded, as the bus and the store live there too."""


class RelayConfig(Section, frozen=True):
    """The media relay."""

    address: Annotated[str, Meta(pattern=r"^udp:[A-Za-z0-9.-]+:\d{1,5}\Z")] | None = None
    """Control socket of an external rtpproxy, `udp:host:port`. None: a relay process of our own."""
    host: Host | None = None
    """Address for RTP, as it stands in SDP. None: `sip.public_address`, else `sip.host`."""
    port_min: Annotated[int, Meta(ge=1024, le=65535)] = 16384
    """First UDP port for RTP; the range ends below Linux's own ephemeral ports, so that they never collide."""
    port_max: Annotated[int, Meta(ge=1024, le=65535)] = 32766
    """Last UDP port for RTP; four ports a call, so about 4,000 calls."""
    command_deadline_s: Seconds = 1.0
    """Seconds for the answer to one command; on one machine it takes a millisecond."""
    idle_exit_s: Seconds = 60.0
    """Seconds until our own relay ends when left behind without calls and commands; longer than an engine's restart."""
    media_timeout_s: Seconds = 3600.0
    """Seconds without a packet from either leg before the relay drops a call's media: what an engine that never came
    back leaves behind. Phones on hold send nothing, and nor does anybody while a phone rings: far longer than those."""
    prompts: Annotated[str, Meta(pattern=r"^[!-~]*\Z")] = ""
    """Folder of ringback prompts on the machine of an external relay (`address`); empty: it plays none."""


class CallsConfig(Section, frozen=True):
    """Limits of a call's life."""

    dial_before_s: Seconds = 30.0
    """Seconds from the request until nobody may be dialled any more; who clicked has gone by then."""
    orig_ring_timeout_s: Seconds = 30.0
    """Seconds that the first leg rings; who clicked sits beside it."""
    term_ring_timeout_s: Seconds = 60.0
    """Seconds that the second leg rings; long enough for most voicemail to answer."""
    max_call_s: Annotated[float, Meta(gt=0, le=7 * 86400)] = 4 * 3600.0
    """Seconds after which an answered call is ended; no talk lasts so long, a lost BYE does."""
    allowed_countries: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+*, ]*\Z")] = "*"
    """Where users of a domain may call that has no `allowed-countries` of its own: ISO codes, `+digits`, `premium`, and
    `*` for every country but those where calls are known to be dear."""
    rate_table: Path | None = None
    """TOML file: the price of a minute by the beginning of a number. None: nothing has a price, no spend cap acts."""
    sync_wait_s: Seconds = 2.0
    """Seconds that `synchronous: yes` waits for the local copy before it answers 202 instead of 200."""


class WebhooksConfig(Section, frozen=True):
    """The delivery of events to subscribers; part of the api role."""

    allowed_networks: frozenset[Cidr] = frozenset()
    """Networks beside the public Internet that events may be sent to, as `10.1.0.0/16`; none, because tenants choose
    the URLs, and what stands beside this program is not theirs to reach."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 15.0
    """Seconds that one attempt may take; what receivers of webhooks are used to."""


class EventsConfig(Section, frozen=True):
    """Live event streams; part of the api role."""

    streams: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """Streams open on this node at one time; each takes a connection and some 100 KB."""
    streams_per_token: Annotated[int, Meta(ge=1, le=100_000)] = 20
    """Streams of one key, or of all logins of one user: a page in each of its windows, and a program or two."""
    streams_per_address: Annotated[int, Meta(ge=1, le=100_000)] = 100
    """Streams from one client address (of IPv6, one /64): an office behind one."""
    heartbeat_s: Annotated[float, Meta(ge=1, le=300)] = 15.0
    """Seconds between signs of life where nothing happens; proxies commonly cut what is silent for 30 to 60."""
    stream_s: Annotated[float, Meta(ge=10, le=86_400)] = 3600.0
    """Seconds after which a stream ends and its client comes back, so that nodes that came later get their share."""


class LogConfig(Section, frozen=True):
    """What the program says of itself, on standard error."""

    level: LogLevel = LogLevel.INFO
    """info: a line for each change of state."""
    format: LogFormat = LogFormat.AUTO
    """auto: people get colours, machines get JSON."""


class ClientConfig(Section, frozen=True):
    """What the commands that talk to a running Ringbridge use."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+/?\Z")] = "http://127.0.0.1:8480"
    """Address of the API; where `serve` listens by default."""
    api_key: Annotated[str, Meta(pattern=r"^[!-~]+\Z", extra={"secret": True})] | None = None
    """API key; better given by environment than by file."""


class Config(Section, frozen=True):
    """The whole tree."""

    node: NodeConfig = NodeConfig()
    http: HttpConfig = HttpConfig()
    health: HealthConfig = HealthConfig()
    rate_limits: RateLimitsConfig = RateLimitsConfig()
    access: AccessConfig = AccessConfig()
    sip: SipConfig = SipConfig()
    bus: BusConfig = BusConfig()
    store: StoreConfig = StoreConfig()
    requests: RequestsConfig = RequestsConfig()
    recordings: RecordingsConfig = RecordingsConfig()
    relay: RelayConfig = RelayConfig()
    calls: CallsConfig = CallsConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    events: EventsConfig = EventsConfig()
    log: LogConfig = LogConfig()
    client: ClientConfig = ClientConfig()

    @property
    def store_path(self) -> Path:
        """The store's SQLite file."""
        return self.store.path or self.node.data_dir / "ringbridge.db"

    @property
    def recordings_folder(self) -> Path:
        """Where recordings are kept."""
        return self.recordings.folder or self.node.data_dir / "recordings"

    @property
    def sip_address(self) -> str:
        """The address that SIP peers see."""
        return self.sip.public_address or self.sip.host

    @property
    def media_address(self) -> str:
        """The address that stands in SDP."""
        return self.relay.host or self.sip_address
