"""The server answers to its own names only: a strange page whose name points to this machine gets no connection."""

import socket
from collections.abc import Iterator

import pytest

from tests.browser.conftest import Server, start_server

LOCAL = ["localhost", "127.0.0.1", "[::1]"]
STRANGE = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as the configuration in this repository starts it."""
    running = start_server(tmp_path_factory.mktemp("local") / "home")
    yield running
    running.stop()


def opened(server: Server, host: str) -> int:
    """The HTTP status that a WebSocket from a page of `host` gets: 101 is a connection, 403 a refusal."""
    port = int(server.url.rpartition(":")[2])
    asked = {
        "Host": f"{host}:{port}",
        "Origin": f"http://{host}:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    lines = ["GET /_stcore/stream HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items()), "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.recv(64).split()[1])


def test_the_names_of_this_machine_are_answered_and_no_others(local):
    assert {host: opened(local, host) for host in LOCAL} == dict.fromkeys(LOCAL, 101)
    assert {host: opened(local, host) for host in STRANGE} == dict.fromkeys(STRANGE, 403)


def test_a_lab_server_names_itself_on_the_command_line(tmp_path):
    server = start_server(tmp_path / "home", "--server.allowedHosts=lab.example.org", "--server.allowedHosts=localhost")
    try:
        asked = {host: opened(server, host) for host in ("lab.example.org", "localhost", "evil.example")}
        assert asked == {"lab.example.org": 101, "localhost": 101, "evil.example": 403}
    finally:
        server.stop()
