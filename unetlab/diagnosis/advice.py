"""What a finding tells a person, and what the modules beside it share. Pure."""

from dataclasses import dataclass, field

DATA_PAGE, LR_PAGE = "pages/lab/data.py", "pages/lab/learning_rate.py"


@dataclass(frozen=True)
class Advice:
    """What to tell a person. `cause`: its key. `message`: lines that say what happened, why, and what to do.

    `changes`: option by dotted key -> new value, one run; `page`: where else to look, `link` says for what.
    """

    cause: str
    message: str
    changes: dict[str, object] = field(default_factory=dict)
    page: str | None = None
    link: str = ""


def for_rare_classes(loss: object, class_weights: object) -> dict[str, object]:
    """What is not yet done to make rare classes count in the loss."""
    changes: dict[str, object] = {}
    if loss != "cross_entropy+dice":
        changes["train.loss"] = "cross_entropy+dice"
    if class_weights != "balanced":
        changes["train.class_weights"] = "balanced"
    return changes


def percent(share: float) -> str:
    """A share 0..1 with two digits: "0.02 %"."""
    return f"{100 * share:.2g} %"


def rounded(rate: float) -> float:
    """A learning rate with two digits."""
    return float(f"{rate:.2g}")
