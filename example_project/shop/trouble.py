"""Trouble: what goes wrong between real mail servers goes wrong here too, on purpose, the same way every time."""

from __future__ import annotations

from smtplib import SMTPResponseException
from zlib import crc32


def is_greylisted(address: str) -> bool:
    """Say whether the first try is refused, for about one address in eight."""
    return crc32(address.encode()) % 8 == 0


def is_full(address: str) -> bool:
    """Say whether every try is refused, for about one address in a hundred."""
    return crc32(address.encode()) % 100 == 4


def refuse_sometimes(address: str, attempt: int) -> None:
    if is_full(address):
        raise SMTPResponseException(452, "4.2.2 mailbox full")
    if is_greylisted(address) and attempt == 1:
        raise SMTPResponseException(451, "4.7.1 greylisted, try again later")
