"""Where the development server of ``runjobs --with-runserver`` is to listen."""

from __future__ import annotations

import errno
import socket

from django.core.management.base import CommandError
from django.core.management.commands.runserver import naiveip_re

from django_jobqueue.errors import shown


def require_address(address: str) -> None:
    """Raise CommandError for an *address* at which no server could ever listen. One that is taken may be free later."""
    found = naiveip_re.match(address)
    if found is None:
        raise CommandError(f"--with-runserver: must be a port or address:port, got {shown(address)}.")
    host, _, ipv6, _, port = found.groups()
    try:
        with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET) as probe:
            probe.bind((host.strip("[]") if host else "127.0.0.1", int(port)))
    except OverflowError:
        raise CommandError(f"--with-runserver: {shown(port)} is not a port: they go up to 65535.") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise CommandError(f"--with-runserver: no server can listen at {address}: {error.strerror}.") from None
