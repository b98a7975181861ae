"""The database behind the store: how it is opened, and brought to this version's tables.

SQLite: write-ahead log, and every commit flushed (`synchronous=FULL`), as the offset in it is a promise not to ask
the bus again. One connection alone writes and checkpoints (design.md, "The stack"); readers cannot write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.pool import NullPool

from ringbridge.adapters.store.schema import metadata

HEAD = "0008"
"""The newest step in `migrations`."""
CONNECT_S = 5
"""Seconds for a connection to a database server; a local network takes milliseconds."""


class StoreTooNew(Exception):
    """The store was written by a newer version; it is left alone."""


def open_engine(url: str) -> Engine:
    """Return the engine of a database, `sqlite:///path` or `postgresql://user:password@host:port/database`."""
    address = make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    options = {} if address.drivername.startswith("sqlite") else {"connect_args": {"connect_timeout": CONNECT_S}}
    engine = create_engine(address, poolclass=NullPool, **options)
    if engine.dialect.name == "sqlite":
        Path(address.database or "").parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{path}"


def _prepare_sqlite(connection: Any, _: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}").close()


def forbid_writing(connection: Connection) -> None:
    """Make `connection` one that only reads, and never keeps a transaction open."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.rollback()
    else:
        connection.exec_driver_sql("SET default_transaction_read_only = on")


def migrate(engine: Engine) -> bool:
    """Bring the tables to this version; return whether there was anything to do.

    Raises:
        StoreTooNew: the store is newer than this program.
    """
    with engine.begin() as connection:
        if not inspect(connection).has_table("alembic_version"):
            _create(connection)
            return True
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version == HEAD:
        return False
    if version is not None and version > HEAD:
        raise StoreTooNew(f"the store is of step {version}; this program knows {HEAD}")
    upgrade(engine)
    return True


def _create(connection: Connection) -> None:
    """Make all tables at once, as all steps would: a test holds the two to each other."""
    metadata.create_all(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def upgrade(engine: Engine, to: str = "head") -> None:
    """Go all steps up to `to` that the database has not gone."""
    # Imported here: Alembic takes a tenth of a second, and nearly every start finds nothing to do.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)
