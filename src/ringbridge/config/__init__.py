"""What the operator decides: one frozen tree, read once from TOML and the environment, and checked whole.

Nothing else in the program reads the environment (ruff's TID251 in pyproject.toml holds it to that). A module is given
its own section, not the tree. The rate table (`config.rates`) is not imported here: it brings along the numbering plans
of the world, which a command that only asks the API would wait for.
"""

from ringbridge.config.faults import ConfigError, Fault
from ringbridge.config.loading import find_file, load, load_with_sources
from ringbridge.config.sections import (
    AccessConfig,
    BusConfig,
    CallsConfig,
    ClientConfig,
    Config,
    DigestHash,
    Durability,
    HealthConfig,
    HttpConfig,
    Https,
    LogConfig,
    LogFormat,
    LogLevel,
    NodeConfig,
    Plain,
    RateLimitsConfig,
    RelayConfig,
    RequestsConfig,
    Role,
    SipConfig,
    StoreConfig,
)

__all__ = [
    "AccessConfig",
    "BusConfig",
    "CallsConfig",
    "ClientConfig",
    "Config",
    "ConfigError",
    "DigestHash",
    "Durability",
    "Fault",
    "HealthConfig",
    "HttpConfig",
    "Https",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "NodeConfig",
    "Plain",
    "RateLimitsConfig",
    "RelayConfig",
    "RequestsConfig",
    "Role",
    "SipConfig",
    "StoreConfig",
    "find_file",
    "load",
    "load_with_sources",
]
