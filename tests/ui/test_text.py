"""Text from files and people, as Markdown: the text itself comes out, and nothing that Streamlit would act on."""

import ast
import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.conftest import ROOT
from tests.hostile import STRINGS
from unetlab.ui.text import plain, shortened, told_apart

CUT = re.compile(r":color\[(\\?.)\]")  # one character in a text node of its own
# what Streamlit 1.67 looks for in text nodes: StreamlitMarkdown.tsx, mdast-util-gfm-autolink-literal, remark-emoji
READ_LATE = [
    r"https?://[-.\w]",
    r"(?i)www\.[-.\w]",
    r"[-.\w+]+@[-\w]+\.[-\w]",
    r":\+1:|:[-\w]+:",
    r"(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)",
]
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PIECES = [
    *STRINGS,
    *"\\`*_$~[](){}<>&#|:!-+=.1 aw@/\n",
    "http",
    "www.",
    "red",
    "smile",
    "color",
    "    ",
    "://",
    "\u200b",
]


def read_back(markdown: str) -> str:
    """The text that the Markdown shows, after a check that it is one paragraph of nothing but text."""
    rendered = MARKDOWN.render(CUT.sub(r"\1", markdown)).strip()
    lines = rendered.removeprefix("<p>").removesuffix("</p>").replace("<br />", "")
    assert "<" not in lines, rendered
    return html.unescape(lines)


def lines_of(text: str) -> list[str]:
    """Its lines without the blanks around them and without empty ones."""
    return [line for line in (" ".join(line.split()) for line in re.split(r"[\r\n]", text)) if line]


@pytest.mark.parametrize(
    ("text", "limit", "said"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc…fg"), ("abcdefgh", 5, "ab…gh"), ("a" * 40 + "b" * 24, 32, None)],
)
def test_a_shortened_name_keeps_both_ends_within_its_limit(text, limit, said):
    assert shortened(text, limit) == (said or f"{'a' * 16}…{'b' * 15}")


@pytest.mark.parametrize("text", STRINGS)
def test_a_hostile_text_comes_out_letter_by_letter(text):
    assert lines_of(read_back(plain(text))) == lines_of(text)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_is_put_together_comes_out_and_nothing_in_it_is_acted_on(text):
    markdown = plain(text)
    assert lines_of(read_back(markdown)) == lines_of(text)
    assert not re.search(r"(?<!\\):[a-zA-Z]", CUT.sub("", markdown)), markdown  # directives: ours alone
    assert ":material/" not in markdown
    for node in CUT.split(markdown)[::2]:
        shown = re.sub(r"\\(?=[^\w\s])", "", node)
        assert not any(re.search(pattern, shown) for pattern in READ_LATE), markdown


def test_lines_stay_lines_and_a_word_stays_as_it_is():
    assert plain("One\n\n  two") == "One  \ntwo"
    assert plain("12.5 GB, nucleus-1 (left): 3") == "12.5 GB, nucleus-1 (left): 3"


def test_what_turns_the_direction_of_writing_is_shown_by_its_code():
    assert read_back(plain("a\u202egpj.exe\u2066")) == "a[U+202E]gpj.exe[U+2066]"
    assert plain("\u05e9\u05dc\u05d5\u05dd") == "\u05e9\u05dc\u05d5\u05dd"


def test_a_long_name_loses_its_middle_and_keeps_both_ends():
    assert shortened("cell_01.png") == "cell_01.png"
    assert shortened("a" * 32) == "a" * 32
    assert shortened(f"survey{'x' * 50}0042.png", 20) == "surveyxxxx…x0042.png"
    assert len(shortened("b" * 33)) == 32


def test_long_names_shown_together_are_told_apart_by_what_differs():
    names = [
        f"Experiment-2024-03-17_plate-12_well-{row}{column:02}_field-001_channel-DAPI_proj_registered"
        for row in "ABC"
        for column in (3, 4)
    ]
    assert len({shortened(name) for name in names}) == 1
    short = told_apart(names)
    assert short[3] == "…plate-12_well-B04_field-001_ch…"
    assert len({*short}) == len(names)
    assert all(len(name) <= 32 for name in short)
    assert told_apart([f"{'x' * 30}{end}xxxx" for end in "ab"], 10) == ["…xxxxaxxx…", "…xxxxbxxx…"]
    long = [f"{'x' * 20}1{'y' * 20}{end}{'x' * 20}" for end in "12"]
    long.append(f"{'x' * 20}2{'z' * 9}3{'x' * 20}")
    assert told_apart(long, 16) == ["…1yyyyyy…yyyyy1…", "…1yyyyyy…yyyyy2…", "…xx2zzzzzzzzz3x…"]


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a" * 40] * 2, ["cell_01.png", "cell_02.png"]])
def test_names_that_are_short_alone_or_the_same_are_shortened_as_any_other(names):
    assert told_apart(names) == [shortened(name) for name in names]


@given(st.lists(st.text(alphabet="ab", max_size=20), max_size=5), st.integers(5, 12))
def test_no_shortened_name_is_longer_than_its_limit(names, limit):
    assert all(len(short) <= max(limit, 1) for short in told_apart(names, limit))


DRAWING = re.compile(
    "markdown|write|caption|info|error|warning|success|badge|metric|expander|button|popover|tabs|toast|radio|title|header|"
    "subheader|segmented_control|image|progress|spinner|page_link|toggle|slider|form_submit_button|dialog"
)
FOREIGN = re.compile("names?|title|reason|message|dataset|label|remarks|tags|class_names|lr_source")
OURS = {"step.name", "field.title"}


def foreign_words(node: ast.AST) -> list[str]:
    """Names, reasons and the like in an expression that no `plain(...)` stands around."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "plain":
        return []
    is_foreign = (
        (isinstance(node, ast.Attribute) and FOREIGN.fullmatch(node.attr))
        or (isinstance(node, ast.Subscript) and FOREIGN.fullmatch(str(getattr(node.slice, "value", ""))))
        or (isinstance(node, ast.Name) and node.id in ("error", "problem"))
    )
    found = [ast.unparse(node)] if is_foreign and not isinstance(getattr(node, "ctx", None), ast.Store) else []
    return found + [word for child in ast.iter_child_nodes(node) for word in foreign_words(child)]


def test_no_call_that_draws_markdown_is_given_a_name_as_it_is():
    drawn, seen = [], 0
    for path in [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "unetlab" / "ui").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and DRAWING.fullmatch(node.func.attr)
            ):
                seen += 1
                given_texts = [*node.args, *(k.value for k in node.keywords if k.arg not in ("alt", "args", "key"))]
                words = {word for argument in given_texts for word in foreign_words(argument)} - OURS
                drawn += [f"{path.name}:{node.lineno}: {word}" for word in sorted(words)]
    assert seen > 150
    assert drawn == []
