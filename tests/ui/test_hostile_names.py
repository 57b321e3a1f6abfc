"""Every page with hostile names and reasons: none of them reaches a place that Streamlit reads as Markdown."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from tests import hostile
from tests.ui.test_pages import PAGES, open_page

pytestmark = pytest.mark.usefixtures("no_process")

# read as Markdown by Streamlit 1.67; not: options of select boxes, cells of tables, charts, code, JSON, alt texts
MARKDOWN_FIELDS = {
    "body",
    "label",
    "help",
    "text",
    "title",
    "caption",
    "captions",
    "content",
    "message",
    "element_label",
}
PLAIN_ELEMENTS = {"json", "code", "html", "text_input", "text_area", "arrow_vega_lite_chart", "arrow_data_frame"}
RAW = re.compile(r"(?<!\\)\]\((?:http|www)|(?<!\\)<(?:img|b>)|www\.evil|(?<!\\)\$m|:smile:|:red\[r|(?<!\\)\*\*s")
DEAD = {"pid": 2**22 + 1, "started": 1.0}
STATES: list[dict[str, Any]] = [
    {"state": "finished"},
    {"state": "failed"},
    {"state": "failed", "is_bug": True},
    {"state": "paused"},
    {"state": "stopped"},
    {"state": "running", **DEAD},  # lost
    {"state": "running", "phase": hostile.NAME},
    {"state": "queued"},
]


def texts(message: Message) -> Iterator[str]:
    """All strings of an element that are read as Markdown."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        for one in values:
            if isinstance(one, Message):
                yield from texts(one)
            elif isinstance(one, str) and field.name in MARKDOWN_FIELDS:
                yield one


def drawn(app: AppTest) -> list[str]:
    """All that the app has drawn as Markdown."""
    found, blocks = [], [app._tree]
    for block in blocks:
        for child in getattr(block, "children", {}).values():
            blocks.append(child)
            if child.type not in PLAIN_ELEMENTS and isinstance(getattr(child, "proto", None), Message):
                found += texts(child.proto)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_no_page_draws_a_name_as_markdown(page, hostile_home):
    hostile.sweep(hostile_home)
    for change in STATES:
        run = hostile.put_into(hostile_home, **change)
        app = open_page(page, dataset=hostile.DATASET, run=run.id)
        if page == "train":
            app.session_state["train-view"] = "Chosen run"
            app.run()
        assert not app.exception
        said = drawn(app)
        assert len(said) > 10
        assert [text for text in said if RAW.search(text)] == []
        names = list(app.dataframe[0].value["dataset"]) if page == "runs" else said  # there in the cells of a table
        assert ("www.evil.example" if page == "runs" else "color[.]evil.example") in "\n".join(names)
        shutil.rmtree(run.folder)
