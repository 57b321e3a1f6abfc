"""Files dropped while others are still being taken.

What comes from the browser starts the page again in a second thread, while the first goes on until it next uses
st.session_state, and is broken off there.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from unetlab.ui import incoming


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Lets nothing break off the body, nor another thread of this session be in one meanwhile."""
    with _unbroken(), _lock():
        yield


def settle(drawn: incoming.Import | None) -> None:
    """At the end of the page: draws it again if another thread has begun an import since. drawn: the one it shows."""
    with _lock():
        followed = incoming.current()
    if followed != drawn:
        st.rerun()


def keep_upload_answers() -> None:
    """Keeps the browser's permission to upload when a run of the page starts just then.

    Streamlit 1.67 clears what it has not sent yet, and with it the addresses that a drop waits for: it would never be
    uploaded, and nothing would be said. Private API: without it drops are as they are there.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

        clear = ForwardMsgQueue.clear
        if hasattr(clear, "keeps_upload_answers"):
            return

        def clear_the_rest(self: ForwardMsgQueue, *args: Any, **kwargs: Any) -> None:
            answers = [message for message in self._queue if message.WhichOneof("type") == "file_urls_response"]
            clear(self, *args, **kwargs)
            self._queue += [message for message in answers if message not in self._queue]

        clear_the_rest.keeps_upload_answers = True  # pyright: ignore[reportFunctionMemberAccess]
        ForwardMsgQueue.clear = clear_the_rest


def _lock() -> threading.Lock:
    return st.session_state.setdefault("dropping", threading.Lock())


@contextlib.contextmanager
def _unbroken() -> Iterator[None]:
    """Private API: without it the body runs like any other code."""
    session = getattr(get_script_run_ctx(), "session_state", None)
    break_off = getattr(session, "_yield_callback", None)
    if break_off is not None:
        object.__setattr__(session, "_yield_callback", lambda: None)
    try:
        yield
    finally:
        if break_off is not None:
            object.__setattr__(session, "_yield_callback", break_off)
