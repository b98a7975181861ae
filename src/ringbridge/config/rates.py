"""The operator's rate table, a TOML file: `"45" = 0.02`, the beginning of a number and the price of a minute."""

import tomllib
from pathlib import Path

from ringbridge.config.faults import ConfigError, Fault
from ringbridge.model.rates import Rates, read_rates

KEY = "calls.rate_table"


def load_rates(path: Path | None) -> Rates | None:
    """Return the rate table in `path`; None without one.

    Raises:
        ConfigError: the file cannot be read, or is no rate table.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return read_rates(tomllib.load(file, parse_float=str))
    except OSError as error:
        found = error.strerror or str(error)
    except ValueError as error:  # what is no TOML, no UTF-8, or no rate table
        found = str(error)
    raise ConfigError([Fault(KEY, found, 'a TOML file with lines such as "45" = 0.02', str(path))])
