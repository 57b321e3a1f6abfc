"""Facts of a training that went wrong -> what happened, why probably, and the run that mends it. Pure.

Two questions: why is one class predicted everywhere (a black mask), and what to do after losses that are not finite.
Numbers without a named source were set here from trainings that went wrong on purpose: tests/training/test_alarm.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Cause = Literal["masks", "imbalance", "learning-rate", "batch-norm", "few-steps", "early", "unclear", "not-finite"]

ONE_CLASS = 0.999  # from this share of the pixels on, one class is everywhere
PRACTICALLY_NONE = 0.001  # below this share of the truth, a split shows one class only
RARE = 0.1  # below this share of the training pixels, a loss that counts pixels hardly notices the other classes
SETTLED_STEPS = 30  # nothing is certain before; running averages (momentum 0.1) hold 0.9^30 = 4 % of their beginning
SHORT_STEPS = 2 * SETTLED_STEPS  # a run of fewer steps is hardly more than a beginning
ENOUGH_STEPS = 150  # what a run is lengthened to: five times SETTLED_STEPS
IN_A_ROW = 2  # so many black validations in a row: a single one comes and goes while the rate is high
EXPLODED = 4.0  # a loss this many times the reference has blown up: fastai's rule for the end of a sweep
FALLING = 0.98  # a loss is still falling when its newer half is below this times the older: lr_curve's 2 %
FLAT_ANSWER = 1e-3  # logits that differ by less between pixels do not look at the picture; healthy ones differ by 0.3
TINY_BATCH, GOOD_BATCH = 4, 8  # BatchNorm's error rises steeply below 8: Wu and He 2018 (Group Normalization), figure 1
SMALLEST_IMAGE = 16  # the form's lower bound, in px
CLIP_NORM = 1.0  # the usual threshold: milesial's Pytorch-UNet, Hugging Face's Trainer
DATA_PAGE, LR_PAGE = "pages/lab/data.py", "pages/lab/learning_rate.py"


@dataclass(frozen=True)
class Advice:
    """What to tell a person. `changes`: option by dotted key -> new value, one run; `page`: where else to look."""

    cause: Cause
    message: str
    changes: dict[str, object] = field(default_factory=dict)
    page: str | None = None


@dataclass(frozen=True)
class BlackMask:
    """What was measured of a training whose validation predictions show `predicted` everywhere.

    `train_shares`, `valid_shares`: class name -> share 0..1 of the true pixels. `losses`, `lrs`: of the steps so far,
    oldest first, those of the last epoch at least. `constant_loss`: of answering every pixel with the classes' shares.
    `batch_share`, `scored_share`: the largest share of one class in the predictions for one batch of training
    pictures, by the batch's own statistics and by those that validation takes, which are BatchNorm's running ones if
    `is_running`. `spread`: standard deviation of the logits between pixels, by the batch's statistics. `in_a_row`:
    validations that were black, this one included. `batch_size`: pictures that go through the network at a time; it is
    below `asked_batch_size` where the memory ran out.
    """

    predicted: str
    train_shares: Mapping[str, float]
    valid_shares: Mapping[str, float]
    losses: Sequence[float]
    lrs: Sequence[float]
    valid_loss: float
    constant_loss: float
    batch_share: float
    scored_share: float
    is_running: bool
    spread: float
    in_a_row: int
    steps_per_epoch: int
    step: int
    epochs: int
    max_lr: float
    loss: str
    class_weights: str
    batch_size: int
    asked_batch_size: int
    image_size: int

    @property
    def other_share(self) -> float:
        """Share of the training pixels that are not of the predicted class."""
        return 1 - self.train_shares[self.predicted]

    @property
    def recent_loss(self) -> float:
        """Mean loss of the last epoch."""
        last = self.losses[-self.steps_per_epoch :]
        return sum(last) / len(last)

    @property
    def is_falling(self) -> bool:
        """Whether the newer half of the losses lies below the older."""
        half = len(self.losses) // 2
        return half > 0 and sum(self.losses[-half:]) < FALLING * sum(self.losses[:half])

    @property
    def is_rising(self) -> bool:
        """Whether the learning rate has not come near its peak yet."""
        return max(self.lrs) < self.max_lr / 2


def black_mask(facts: BlackMask) -> Advice:
    """The cause that the facts speak for, the plainest first; "early" means wait, and is no alarm."""
    causes = (_masks, _blown_up_weights, _few_steps, _batch_norm, _still_early, _imbalance, _loss_of_a_constant)
    for look in causes:
        if advice := look(facts):
            return advice
    return _unclear(facts)


def blown_up(precision: str, lr: float, step: int, skipped: int) -> Advice:
    """After `skipped` steps in a row, the last of them `step` (from 0) at rate `lr`, without finite numbers.

    skipped = 0: the steps were finite, the validation loss after `step` was not.

    The proposed run has a third of the rate, half an order of magnitude; fp32 instead of mixed precision; clipping.
    """
    rate, is_mixed = _rounded(lr / 3), precision != "fp32"
    count = "one step" if skipped == 1 else f"{skipped} steps in a row"
    what = f"Training ended at step {step + 1}: {count} gave a loss or gradients that are not finite numbers."
    if not skipped:
        what = f"Training ended after step {step + 1}: the loss on the validation pictures is not a finite number."
    why = f"Most often the learning rate is too high: it stood at {lr:.2g}."
    if precision == "fp16-mixed":
        why += " Or a number passed 65504, the largest that half precision (fp16) can hold."
    elif is_mixed:
        why += " Rounding to bf16's three digits can add to it."
    do = f"Train again with a third of the rate ({rate:g}) and gradients clipped to a norm of {CLIP_NORM:g}"
    changes: dict[str, object] = {"train.max_lr": rate, "train.clip_norm": CLIP_NORM}
    if is_mixed:
        do += ", in fp32: slower, but it rules the precision out"
        changes["train.precision"] = "fp32"
    return Advice("not-finite", f"{what} The weights from before are kept.\n{why}\n{do}.", changes)


def stopped_within(epoch: int, *, is_first: bool) -> str:
    """What a stop within `epoch` (from 0) leaves: which weights are the best ones, which those of that moment."""
    if is_first:
        return "Stopped within the first epoch: its weights are the best so far, until a whole epoch has been scored."
    return (
        f"Stopped within epoch {epoch + 1}. The best weights are those of the best whole epoch: which one that is does "
        "not depend on when a run was stopped. The weights of this moment are kept as the last ones."
    )


def _masks(facts: BlackMask) -> Advice | None:
    for shares, words in ((facts.train_shares, "training"), (facts.valid_shares, "validation")):
        largest = max(shares, key=lambda name: shares[name])
        others = 1 - shares[largest]
        if others >= PRACTICALLY_NONE:
            continue
        what = f"The masks of the {words} pictures hold {'only' if others < 1e-9 else 'almost only'} “{largest}”"
        what += "." if others < 1e-9 else f": all other classes together make {_percent(others)} of their pixels."
        mend = "See on the Data page how the mask values are read as classes, and which pictures are in which split."
        if words == "validation":
            why = "Nothing else can be learnt from their scores: either their masks are read wrongly, or the split put "
            why += "all pictures with objects on the other side."
            return Advice("masks", f"{what}\n{why}\n{mend}", page=DATA_PAGE)
        why = "The network learns what the masks say. Most often their values are read wrongly."
        changes = _for_rare_classes(facts) if others > 1e-9 else {}
        if changes:
            mend += " If the objects really are that small, train so that rare classes count more."
        return Advice("masks", f"{what}\n{why}\n{mend}", changes, DATA_PAGE)
    return None


def _blown_up_weights(facts: BlackMask) -> Advice | None:
    """A loss far above where it began, or an answer that no longer depends on the picture."""
    reference = max(facts.losses[0], facts.constant_loss)
    if facts.valid_loss > EXPLODED * reference:
        why = f"The validation loss is {facts.valid_loss:.2g}; the training loss began at {facts.losses[0]:.2g}"
    elif facts.recent_loss > max(EXPLODED * min(facts.losses), facts.constant_loss):
        why = f"The training loss rose from {min(facts.losses):.2g} to {facts.recent_loss:.2g}"
    elif facts.spread < FLAT_ANSWER:
        why = "The network gives the same answer whatever the picture shows"
    else:
        return None
    return _lower_rate(facts, f"{why}: too large steps have thrown the weights far off.")


def _few_steps(facts: BlackMask) -> Advice | None:
    planned = facts.epochs * facts.steps_per_epoch
    if planned < SHORT_STEPS:
        epochs = -(-ENOUGH_STEPS // facts.steps_per_epoch)
        why = f"This run has only {planned} steps, hardly more than a beginning."
        if facts.is_running:
            why += f" BatchNorm's running averages alone need about {SETTLED_STEPS} to catch up with training."
        do = f"Train for {epochs} epochs, which makes {epochs * facts.steps_per_epoch} steps."
        return Advice("few-steps", f"{_what(facts)}\n{why}\n{do}", {"train.epochs": epochs})
    return _wait(facts) if facts.step < SETTLED_STEPS else None


def _still_early(facts: BlackMask) -> Advice | None:
    """The rate has hardly risen, no class is rare and the loss falls, or it is the first: it may well come right."""
    may_pass = facts.is_rising or (facts.is_falling and facts.other_share >= RARE) or facts.in_a_row < IN_A_ROW
    return _wait(facts) if may_pass else None


def _wait(facts: BlackMask) -> Advice:
    planned = facts.epochs * facts.steps_per_epoch
    signs = [", the learning rate is still rising"] * facts.is_rising + [", the loss is falling"] * facts.is_falling
    why = f"This is step {facts.step} of {planned}{''.join(signs)}: that often passes."
    return Advice("early", f"{_what(facts)}\n{why}\nWait. If it stays so, you will be told the likely cause.")


def _batch_norm(facts: BlackMask) -> Advice | None:
    """With the batch's own statistics the network does see the classes, with those of predictions it does not."""
    drawn = 1 - facts.batch_share
    if facts.scored_share < ONE_CLASS or drawn < facts.other_share / 2:
        return None
    averages = "running averages" if facts.is_running else "averages over many pictures"
    why = f"On training pictures it does see other classes ({_percent(drawn)} of the pixels) when BatchNorm uses those "
    why += f"pictures' own mean and variance, as in training, but not with the {averages} that predictions use."
    if facts.batch_size <= TINY_BATCH:
        few = "one picture" if facts.batch_size == 1 else f"{facts.batch_size} pictures"
        why += f" Averages over batches of {few} fit no picture well."
        changes: dict[str, object] = {"train.batch_size": max(GOOD_BATCH, facts.asked_batch_size)}
        do = f"Train with a batch size of {GOOD_BATCH}. "
        if facts.asked_batch_size > facts.batch_size:
            changes["data.image_size"] = max(facts.image_size // 2, SMALLEST_IMAGE)
            do = "Train with pictures of half the size: then the memory holds more of them at a time. "
        do += "Accumulated batches do not help: each meets BatchNorm alone."
    elif facts.is_running:
        why += f" At a learning rate of {max(facts.lrs):.2g} the weights move faster than the averages follow."
        do = "Train with statistics that are estimated anew before each validation."
        changes = {"train.norm_statistics": "reestimated"}
    else:
        rate = _rounded(max(facts.lrs) / 3)
        why += " The pictures differ too much from one another at a learning rate as high as "
        why += f"{max(facts.lrs):.2g}."
        do = f"Train with a third of that rate: {rate:g}."
        changes = {"train.max_lr": rate}
    return Advice("batch-norm", f"{_what(facts)}\n{why}\n{do}", changes)


def _imbalance(facts: BlackMask) -> Advice | None:
    changes = _for_rare_classes(facts)
    if facts.other_share >= RARE or not changes:
        return None
    why = f"All other classes together make {_percent(facts.other_share)} of the training pixels. "
    if facts.loss != "cross_entropy":
        why += "They count little in this loss: leaving them out costs it almost nothing."
    else:
        why += "Cross-entropy counts every pixel alike, so leaving them out costs it almost nothing."
    do = "Train with cross-entropy and Dice and balanced class weights: then rare classes count."
    return Advice("imbalance", f"{_what(facts)}\n{why}\n{do}", changes)


def _loss_of_a_constant(facts: BlackMask) -> Advice | None:
    """At its highest rate the network does no better than somebody who never looks at the picture."""
    if facts.other_share < RARE or facts.recent_loss < max(facts.constant_loss, FALLING * facts.losses[0]):
        return None
    why = f"The training loss is {facts.recent_loss:.2g}; answering every pixel alike, without looking, would give "
    return _lower_rate(facts, f"{why}{facts.constant_loss:.2g}. At this rate the network cannot settle.")


def _unclear(facts: BlackMask) -> Advice:
    rate, rare = _rounded(max(facts.lrs) / 3), _for_rare_classes(facts)
    why = f"The cause is not clear from the numbers. Two fit: a learning rate that is too high ({max(facts.lrs):.2g}), "
    if rare:
        why += "and classes that count too little in the loss (all but this one make "
        why += f"{_percent(facts.other_share)} of the training pixels)."
        do = "The proposed run changes both. Look at the masks on the Data page as well."
    else:
        why += "and masks that do not fit their pictures."
        do = "Look at the masks on the Data page first; the proposed run lowers the rate to a third."
    return Advice("unclear", f"{_what(facts)}\n{why}\n{do}", {"train.max_lr": rate} | rare, DATA_PAGE)


def _lower_rate(facts: BlackMask, why: str) -> Advice:
    """A tenth of the highest rate so far: fastai's min loss / 10, one order below where the loss no longer falls."""
    highest = max(facts.lrs)
    rate = _rounded(highest / 10)
    why += f" The learning rate is too high: it has reached {highest:.2g}."
    do = f"Train with a tenth of it ({rate:g}), or let the LR finder measure the rate for these pictures."
    return Advice("learning-rate", f"{_what(facts)}\n{why}\n{do}", {"train.max_lr": rate}, LR_PAGE)


def _for_rare_classes(facts: BlackMask) -> dict[str, object]:
    """What is not yet done to make rare classes count in the loss."""
    changes: dict[str, object] = {}
    if facts.loss != "cross_entropy+dice":
        changes["train.loss"] = "cross_entropy+dice"
    if facts.class_weights != "balanced":
        changes["train.class_weights"] = "balanced"
    return changes


def _what(facts: BlackMask) -> str:
    return f"The network answers “{facts.predicted}” for every pixel of the validation pictures."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")
