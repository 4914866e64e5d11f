"""``manage.py runjobs``: work queues until told to stop."""

from __future__ import annotations

import gc
import os
import signal
import sys
from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils.autoreload import get_child_arguments

from django_jobqueue.conf import get_config
from django_jobqueue.conf.job import DAY_SECONDS
from django_jobqueue.management import tether
from django_jobqueue.management.arguments import number, path_of_file
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.commanding import obey_signals, obey_supervisor
from django_jobqueue.management.console import Console
from django_jobqueue.management.ending import TELL_SECONDS, end_within
from django_jobqueue.management.json_lines import JSONLines
from django_jobqueue.management.mysql import require_mysql
from django_jobqueue.management.process_one import become_process_one
from django_jobqueue.management.reloading import work_until_code_changes
from django_jobqueue.management.site_address import require_address
from django_jobqueue.management.startup import require_isolation, require_tables
from django_jobqueue.management.worked_queues import slots_of_process, worked_queues
from django_jobqueue.worker.announcer import BackgroundAnnouncer
from django_jobqueue.worker.exit_codes import EXIT_ERROR, EXIT_FORCED
from django_jobqueue.worker.logged_lines import printing_what_is_logged
from django_jobqueue.worker.maintenance import Maintenance
from django_jobqueue.worker.observer import Observer, Observers
from django_jobqueue.worker.output import keep_output_open
from django_jobqueue.worker.shutdown import nobody_ends_it
from django_jobqueue.worker.supervisor import Program, Supervisor
from django_jobqueue.worker.tally import Tally
from django_jobqueue.worker.worker import Worker


class Command(JobQueueCommand):
    """The face of ``worker.Worker``: arguments in, lines out, signals passed on."""

    requires_system_checks = "__all__"
    help = "Works queues: claims their runs, calls their jobs, records how they ended. Stops on SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "queues",
            nargs="*",
            metavar="queue[:slots]",
            help="Work these queues, each in at most this many slots of a process. Default: all with run_on_startup.",
        )
        add(
            "--strict",
            action="store_true",
            help="Start runs of a queue only while the queues named before it have none to start. "
            "Default: queues share the slots by weight.",
        )
        add(
            "--concurrency",
            type=number(int, 1, 1000),
            metavar="N",
            help="Work N runs at once in each process. Default: worker.concurrency; or, if every queue is given slots, "
            "as many as all of them together.",
        )
        add(
            "--processes",
            type=number(int, 1, 1000),
            metavar="N",
            default=1,
            help="Start N worker processes. Default: 1.",
        )
        add(
            "--grace",
            type=number(float, 0, DAY_SECONDS),
            metavar="SECONDS",
            help="When told to stop, let running jobs continue for this long. Default: worker.grace_seconds.",
        )
        end = parser.add_mutually_exclusive_group()  # a server is never done
        end.add_argument("--drain", action="store_true", help="Exit when nothing more can be claimed.")
        end.add_argument(
            "--with-runserver", nargs="?", const="", metavar="ADDRESS", help="Also run the development server."
        )
        add(
            "--reload",
            action=BooleanOptionalAction,
            default=None,
            help="Restart when code changes, after running jobs have ended. Default: as DEBUG, but not with --drain.",
        )
        add(
            "--liveness-file",
            type=path_of_file,
            metavar="PATH",
            help="Touch this file every second, for a probe; see checkjobs. With --processes, each worker has one beside it.",
        )
        add("--log-format", choices=["text", "json"], default="text", help="Lines for people, or for programs.")
        add("--supervised", action="store_true", help=SUPPRESS)

    _has_process = False
    """Whether this process is there for nothing else. A program may call the command, too."""

    def run_from_argv(self, argv: list[str]) -> None:
        self._has_process = True
        keep_output_open()
        super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options["reload"] is None:
            options["reload"] = settings.DEBUG and not options["drain"]
        if os.getpid() == 1 and _works_alone(options):
            become_process_one(get_child_arguments())
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        queues = worked_queues(options["queues"])
        options["concurrency"] = slots_of_process(queues, options["concurrency"])
        require_tables(get_config().database)
        require_isolation(get_config().database)
        require_mysql(get_config().database)
        in_place = _works_alone(options) or options["supervised"]
        with printing_what_is_logged(sys.stderr, options["log_format"]):
            code = self._work(queues, options) if in_place else self._supervise(queues, options)
        if code:
            sys.exit(code)

    def _work(self, queues: dict[str, int | None], options: dict[str, Any]) -> int:
        gc.freeze()  # what is loaded by now stays, and no collection need look through it
        tally = Tally()
        observer = Observers(self._observer(options), tally, BackgroundAnnouncer())
        worker = Worker(
            list(queues),
            chores=Maintenance(observer, tally, list(queues)),
            observer=observer,
            concurrency=options["concurrency"],
            slots={queue: slots for queue, slots in queues.items() if slots is not None},
            strict=options["strict"],
            grace_seconds=options["grace"],
            drain=options["drain"],
            liveness_file=options["liveness_file"],
            # Who breaks off has a word of his own to say.
            break_off=partial(end_within, TELL_SECONDS, EXIT_FORCED) if self._has_process else nobody_ends_it,
        )
        code = EXIT_ERROR
        try:
            code = _run(worker, options)
        finally:
            if self._has_process:
                end_within(worker.seconds_left(), code)
        return code

    def _supervise(self, queues: dict[str, int | None], options: dict[str, Any]) -> int:
        if options["with_runserver"]:
            require_address(options["with_runserver"])
        config = get_config()
        slots = options["concurrency"] * options["processes"]
        connections.close_all()
        grace = config.worker.grace_seconds if options["grace"] is None else options["grace"]
        supervisor = Supervisor(_programs(options), grace_seconds=grace, liveness_file=options["liveness_file"])
        obey_signals(supervisor.stop)
        signal.signal(signal.SIGCHLD, lambda *_: supervisor.wake())
        self._observer(options).started(f"supervisor {os.getpid()}", queues, slots)
        return supervisor.run()

    def _observer(self, options: dict[str, Any]) -> Observer:
        verbosity = 0 if sys.stdout is None else options["verbosity"]  # a daemon may be started without any output
        if verbosity == 0:
            return Observer()  # rather than one that makes lines, and prints none
        if options["log_format"] == "json":
            return JSONLines(self.stdout, verbosity=verbosity)
        return Console(self.stdout, self.style, verbosity=verbosity, banner=not options["supervised"])


def _run(worker: Worker, options: dict[str, Any]) -> int:
    """Let *worker* work, and tell it what this process is told."""
    if not options["supervised"]:
        obey_signals(worker.stop)
        return worker.run()
    stop_once = obey_supervisor(worker.stop)
    return work_until_code_changes(worker.run, stop_once) if options["reload"] else worker.run()


def _works_alone(options: dict[str, Any]) -> bool:
    """Whether there is nothing to supervise."""
    return options["processes"] == 1 and not options["reload"] and options["with_runserver"] is None


TETHERED = [sys.executable, tether.__file__]
"""Begins the command line of a program that does not listen to its supervisor itself."""


def _programs(options: dict[str, Any]) -> list[Program]:
    """This very command, once for each process, made a worker by its last argument; and the development server."""
    command = get_child_arguments()
    programs = [
        Program(name=f"Worker {number}", arguments=[*command, *_of_worker(number, options)], ends=options["drain"])
        for number in range(1, options["processes"] + 1)
    ]
    if options["with_runserver"] is not None:
        manage = command[: len(command) - len(sys.argv[1:])]
        address = [options["with_runserver"]] if options["with_runserver"] else []
        programs.append(Program(name="runserver", arguments=[*TETHERED, *manage, "runserver", *address]))
    return programs


def _of_worker(number: int, options: dict[str, Any]) -> list[str]:
    """The arguments that only a worker of a supervisor gets: the later one wins."""
    file = options["liveness_file"]
    return ["--supervised"] if file is None else ["--supervised", f"--liveness-file={file}.{number}"]
