"""Hostile texts in a real browser: each is shown as it is, by every kind of call that takes Markdown."""

from tests import tiny
from tests.browser.conftest import start_server
from tests.hostile import EVIL, STRINGS

TIMES = 16  # a text is drawn on the page of letters.py
# what formats, links or loads; our own list, heading, icons and the picture itself aside
FORMATTED = (
    "a, img:not([src*='/media/']), code, pre, em, del, sup, ol, table, hr, blockquote, input[type=checkbox], .katex"
)


def words(text: str) -> str:
    """The text with each stretch of blanks as one."""
    return " ".join(text.split())


def test_a_text_from_a_file_or_a_person_is_shown_as_it_is_by_every_kind_of_call(new_page, tmp_path):
    server = start_server(tmp_path / "home", script="tests/browser/letters.py")
    try:
        page, asked = new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        page.get_by_text("All is drawn.").wait_for(timeout=90_000)
        page.get_by_text("\N{SMILING FACE WITH OPEN MOUTH AND SMILING EYES}").wait_for()
        for number, text in enumerate(STRINGS):
            box = page.locator(f".st-key-text-{number}")
            tiny.wait_until(
                lambda box=box, text=text: words(box.inner_text()).count(words(text)) >= TIMES,
                f"{text} is shown {TIMES} times",
                timeout_s=10,
            )
            assert box.locator(FORMATTED).all_inner_texts() == [], text
        assert not [url for url in asked if EVIL in url]
        assert not [url for url in asked if not url.startswith((server.url, "data:", "blob:"))]
    finally:
        server.stop()
