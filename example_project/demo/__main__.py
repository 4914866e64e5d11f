"""``python -m example_project.demo``"""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from typing import NoReturn

import django

from example_project.demo.programs import DemoFailed


def main() -> int:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character must not end the demo
    signal.signal(signal.SIGTERM, _leave)
    os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.config.settings"
    django.setup()
    from example_project.demo.story import tell  # it imports models, for which the apps must be ready

    try:
        return tell()
    except DemoFailed as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _leave(signum: int, frame: object) -> NoReturn:
    sys.exit(128 + signum)  # through all the blocks that stop our programs


if __name__ == "__main__":
    sys.exit(main())
