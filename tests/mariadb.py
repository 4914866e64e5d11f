"""A real MariaDB, started from the programs that the machine has."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

SECONDS_TO_START = 120
"""How long a server may take on a busy machine."""


class MariaDBServer:
    """A MariaDB with a folder of its own; it ends with the block, or with the process, that started it.

    It listens on the Unix socket ``socket`` alone, and trusts user ``root``.
    """

    # Waits until its input ends, and so also outlives a process that was killed. What is lost with the machine is no loss.
    JANITOR = """
        "$@" &
        read -r _
        kill -9 "$!"
        rm -rf "$0"
    """

    SETTINGS = [
        "--skip-networking",
        "--skip-log-bin",
        "--max-connections=200",
        "--innodb-buffer-pool-size=128M",
        "--innodb-doublewrite=OFF",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-lock-wait-timeout=20",
        # What a server says by default, or may say, and what nothing here may depend on.
        "--transaction-isolation=REPEATABLE-READ",
        "--default-time-zone=+05:45",
    ]

    @staticmethod
    def is_installed() -> bool:
        return _program("mariadbd") is not None and _program("mariadb-install-db") is not None

    def __enter__(self) -> Self:
        # Not $TMPDIR: a socket's path is short.
        self.folder = Path(tempfile.mkdtemp(prefix="jobqueue-", dir="/tmp"))
        self.socket = self.folder / "socket"
        self._log = self.folder / "log"
        try:
            self._create()
            self._start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._janitor.communicate(b"\n")

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())

    def _create(self) -> None:
        created = subprocess.run(
            [*self._command("mariadb-install-db"), "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if created.returncode:
            raise RuntimeError(f"mariadb-install-db failed: {created.stdout}")

    def _start(self) -> None:
        server = [
            *self._command("mariadbd"),
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'pid'}",
            f"--log-error={self._log}",
            *self.SETTINGS,
        ]
        self._janitor = subprocess.Popen(
            ["/bin/sh", "-c", self.JANITOR, self.folder, *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
        )
        patience = monotonic() + SECONDS_TO_START
        while not self._answers():
            if monotonic() > patience:
                log = self._log.read_text() if self._log.exists() else ""
                self._janitor.communicate(b"\n")
                raise RuntimeError(f"mariadbd does not answer after {SECONDS_TO_START} s: {log}")
            sleep(0.05)

    def _command(self, program: str) -> list[str]:
        """How to call *program* for the data in the folder, as whoever calls: root too, which must be said."""
        return [
            str(_program(program)),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--user={getpass.getuser()}",
        ]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0


def _program(name: str) -> str | None:
    """The path of *name*: servers are often kept out of the PATH of those who are not root."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/libexec")
