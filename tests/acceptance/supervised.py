"""A supervisor with its worker processes, and a small project whose code may change under them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import psutil

from django_jobqueue.models import Worker as WorkerRow
from tests.acceptance.programs import WorkerProcess, wait_until
from tests.shop.jobs import FOLDER


class SupervisorProcess(WorkerProcess):
    """``runjobs`` with a supervisor. No process of the family outlives the block, whatever went wrong."""

    def __init__(self, arguments: Iterable[str], folder: Path, **options: Any) -> None:
        super().__init__(list(arguments), folder, **options)
        self._folder = str(folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in [psutil.Process(self.pid)] if self.process.poll() is None else []:
            process.kill()  # first, so that it starts nobody anew
        wait_until(lambda: not _killed(self.family()), "nobody of the family is left")
        super().__exit__(kind, error, traceback)

    def wait_until_ready(self) -> Self:
        self.wait_for_line("Started as supervisor ")
        return self

    def wait_until_working(self, count: int) -> list[psutil.Process]:
        """Wait until so many workers, and no others, have said that they live; return their processes."""
        wait_until(
            lambda: len(self.workers()) == count and self._pids_in_rows() >= {each.pid for each in self.workers()},
            f"{count} workers work",
        )
        return self.workers()

    def workers(self) -> list[psutil.Process]:
        """The worker processes, whether or not they still have their supervisor."""
        return [process for process in self.family() if "--supervised" in _command(process)]

    def family(self) -> list[psutil.Process]:
        """Every living process that descends from this one, found by its environment: it may have lost its parent."""
        return [process for process in psutil.process_iter() if _environment(process).get(FOLDER) == self._folder]

    def kill_supervisor(self) -> None:
        """End it without giving it a chance to tell its workers."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def _pids_in_rows(self) -> set[int]:
        return {int(name.split(":")[1]) for name in WorkerRow.objects.values_list("name", flat=True)}


AS_PROCESS_ONE = 'exec unshare --pid --fork --mount-proc "$0" "$@"'
"""A script that starts its arguments as process 1 of a namespace."""


def can_be_process_one() -> bool:
    """Whether this machine lets us do that."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True).returncode == 0


class Workshop:
    """A project in a folder of its own, with one app, whose files a test may write while workers run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs = folder / "workshop" / "jobs.py"
        self.urls = folder / "workshop" / "urls.py"
        self.settings = folder / "workshop_settings.py"
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "workshop_settings",
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # a file that changes twice in a second would be taken for its old self
        }
        self.jobs.parent.mkdir()
        (self.jobs.parent / "__init__.py").touch()
        self.jobs.touch()
        self.urls.write_text("urlpatterns = []\n")
        self.mend_settings()

    def mend_settings(self) -> None:
        self.settings.write_text(
            "from tests.acceptance.settings import *\n\n"
            "ALLOWED_HOSTS = ['127.0.0.1']\n"
            "INSTALLED_APPS = [*INSTALLED_APPS, 'workshop']\n"
            "ROOT_URLCONF = 'workshop.urls'\n"
        )

    def break_settings(self) -> None:
        self.settings.write_text("raise RuntimeError('these settings are broken')\n")

    def change_jobs(self, source: str, seen: Callable[[], object]) -> None:
        """Write *source*, and again and again until it is *seen*: a reloader does not watch from its first moment."""
        pause_until = 0.0

        def changed() -> object:
            nonlocal pause_until
            if monotonic() > pause_until:
                self.jobs.write_text(source)
                pause_until = monotonic() + 1.5
            return seen()

        wait_until(changed, "the change is seen")


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error, OSError):
        return process.environ()
    return {}


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error, OSError):
        return process.cmdline()
    return []


def _killed(processes: list[psutil.Process]) -> list[psutil.Process]:
    for process in processes:
        with suppress(psutil.Error):
            os.kill(process.pid, signal.SIGKILL)
    return processes
