"""What a job refuses before it trains."""

import pytest

from tests.training.conftest import CPU
from unetlab.data.dataset import DataSet
from unetlab.errors import ConfigError
from unetlab.inference.pictures import Pictures
from unetlab.models.unet import UNet
from unetlab.options import DataOptions
from unetlab.training.batches import TrainingBatches
from unetlab.training.setup import refuse_single_value


def batches_of(data: DataSet, image_size: int, batch_size: int) -> TrainingBatches:
    """Batches of crops of one size."""
    pictures = Pictures(data, DataOptions(image_size=image_size, size_mode="crop"))
    return TrainingBatches(pictures, batch_size=batch_size, augment="none", seed=0, device=CPU)


def test_one_pixel_at_the_bottom_with_batches_of_one_is_refused_with_the_way_out(nuclei):
    model = UNet(1, 2, base_width=2, depth=4)
    with pytest.raises(ConfigError, match=r"16 times smaller.*batch size of 2 or more"):
        refuse_single_value(batches_of(nuclei, 16, 1), model, 1)
    refuse_single_value(batches_of(nuclei, 16, 2), model, 2)
    refuse_single_value(batches_of(nuclei, 17, 1), model, 1)
    refuse_single_value(batches_of(nuclei, 16, 1), UNet(1, 2, base_width=2, depth=3), 1)
    refuse_single_value(batches_of(nuclei, 16, 1), UNet(1, 2, base_width=2, depth=4, norm="group"), 1)


@pytest.mark.parametrize(
    ("micro_batch", "num_devices", "how"),
    [(2, 1, "goes through at most 2 at a time"), (8, 2, "is shared by 2 devices, at most 8 at a time")],
)
def test_a_part_of_one_picture_is_refused_where_it_cannot_train_and_only_there(nuclei, micro_batch, num_devices, how):
    model, batches = UNet(1, 2, base_width=2, depth=4), batches_of(nuclei, 16, 5)
    assert batches.step_sizes == {5, 3}
    with pytest.raises(ConfigError, match=rf"16 times smaller.* a step of 3 {how}"):
        refuse_single_value(batches, model, micro_batch, num_devices=num_devices)
    refuse_single_value(batches, model, 3)
    refuse_single_value(batches_of(nuclei, 17, 5), model, micro_batch, num_devices=num_devices)
