#!/usr/bin/env python
"""Django's command line for the example: ``python example_project/manage.py <command>``, from any folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.config.settings")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
