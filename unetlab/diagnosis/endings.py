"""What to say of a training that ends before its time: numbers that are not finite, or a stop. Pure."""

from unetlab.diagnosis.advice import Advice, rounded

CLIP_NORM = 1.0  # the usual threshold: milesial's Pytorch-UNet, Hugging Face's Trainer


def blown_up(precision: str, lr: float, step: int, skipped: int) -> Advice:
    """After `skipped` steps in a row, the last of them `step` (from 0) at rate `lr`, without finite numbers.

    skipped = 0: the steps were finite, the validation loss after `step` was not.

    The proposed run has a third of the rate, half an order of magnitude; fp32 instead of mixed precision; clipping.
    """
    rate, is_mixed = rounded(lr / 3), precision != "fp32"
    count = "one step" if skipped == 1 else f"{skipped} steps in a row"
    what = f"Training ended at step {step + 1}: {count} gave a loss or gradients that are not finite numbers."
    if not skipped:
        what = f"Training ended after step {step + 1}: the loss on the validation pictures is not a finite number."
    why = f"Most often the learning rate is too high: it was {lr:.2g}."
    if precision == "fp16-mixed":
        why += " Or a number passed 65504, the largest that half precision (fp16) can hold."
    elif is_mixed:
        why += " Rounding to bf16's three digits can add to it."
    do = f"Train again with a third of the rate ({rate:g}) and gradients clipped to a norm of {CLIP_NORM:g}"
    changes: dict[str, object] = {"train.max_lr": rate, "train.clip_norm": CLIP_NORM}
    if is_mixed:
        do += ", in fp32: slower, but it rules out the precision"
        changes["train.precision"] = "fp32"
    return Advice("not-finite", f"{what} The weights from before are kept.\n{why}\n{do}.", changes)


def stopped_within(epoch: int, *, is_first: bool) -> str:
    """What a stop within `epoch` (from 0) leaves: which weights are the best ones, which those of that moment."""
    if is_first:
        return "Stopped within the first epoch. Its weights count as the best until a whole epoch has been scored."
    return (
        f"Stopped within epoch {epoch + 1}. The best weights are those of the best whole epoch; those at the stop are "
        "kept as the last ones."
    )
