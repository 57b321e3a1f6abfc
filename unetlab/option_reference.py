"""docs/options.md: every option in one line, made from its field."""

from unetlab.config import about, choices, option_fields, takes_number
from unetlab.option_field import Page

COLUMNS = ("Key", "Label", "Default", "Allowed", "Page", "Level", "Changes", "Help")
PAGES: dict[Page, str] = {"train": "Train", "learning_rate": "Learning rate"}
HEAD = """# Options

Set one with `--set KEY=VALUE`, or in the form of its page, where the *advanced* ones are under Advanced. It can change
*speed*, the time of a step, by a tenth or more; *memory*, the peak of a run; *result*, losses, scores or weights.

`make fix` writes this file from the fields in `unetlab/options.py` and `unetlab/train_options.py`.
"""


def options_reference() -> str:
    """The whole file, in Markdown: a table with a line for each option, in the order of the forms."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, option_fields())]
    return "\n".join([HEAD, *(f"| {' | '.join(row)} |" for row in rows)])


def _row(key: str) -> tuple[str, ...]:
    field, said = option_fields()[key], about(key)
    pages, changes = ", ".join(PAGES[page] for page in said.pages), ", ".join(said.effects)
    row = (
        f"`{key}`",
        field.title,
        f"`{field.default}`",
        _allowed(key),
        pages,
        said.level,
        changes,
        field.description,
    )
    return tuple(cell.replace("|", r"\|") for cell in row)


def _allowed(key: str) -> str:
    """Choices, or bounds, as the config checks them."""
    field = option_fields()[key]
    if names := choices(key):
        return ", ".join(f"`{name}`" for name in names) + (", or a number" if takes_number(key) else "")
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [(sign, getattr(item, name, None)) for item in field.metadata for name, sign in signs.items()]
    bounds = [f"{sign} {bound}" for sign, bound in found if bound is not None]
    return ", ".join(bounds)
