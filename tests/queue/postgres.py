"""A PostgreSQL server of its own for tests: made in a temporary folder, on a socket there, ended afterwards.

`TRAINGUARD_TEST_POSTGRES=postgresql://user@host/database` uses a server that runs already instead. The server refuses
to run as root (its documentation, "Creating a Database Cluster"), so root starts it as the user postgres, or nobody.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

ADDRESS = "TRAINGUARD_TEST_POSTGRES"
# Debian keeps its programs of each release beside each other.
_PLACES = ("/usr/lib/postgresql", "/usr/pgsql")


def programs() -> Path | None:
    """The folder with initdb and postgres, of the newest release that is installed."""
    found = [path.parent for place in _PLACES for path in Path(place).glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: [int(part) for part in path.parts[-2].split(".") if part.isdigit()])
    on_path = shutil.which("initdb")
    # A link as a rule, beside which the other programs need not be.
    return None if on_path is None else Path(on_path).resolve().parent


def missing() -> str | None:
    """Why there is no server for the tests, None where there is one."""
    if os.environ.get(ADDRESS) or programs() is not None:
        return None
    return "no PostgreSQL server: apt-get install postgresql, or set TRAINGUARD_TEST_POSTGRES"


class Server:
    """A running server. `url(database)` is the address of an empty database."""

    def __init__(self, *, own: bool = False) -> None:
        """`own`: not the one that the environment names, but one that a test may end."""
        self._given = None if own and programs() is not None else os.environ.get(ADDRESS)
        self._made = 0
        self._process: subprocess.Popen[bytes] | None = None
        if self._given:
            return
        folder = programs()
        assert folder is not None, missing()
        self._programs = folder
        # Not below pytest's folder, which only its owner may enter.
        self._home = Path(tempfile.mkdtemp(prefix="trainguard-postgres-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self._home, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", str(self._data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.start()

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        # No fsync: what is tested is the end of processes, not of machines, and a test must not wait for a disk.
        options = ["-c", "listen_addresses=", "-k", str(self._home), "-c", "fsync=off", "-c", "max_connections=60"]
        with open(self._home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*_with_its_parent(), self._programs / "postgres", "-D", self._data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                **self._as,
            )
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            if subprocess.run([self._programs / "pg_isready", "-q", "-h", self._home], check=False).returncode == 0:
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        raise RuntimeError((self._home / "log").read_text("utf-8", "replace")[-2000:])

    @property
    def address(self) -> str:
        """The address of the server's own database, for who makes others."""
        return self._address("postgres")

    @property
    def may_stop(self) -> bool:
        """Whether the server is the tests' own."""
        return self._process is not None

    def crash(self) -> None:
        """Ends the server as an immediate shutdown does: connections are cut, and the next start recovers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)

    def shut_down(self) -> None:
        """Ends the server as a fast shutdown does: transactions are broken off, clients are told."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def freeze(self, *, now: bool = True) -> None:
        """Stops all processes of the server, which keeps its connections and answers nothing; False: they go on."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP if now else signal.SIGCONT)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Runs statements as the server's first user."""
        import psycopg

        with psycopg.connect(self._address(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def cut(self, database: str) -> None:
        """Ends all connections to a database, as an administrator does."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    def ask_for_a_password(self, user: str) -> None:
        """From now on `user` gets in with a password only."""
        assert self._process is not None
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    def url(self) -> str:
        """The address of a new, empty database."""
        import psycopg

        self._made += 1
        name = f"queue_{os.getpid()}_{self._made}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._address(name)

    def stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def _address(self, database: str) -> str:
        if self._given:
            from sqlalchemy.engine import make_url

            address = make_url(self._given).set(drivername="postgresql")
            named = address if database == "postgres" else address.set(database=database)
            return named.render_as_string(hide_password=False)
        return f"postgresql://tester@/{database}?host={self._home}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd=self._home,
            env=_environment(),
            **self._as,
        )


def _with_its_parent() -> list[str]:
    """Begins a command that is ended when the process that starts it is, however that ends (setpriv(1))."""
    program = shutil.which("setpriv")
    return [] if program is None else [program, "--pdeathsig", "QUIT", "--"]


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _environment() -> Mapping[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}
