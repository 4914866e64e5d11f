"""JSON values as texts that equal values, and no others, have in common."""

from __future__ import annotations

import json
from hashlib import sha256


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: object) -> str:
    """A hash of 64 characters."""
    return sha256(canonical(value).encode()).hexdigest()
