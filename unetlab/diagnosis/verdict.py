"""The verdict on a training that has ended: what its numbers say, and one run or one place to go next. Pure.

To extend it: another finding is a function of Outcome with a line in FINDINGS, the worst first; another thing to try
is one with a line in REMEDIES, the plainest first.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unetlab.diagnosis.advice import DATA_PAGE, LR_PAGE, Advice, for_rare_classes, percent
from unetlab.diagnosis.black_mask import LASTING, RARE
from unetlab.schedules import WORTHWHILE, are_few, proposed_epochs

# agreement beyond chance is slight up to .2, substantial from .6 and almost perfect from .8: Landis and Koch 1977 on
# kappa, which Dice comes close to where the background is large (Zijdenbos et al. 1994)
SLIGHT, FAIR, GOOD = 0.2, 0.6, 0.8
NO_GAIN = 0.05  # ours: mending fewer of the baseline's wrong pixels than this is no gain
HALF = 0.5  # of them: mended at Dice .8, unless the scored class has most pixels, where Dice is high for nothing
RISE = 0.02  # of Dice, ours: docs/experiments.md calls trainings equal that differ by less
LAST_PART = 4  # the end of a run is its last quarter, where the rate of a cycle has come down
FEW_PICTURES = 10  # ours: a new picture is below all of n with a chance of 1 / (n + 1), here more than one in eleven
WIDE = 0.05  # of Dice, ours: half an interval of 95 % (two standard errors) that is too wide to trust the mean
MOST_EPOCHS = 10_000  # the form's upper bound
SEEDS = 2**31  # likewise, exclusive
ADD_PICTURES, CHANGE_SPLIT = "Add pictures", "Change the split"  # links to parts of the Data page


@dataclass(frozen=True)
class Outcome:
    """What was measured of a training that has ended; scores are those of its best weights.

    `truth`: class name -> share 0..1 of the true validation pixels. `dice`: mean without `background`, a class name;
    None without a class to score. `picture_dice`: of each validation picture whose mask shows a class. `epoch_dice`:
    after each epoch. `options`: by dotted key. `is_swept`: the rate was read from a sweep. `is_split_given`: by folders
    or lists. `earlier`: epochs and mean Dice of the run whose form this one took over. `other_seed`: that Dice if only
    the seed was another. `alarm`: what a note of the training says and nothing took back.
    """

    truth: Mapping[str, float]
    background: str | None
    dice: float | None
    accuracy: float
    num_pictures: int
    picture_dice: Sequence[float]
    epoch_dice: Sequence[float | None]
    steps: int
    steps_per_epoch: int
    options: Mapping[str, object]
    is_stopped: bool
    is_swept: bool
    is_split_given: bool = False
    earlier: tuple[int, float] | None = None
    other_seed: float | None = None
    alarm: Advice | None = None

    @property
    def largest(self) -> str:
        """The class with most of the true pixels."""
        return max(self.truth, key=lambda name: self.truth[name])

    @property
    def baseline(self) -> float:
        """Pixel accuracy of predicting the largest class everywhere."""
        return self.truth[self.largest]

    @property
    def constant_dice(self) -> float:
        """The highest mean Dice that predicting one class everywhere gives."""
        shares = [share for name, share in self.truth.items() if name != self.background and share > 0]
        return max((2 * share / (1 + share) for share in shares), default=0.0) / max(len(shares), 1)

    @property
    def baseline_dice(self) -> float:
        """Mean Dice of predicting the largest class everywhere."""
        if self.largest == self.background:
            return 0.0
        scored = sum(share > 0 for name, share in self.truth.items() if name != self.background)
        return 2 * self.baseline / (1 + self.baseline) / scored

    @property
    def score(self) -> float:
        """Mean Dice as a number: 0 where there is none."""
        return self.dice or 0.0

    @property
    def mended(self) -> float:
        """Share of the baseline's wrong pixels that the model gets right, net of those it gets wrong instead."""
        return (self.accuracy - self.baseline) / (1 - self.baseline)

    @property
    def is_good(self) -> bool:
        """Whether the scores are good, whatever they rest on."""
        return self.score >= GOOD and self.mended >= HALF

    @property
    def epochs(self) -> int:
        """Epochs that were asked for."""
        return int(str(self.options["train.epochs"]))


def verdict(facts: Outcome) -> Advice:
    """The first finding that holds. Its message: what, the numbers it rests on, what to do, a line each."""
    return next(found for look in FINDINGS if (found := look(facts)))


def remedy(facts: Outcome) -> Advice:
    """The first thing to try that has not been done; its message is one line."""
    for look in REMEDIES:
        if found := look(facts):
            changes = {key: value for key, value in found.changes.items() if facts.options[key] != value}
            if changes or not found.changes:
                return replace(found, changes=changes)
    do = "Look at the worst pictures below, and check their masks on the Data page."
    return Advice("masks", do, page=DATA_PAGE, link="Check the masks")


def _no_truth(facts: Outcome) -> Advice | None:
    if facts.dice is not None and facts.baseline < 1:
        return None
    what = f"The validation masks show only “{facts.largest}”."
    if not facts.baseline:
        what = "Every validation pixel is ignored."
    why = "No score can say how good the model is: its mistakes would not show."
    do = "Check on the Data page how mask values become classes, and which pictures are in which split."
    return Advice("masks", f"{what}\n{why}\n{do}", page=DATA_PAGE, link="Check the masks")


def _masks(facts: Outcome) -> Advice | None:
    """The training has said that its masks show one class only; whatever was tried next would fail on that."""
    if facts.alarm is None or facts.alarm.cause not in LASTING or facts.is_good:
        return None
    what, why, do, *_ = [*facts.alarm.message.split("\n"), "", ""]
    return Advice("masks", f"{what}\n{why} {_numbers(facts)}\n{do}", page=DATA_PAGE, link="Check the masks")


def _stopped(facts: Outcome) -> Advice | None:
    planned = facts.epochs * facts.steps_per_epoch
    if not facts.is_stopped or facts.steps >= planned or facts.is_good:
        return None
    what = f"Stopped after {facts.steps:,} of {planned:,} steps."
    return Advice("stopped", f"{what}\n{_numbers(facts)}\nResume it to train the rest.")


def _baseline(facts: Outcome) -> Advice | None:
    if facts.mended >= NO_GAIN or facts.score > max(facts.constant_dice + RISE, SLIGHT):
        return None
    numbers = f"{_numbers(facts)} One class everywhere gives a mean Dice of up to {facts.constant_dice:.3f}."
    return _with_remedy(facts, "baseline", "The model is not better than the baseline.", numbers)


def _few_steps(facts: Outcome) -> Advice | None:
    longer = _longer(facts)
    if not are_few(facts.steps) or facts.is_good or not longer:
        return None
    why = f"A U-Net that starts from random weights needs a few hundred steps. {longer.message}"
    what = f"{facts.steps:,} steps are too few."
    return replace(longer, message=f"{what}\n{_numbers(facts)}\n{why}")


def _rising(facts: Outcome) -> Advice | None:
    dice = [value or 0.0 for value in facts.epoch_dice]
    count, longer = len(dice) // LAST_PART, _longer(facts)
    if not count or not longer:
        return None
    before, after = max(dice[:-count]), max(dice[-count:])
    if after - before < RISE:
        return None
    what = "Still improving when training ended."
    last = f"the last {count} of {len(dice)} epochs" if count > 1 else f"the last of {len(dice)} epochs"
    why = f"Mean Dice rose from {before:.3f} to {after:.3f} in {last}."
    return replace(longer, cause="rising", message=f"{what}\n{why} {_numbers(facts)}\n{longer.message}")


def _not_good(facts: Outcome) -> Advice | None:
    if facts.is_good:
        return None
    cause, word = ("fair", "Fair") if facts.score >= FAIR else ("weak", "Weak")
    if facts.mended <= 0:
        what = f"{word}: mean Dice is {facts.score:.3f}, but more pixels are wrong than in the baseline."
    elif facts.score >= GOOD:
        what = f"{word}: mean Dice is {facts.score:.3f}, but {1 - facts.mended:.0%} of the baseline's errors remain."
    else:
        what = f"{word}: better than the baseline, but mean Dice is only {facts.score:.3f}."
    return _with_remedy(facts, cause, what, _numbers(facts))


def _unsure(facts: Outcome) -> Advice | None:
    dice = facts.picture_dice
    count = len(dice)
    half = 2 * statistics.stdev(dice) / count**0.5 if count > 1 else 1.0
    if count >= FEW_PICTURES and half <= WIDE:
        return None
    spread = f"Single pictures have Dice {min(dice):.3f} to {max(dice):.3f}." if count > 1 else ""
    if count < FEW_PICTURES:
        pictures = "one validation picture" if count == 1 else f"{count} validation pictures"
        shown = "" if count == facts.num_pictures else " with objects"
        what = f"Good, but {pictures}{shown} {'is' if count == 1 else 'are'} too few to be sure."
        if not count:
            what = "Good, but no validation picture shows an object by itself."
        do = f"With so few, one new picture in {count + 1} scores below all of them. " if count else ""
        do += "Add more" if facts.is_split_given else "Move more pictures to the validation split, or add more"
        do += " validation pictures." if facts.is_split_given else "."
        link = ADD_PICTURES if facts.is_split_given else CHANGE_SPLIT
        return Advice("few-pictures", f"{what}\n{_numbers(facts)} {spread}\n{do}", page=DATA_PAGE, link=link)
    what = "Good, but the pictures differ too much to be sure."
    enough = math.ceil(count * (half / WIDE) ** 2)
    do = f"The mean is certain to about ±{half:.2f} only; with {enough} such pictures it would be ±{WIDE:.2f}. Look at "
    do += "the worst pictures below."
    numbers = f"{_numbers(facts)} {spread}"
    return Advice("differing-pictures", f"{what}\n{numbers}\n{do}", page=DATA_PAGE, link=ADD_PICTURES)


def _good(facts: Outcome) -> Advice:
    do = "Look at the worst pictures below before you use it."
    changes: dict[str, object] = {}
    if facts.other_seed is not None:
        do += f" With another seed mean Dice was {facts.other_seed:.3f}: so much of it is chance."
    elif facts.steps:
        do += " The same training with another seed shows how much of the score is chance."
        changes = {"train.seed": (int(str(facts.options["train.seed"])) + 1) % SEEDS}
    return Advice("good", f"Good: mean Dice {facts.score:.3f}.\n{_numbers(facts)}\n{do}", changes)


FINDINGS = (_no_truth, _masks, _stopped, _baseline, _few_steps, _rising, _not_good, _unsure, _good)


def _as_the_alarm_says(facts: Outcome) -> Advice | None:
    if facts.alarm is None or not facts.alarm.changes:
        return None
    _, why, *_ = [*facts.alarm.message.split("\n"), ""]
    return Advice(facts.alarm.cause, f"Likely cause: {why} Train with the proposed changes.", facts.alarm.changes)


def _enough_steps(facts: Outcome) -> Advice | None:
    return _longer(facts) if are_few(facts.steps) else None


def _rare_classes(facts: Outcome) -> Advice | None:
    if facts.baseline < 1 - RARE:
        return None
    do = (
        f"All classes but “{facts.largest}” make {percent(1 - facts.baseline)} of the pixels. Train with cross-entropy "
    )
    do += "plus Dice and balanced class weights, so that rare classes count more."
    changes = for_rare_classes(facts.options["train.loss"], facts.options["train.class_weights"])
    return Advice("imbalance", do, changes) if changes else None


def _measured_rate(facts: Outcome) -> Advice | None:
    do = "The learning rate was not measured. Let the LR finder measure it for these pictures."
    return None if facts.is_swept else Advice("learning-rate", do, page=LR_PAGE, link="Find the learning rate")


REMEDIES = (_as_the_alarm_says, _enough_steps, _rare_classes, _measured_rate)


def _longer(facts: Outcome) -> Advice | None:
    """More epochs: as many as the set needs, twice as many where it had about so many. Not after a longer run gained
    nothing."""
    if not facts.steps or facts.steps < facts.epochs * facts.steps_per_epoch:
        return None  # kept weights were scored, or it ended before the epochs that it had
    if facts.earlier and facts.earlier[0] < facts.epochs and facts.score - facts.earlier[1] < RISE:
        return None
    proposed = proposed_epochs(facts.steps_per_epoch)
    epochs = proposed if proposed >= WORTHWHILE * facts.epochs else min(2 * facts.epochs, MOST_EPOCHS)
    if epochs == facts.epochs:
        return None
    steps = epochs * facts.steps_per_epoch
    return Advice("few-steps", f"Train for {epochs:,} epochs ({steps:,} steps).", {"train.epochs": epochs})


def _with_remedy(facts: Outcome, cause: str, what: str, numbers: str) -> Advice:
    next_one = remedy(facts)
    return replace(next_one, cause=cause, message=f"{what}\n{numbers}\n{next_one.message}")


def _numbers(facts: Outcome) -> str:
    pictures = "one validation picture" if facts.num_pictures == 1 else f"{facts.num_pictures} validation pictures"
    return (
        f"On {pictures}: mean Dice {facts.score:.3f} (1 is perfect), pixel accuracy {facts.accuracy:.3f}. Baseline "
        f"(“{facts.largest}” everywhere): mean Dice {facts.baseline_dice:.3f}, pixel accuracy {facts.baseline:.3f}."
    )
