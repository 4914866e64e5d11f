"""What mypy says, with the cache that ``make lint`` has filled."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".mypy_cache"


def mypy(*files: Path | str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Check *files* of a folder, one call at a time: the cache is a database of a single writer."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run(
            [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", CACHE, *files],
            cwd=folder,
            env=os.environ
            | {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)},
            check=False,
            capture_output=True,
            text=True,
        )
