"""Why is one class predicted everywhere (a black mask), and which run mends it. Pure.

Numbers without a named source were set here from trainings that went wrong on purpose: tests/training/test_alarm.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unetlab.diagnosis.advice import DATA_PAGE, LR_PAGE, Advice, for_rare_classes, percent, rounded
from unetlab.schedules import proposed_epochs

ONE_CLASS = 0.999  # from this share of the pixels on, one class is everywhere
PRACTICALLY_NONE = 0.001  # below this share of the truth, a split shows one class only
RARE = 0.1  # below this share of the training pixels, a loss that counts pixels hardly notices the other classes
SETTLED_STEPS = 30  # nothing is certain before; running averages (momentum 0.1) hold 0.9^30 = 4 % of their beginning
SHORT_STEPS = 2 * SETTLED_STEPS  # a run of fewer steps is hardly more than a beginning
SHOWN_DICE = 0.05  # from this Dice on, ours, a class is predicted somewhere: black masks leave it near 0
LASTING = ("masks",)  # causes that hold also when several classes are predicted
IN_A_ROW = 2  # so many black validations in a row: a single one comes and goes while the rate is high
EXPLODED = 4.0  # a loss this many times the reference has blown up: fastai's rule for the end of a sweep
FALLING = 0.98  # a loss is still falling when its newer half is below this times the older: lr_curve's 2 %
FLAT_ANSWER = 1e-3  # logits that differ by less between pixels do not look at the picture; healthy ones differ by 0.3
TINY_BATCH, GOOD_BATCH = 4, 8  # BatchNorm's error rises steeply below 8: Wu and He 2018 (Group Normalization), figure 1
SMALLEST_IMAGE = 16  # the form's lower bound, in px


@dataclass(frozen=True)
class BlackMask:
    """What was measured of a training whose validation predictions show `predicted` everywhere.

    `train_shares`, `valid_shares`: class name -> share 0..1 of the true pixels. `losses`, `lrs`: of the steps so far,
    oldest first, those of the last epoch at least. `constant_loss`: of answering every pixel with the classes' shares.
    `batch_share`, `scored_share`: the largest share of one class in the predictions for one batch of training
    pictures, by the batch's own statistics and by those that validation takes, which are BatchNorm's running ones if
    `is_running`. `spread`: standard deviation of the logits between pixels, by the batch's statistics. `in_a_row`:
    validations that were black, this one included. `batch_size`: pictures that go through the network at a time; it is
    below `asked_batch_size` where the memory ran out. `is_swept`: the rate was read from a sweep of the LR finder.
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
    is_swept: bool

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


def is_black_by(dice: Mapping[str, float | None]) -> bool:
    """Whether the Dice of each class says that one class is predicted everywhere: no second one has any."""
    return sum((value or 0.0) >= SHOWN_DICE for value in dice.values()) < 2


def black_mask(facts: BlackMask) -> Advice:
    """The cause that the facts speak for, the plainest first; "early" means wait, and is no alarm."""
    causes = (_masks, _blown_up_weights, _few_steps, _batch_norm, _still_early, _imbalance, _loss_of_a_constant)
    for look in causes:
        if advice := look(facts):
            return advice
    return _unclear(facts)


def _masks(facts: BlackMask) -> Advice | None:
    for shares, words in ((facts.train_shares, "training"), (facts.valid_shares, "validation")):
        largest = max(shares, key=lambda name: shares[name])
        others = 1 - shares[largest]
        if others >= PRACTICALLY_NONE:
            continue
        what = f"The {words} masks hold {'only' if others < 1e-9 else 'almost only'} “{largest}”"
        what += "." if others < 1e-9 else f": all other classes together make {percent(others)} of their pixels."
        mend = "Check on the Data page how mask values become classes, and which pictures are in which split."
        if words == "validation":
            why = "Their scores cannot show anything else. Either mask values are read wrongly, or all pictures with "
            why += "objects are in the training split."
            return Advice("masks", f"{what}\n{why}\n{mend}", page=DATA_PAGE)
        why = "The model learns what the masks show. Most often mask values are read wrongly."
        changes = for_rare_classes(facts.loss, facts.class_weights) if others > 1e-9 else {}
        if changes:
            mend += " If the objects really are that small, give rare classes more weight in the loss."
        return Advice("masks", f"{what}\n{why}\n{mend}", changes, DATA_PAGE)
    return None


def _blown_up_weights(facts: BlackMask) -> Advice | None:
    """A loss far above where it began, or a prediction that no longer depends on the picture."""
    reference = max(facts.losses[0], facts.constant_loss)
    if facts.valid_loss > EXPLODED * reference:
        why = f"The validation loss is {facts.valid_loss:.2g}; the training loss began at {facts.losses[0]:.2g}"
    elif facts.recent_loss > max(EXPLODED * min(facts.losses), facts.constant_loss):
        why = f"The training loss rose from {min(facts.losses):.2g} to {facts.recent_loss:.2g}"
    elif facts.spread < FLAT_ANSWER:
        why = "The model predicts the same for every picture"
    else:
        return None
    return _lower_rate(facts, f"{why}. Training became unstable.")


def _few_steps(facts: BlackMask) -> Advice | None:
    planned = facts.epochs * facts.steps_per_epoch
    if planned < SHORT_STEPS:
        epochs = proposed_epochs(facts.steps_per_epoch)
        why = f"This run has only {planned} steps, hardly more than a beginning."
        if facts.is_running:
            why += f" BatchNorm's running averages alone need about {SETTLED_STEPS} to catch up with training."
        do = f"Train for {epochs} epochs ({epochs * facts.steps_per_epoch} steps)."
        return Advice("few-steps", f"{_what(facts)}\n{why}\n{do}", {"train.epochs": epochs})
    return _wait(facts) if facts.step < SETTLED_STEPS else None


def _still_early(facts: BlackMask) -> Advice | None:
    """The rate has hardly risen, no class is rare and the loss falls, or it is the first: it may well come right."""
    may_pass = facts.is_rising or (facts.is_falling and facts.other_share >= RARE) or facts.in_a_row < IN_A_ROW
    return _wait(facts) if may_pass else None


def _wait(facts: BlackMask) -> Advice:
    planned = facts.epochs * facts.steps_per_epoch
    signs = [", the learning rate is still rising"] * facts.is_rising + [", the loss is falling"] * facts.is_falling
    why = f"This is step {facts.step} of {planned}{''.join(signs)}: this often passes."
    return Advice("early", f"{_what(facts)}\n{why}\nWait. If it stays, a note will name the likely cause.")


def _batch_norm(facts: BlackMask) -> Advice | None:
    """With the batch's own statistics the network does see the classes, with those of predictions it does not."""
    drawn = 1 - facts.batch_share
    if facts.scored_share < ONE_CLASS or drawn < facts.other_share / 2:
        return None
    averages = "running averages" if facts.is_running else "averages over many pictures"
    why = f"On training pictures it predicts other classes ({percent(drawn)} of the pixels) when BatchNorm uses those "
    why += f"pictures' own mean and variance, as in training, but not with the {averages} that predictions use."
    if facts.batch_size <= TINY_BATCH:
        few = "one picture" if facts.batch_size == 1 else f"{facts.batch_size} pictures"
        why += f" Averages over batches of {few} are too noisy."
        changes: dict[str, object] = {"train.batch_size": max(GOOD_BATCH, facts.asked_batch_size)}
        do = f"Train with a batch size of {GOOD_BATCH}. "
        if facts.asked_batch_size > facts.batch_size:
            changes["data.image_size"] = max(facts.image_size // 2, SMALLEST_IMAGE)
            do = "Train at half the image size, so that more pictures fit into memory at a time. "
        do += "Accumulated batches do not help: BatchNorm sees each alone."
    elif facts.is_running:
        why += f" At a learning rate of {max(facts.lrs):.2g} the weights move faster than the averages follow."
        do = "Train with statistics that are estimated anew before each validation."
        changes = {"train.norm_statistics": "reestimated"}
    else:
        rate = rounded(max(facts.lrs) / 3)
        why += f" The pictures differ too much for a learning rate as high as {max(facts.lrs):.2g}."
        do = f"Train with a third of that rate: {rate:g}."
        changes = {"train.max_lr": rate}
    return Advice("batch-norm", f"{_what(facts)}\n{why}\n{do}", changes)


def _imbalance(facts: BlackMask) -> Advice | None:
    changes = for_rare_classes(facts.loss, facts.class_weights)
    if facts.other_share >= RARE or not changes:
        return None
    why = f"All other classes together make {percent(facts.other_share)} of the training pixels. "
    if facts.loss != "cross_entropy":
        why += "They count little in this loss, so missing them costs almost nothing."
    else:
        why += "Cross-entropy counts every pixel alike, so missing them costs almost nothing."
    do = "Train with cross-entropy plus Dice and balanced class weights, so that rare classes count more."
    return Advice("imbalance", f"{_what(facts)}\n{why}\n{do}", changes)


def _loss_of_a_constant(facts: BlackMask) -> Advice | None:
    """At its highest rate the model does no better than a prediction that never looks at the picture."""
    if facts.other_share < RARE or facts.recent_loss < max(facts.constant_loss, FALLING * facts.losses[0]):
        return None
    why = f"The training loss is {facts.recent_loss:.2g}, no lower than that of one prediction for all pixels "
    return _lower_rate(facts, f"{why}({facts.constant_loss:.2g}). At this rate training cannot settle.")


def _unclear(facts: BlackMask) -> Advice:
    rate, rare = rounded(max(facts.lrs) / 3), for_rare_classes(facts.loss, facts.class_weights)
    why = "The numbers do not show a clear cause. Two are likely: a learning rate that is too high "
    why += f"({max(facts.lrs):.2g}), and "
    if rare:
        why += f"classes that count too little in the loss ({percent(facts.other_share)} of the training pixels are "
        why += "not of this class)."
        do = "The proposed run changes both. Check the masks on the Data page as well."
    else:
        why += "masks that do not fit their pictures."
        do = "Check the masks on the Data page first. The proposed run has a third of the rate."
    return Advice("unclear", f"{_what(facts)}\n{why}\n{do}", {"train.max_lr": rate} | rare, DATA_PAGE)


def _lower_rate(facts: BlackMask, why: str) -> Advice:
    """A tenth of the highest rate so far: fastai's min loss / 10, one order below where the loss no longer falls."""
    highest = max(facts.lrs)
    rate = rounded(highest / 10)
    why += f" The learning rate is too high: it has reached {highest:.2g}."
    do = f"Train with a tenth of it ({rate:g})"
    if facts.is_swept:
        return Advice("learning-rate", f"{_what(facts)}\n{why}\n{do}.", {"train.max_lr": rate})
    do += ", or let the LR finder measure the rate for these pictures."
    return Advice("learning-rate", f"{_what(facts)}\n{why}\n{do}", {"train.max_lr": rate}, LR_PAGE)


def _what(facts: BlackMask) -> str:
    return f"The model predicts “{facts.predicted}” for every pixel of the validation pictures."
