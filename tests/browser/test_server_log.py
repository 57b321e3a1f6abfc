"""What in a server's log fails a browser test."""

import pytest

from tests.browser.conftest import has_exception

FRAME = (
    '  File "starlette_websocket.py", line 516, in _websocket_endpoint\n    data = await websocket.receive_bytes()\n'
)
LOST_TAB = f"""Uvicorn server started on 127.0.0.1:33205
Exception in ASGI application
Traceback (most recent call last):
{FRAME}starlette.websockets.WebSocketDisconnected: WebSocket is not connected. Need to call "accept" first.

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
{FRAME}starlette.websockets.WebSocketDisconnected: Cannot call "send" once a close message has been sent.
"""
OURS = f"Traceback (most recent call last):\n{FRAME}KeyError: 'epoch'\n"


@pytest.mark.parametrize(
    ("log", "fails"),
    [
        (LOST_TAB, False),
        (LOST_TAB * 2, False),
        (LOST_TAB + OURS, True),
        (OURS + LOST_TAB, True),
        (LOST_TAB + OURS + LOST_TAB, True),
        (f"Exception in ASGI application\n{OURS}{LOST_TAB}", True),
        (LOST_TAB.replace("Need to", "").replace("Cannot call", "").replace("starlette.websockets.", ""), True),
    ],
)
def test_a_tab_that_was_closed_while_it_connected_is_no_failure_and_all_else_is(log: str, fails: bool):
    assert has_exception(log) is fails
