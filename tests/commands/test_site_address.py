"""``runjobs --with-runserver``: an address at which nothing can listen is refused; one that is taken may be free later."""

from __future__ import annotations

import socket

import pytest
from django.core.management import CommandError

from django_jobqueue.management.site_address import require_address
from tests.commands.conftest import command


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("here", "must be a port or address:port, got 'here'."),
        ("127.0.0.1:http", "must be a port or address:port, got '127.0.0.1:http'."),
        ("127.0.0.1:99999", "'99999' is not a port: they go up to 65535."),
        ("192.0.2.1:8000", "no server can listen at 192.0.2.1:8000: Cannot assign requested address."),
        ("[2001:db8::1]:8000", "no server can listen at [2001:db8::1]:8000: "),
        ("999.1.1.1:8000", "no server can listen at 999.1.1.1:8000: "),
    ],
)
def test_an_address_at_which_nothing_can_listen_is_refused(address: str, told: str) -> None:
    with pytest.raises(CommandError) as caught:
        require_address(address)

    assert str(caught.value).startswith(f"--with-runserver: {told}")


@pytest.mark.parametrize("address", ["0", "127.0.0.1:0", "localhost:0", "0:0"])
def test_any_other_address_will_do(address: str) -> None:
    require_address(address)


def test_an_address_that_is_taken_will_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        require_address(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.django_db
def test_the_command_ends_instead_of_starting_the_server_again_and_again() -> None:
    with pytest.raises(CommandError, match=r"^--with-runserver: must be a port or address:port, got 'here'\.$"):
        command("runjobs", "--with-runserver=here")
