"""Minibatches. Oracles: every picture once, an epoch as a function of (seed, epoch), the shared step count."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.dataset import IGNORE
from unetlab.errors import TrainingError
from unetlab.inference.pictures import to_tensors
from unetlab.training.batches import TrainingBatches, place
from unetlab.training.random_streams import Purpose, stream


def numbered(import_pairs, count: int, *, height: int = 16, width: int = 16):
    """A data set whose picture i is evenly lit at its own brightness, so that a batch tells who is in it."""
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 2] = 255
    pairs = [(f"p{i:02}", np.full((height, width), 10 + 10 * i, np.uint8), mask) for i in range(count)]
    return import_pairs(pairs, name="numbered")


def drawn(batches: TrainingBatches, epoch: int) -> list[int]:
    """The pictures of an epoch in their order, told by their brightness."""
    levels = {batches.pictures[i][0].max().item(): i for i in batches.indices}
    assert len(levels) == len(batches.indices)
    return [levels[image.max().item()] for images, _ in batches.epoch(epoch) for image in images]


@pytest.mark.parametrize("size_mode", ["resize", "crop"])
def test_each_training_picture_comes_once_per_epoch(import_pairs, make_batches, size_mode):
    batches = make_batches(data=numbered(import_pairs, 10), image_size=16, size_mode=size_mode, batch_size=3)
    assert len(batches.indices) == 8
    orders = [drawn(batches, epoch) for epoch in range(3)]
    assert all(sorted(order) == batches.indices for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_tile_mode_takes_as_many_squares_as_cover_each_picture(import_pairs, make_batches):
    data = numbered(import_pairs, 5, height=40, width=32)
    batches = make_batches(data=data, image_size=16, size_mode="tile", batch_size=4)
    assert sorted(drawn(batches, 0)) == sorted(batches.indices * 5)  # 40·32 / 16² = 5


def test_a_single_leftover_is_dropped_and_another_one_each_epoch(import_pairs, make_batches):
    batches = make_batches(data=numbered(import_pairs, 11), image_size=16, batch_size=4)
    assert len(batches.indices) == 9
    missing = [set(batches.indices) - set(drawn(batches, epoch)) for epoch in range(6)]
    assert all(len(left_out) == 1 for left_out in missing)
    assert len(set().union(*missing)) > 1


@pytest.mark.parametrize("size_mode", ["resize", "crop", "tile"])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 8, 100])
def test_an_epoch_has_as_many_batches_as_it_says(make_batches, size_mode, batch_size):
    batches = make_batches(image_size=16, size_mode=size_mode, batch_size=batch_size)
    sizes = [len(images) for images, _ in batches.epoch(0)]
    assert len(sizes) == batches.steps_per_epoch
    assert set(sizes[:-1]) <= {batch_size}
    assert sizes[-1] > 1 or batch_size == 1


def same(first, second) -> bool:
    return all(
        torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("size_mode", ["resize", "crop", "tile"])
def test_an_epoch_is_a_function_of_seed_and_number(make_batches, size_mode):
    options = {"image_size": 16, "size_mode": size_mode, "augment": "strong"}
    batches = make_batches(**options)
    third = list(batches.epoch(3))
    np.random.seed(1)
    torch.manual_seed(1)
    list(islice(batches.epoch(4), 1))  # another epoch, left half-way
    assert same(batches.epoch(3), third)
    assert same(make_batches(**options).epoch(3), third)
    assert not same(batches.epoch(2), third)
    assert not same(make_batches(**options, seed=1).epoch(3), third)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 5, 7, 20])
def test_the_pictures_counted_are_those_that_were_seen(make_batches, batch_size):
    batches = make_batches(batch_size=batch_size)
    seen = [len(images) for epoch in range(3) for images, _ in batches.epoch(epoch)]
    assert [batches.num_images(steps) for steps in range(len(seen) + 1)] == [0, *np.cumsum(seen)]


def test_batches_are_images_0_to_1_and_class_ids(make_batches):
    for images, masks in make_batches(augment="strong").epoch(0):
        assert images.dtype == torch.float32
        assert images.shape == (4, 1, 24, 24)
        assert masks.dtype == torch.int64
        assert masks.shape == (4, 24, 24)
        assert 0 <= images.min() <= images.max() <= 1
        assert set(masks.unique().tolist()) <= {0, 1, IGNORE}


def test_smaller_pictures_are_padded_with_pixels_that_do_not_count(make_batches):
    batches = make_batches(image_size=48, batch_size=8)
    (images, masks), *_ = batches.epoch(0)
    is_narrow = (masks[:, :, 40:] == IGNORE).all((1, 2))
    narrow = sum(batches.pictures.size(i) == (48, 40) for i in batches.indices)
    assert is_narrow.sum() == narrow
    assert 0 < narrow < 8
    assert (masks[:, :, :40] != IGNORE).all()
    assert (masks[~is_narrow] != IGNORE).all()
    assert torch.equal(images[is_narrow][..., 40:], images[is_narrow][..., 32:40].flip(-1))  # mirrored


def test_a_window_shows_picture_and_mask_of_one_place():
    rng = np.random.default_rng(0)
    mask = np.arange(20 * 12, dtype=np.uint8).reshape(20, 12)
    corners = set()
    for _ in range(200):
        window, ids = place(mask[:, :, None].astype(np.float32), mask, (8, 8), rng)
        assert np.array_equal(window[:, :, 0], ids)
        assert ids.shape == (8, 8)
        corners.add(divmod(int(ids[0, 0]), 12))
    assert {top for top, _ in corners} == set(range(13))
    assert {left for _, left in corners} == set(range(5))


@given(
    counting=st.sets(st.tuples(st.integers(0, 49), st.integers(0, 39)), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_a_window_shows_a_pixel_that_counts_wherever_that_is(counting, seed):
    mask = np.full((50, 40), IGNORE, np.uint8)
    mask[tuple(zip(*counting, strict=True))] = 1
    numbers = np.arange(50 * 40, dtype=np.float32).reshape(50, 40, 1)
    window, ids = place(numbers, mask, (8, 8), np.random.default_rng(seed))
    assert ids.shape == (8, 8)
    assert (ids == 1).any()
    assert np.array_equal(ids, mask.ravel()[window[:, :, 0].astype(int)]), "picture and mask show one place"


def test_a_window_near_a_lone_pixel_that_counts_is_around_it():
    mask = np.full((200, 200), IGNORE, np.uint8)
    mask[150, 30] = mask[20, 180] = 1
    tops = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first = [int(rng.integers(193)) for _ in range(2)]
        window, _ = place(np.indices((200, 200))[0][:, :, None], mask, (8, 8), np.random.default_rng(seed))
        near = min([(150, 30), (20, 180)], key=lambda at: max(abs(at[i] - first[i] - 4) for i in range(2)))
        assert window[0, 0, 0] == near[0] - 4
        tops.add(int(window[0, 0, 0]))
    assert len(tops) > 1, "it is the one nearest to the first place, not always the same one"


def test_where_every_pixel_counts_the_first_place_is_taken():
    mask = np.zeros((50, 40), np.uint8)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        top, left = int(rng.integers(43)), int(rng.integers(33))
        window, _ = place(np.arange(2000).reshape(50, 40, 1), mask, (8, 8), np.random.default_rng(seed))
        assert divmod(int(window[0, 0, 0]), 40) == (top, left)


def test_a_mask_in_which_nothing_counts_gives_a_window_all_the_same():
    mask = np.full((50, 40), IGNORE, np.uint8)
    _, ids = place(np.zeros((50, 40, 1), np.float32), mask, (8, 8), np.random.default_rng(0))
    assert (ids == IGNORE).all()


def test_no_two_random_streams_of_a_seed_share_their_numbers():
    places = {
        Purpose.SHUFFLING: [(epoch,) for epoch in range(30)],
        Purpose.MINIBATCH: [(epoch, step) for epoch in range(30) for step in range(10)],
        Purpose.DROPOUT: [(step, rank) for step in range(30) for rank in range(4)],
        Purpose.STATISTICS_SHUFFLING: [(epoch,) for epoch in range(30)],
        Purpose.STATISTICS: [(epoch, step) for epoch in range(30) for step in range(10)],
    }
    assert set(places) == set(Purpose)
    begun = [stream(7, purpose, *place).bytes(16) for purpose in Purpose for place in places[purpose]]
    assert len(set(begun)) == len(begun)


def test_a_picture_much_smaller_than_the_canvas_is_padded_all_the_same():
    image, mask = place(np.ones((2, 3, 1), np.float32), np.ones((2, 3), np.uint8), (16, 8), np.random.default_rng(0))
    assert image.shape == (16, 8, 1)
    assert (image == 1).all()
    assert (mask == 1).sum() == 6
    assert (mask == IGNORE).sum() == 16 * 8 - 6


def test_pictures_are_scaled_once_and_kept(make_batches):
    pictures = make_batches(image_size=24).pictures
    assert pictures[0][0] is pictures[0][0]
    assert pictures[0][0].shape == (*pictures.size(0), 1)


def test_axes_of_a_picture_end_up_where_torch_wants_them():
    image = np.random.default_rng(0).random((4, 6, 3), np.float32)
    images, masks = to_tensors([(image, np.zeros((4, 6), np.uint8))], torch.device("cpu"))
    assert images.shape == (1, 3, 4, 6)
    assert images[0, 2, 1, 5] == image[1, 5, 2]
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert masks.shape == (1, 4, 6)


def test_a_data_set_without_training_pictures_is_refused_with_what_to_do(nuclei, make_batches):
    pairs = [pair.model_copy(update={"split": "valid"}) for pair in nuclei.manifest.pairs]
    emptied = type(nuclei)(nuclei.folder, nuclei.manifest.model_copy(update={"pairs": pairs}))
    with pytest.raises(TrainingError, match=r"training split is empty\. Split the data set again"):
        make_batches(data=emptied)


def test_a_data_set_in_which_no_training_pixel_counts_is_refused_with_what_to_do(nuclei, make_batches):
    pairs = [pair.model_copy(update={"class_pixels": [0, 0]}) for pair in nuclei.manifest.pairs]
    blank = type(nuclei)(nuclei.folder, nuclei.manifest.model_copy(update={"pairs": pairs}))
    with pytest.raises(TrainingError, match=r"No pixel of the training masks counts.*Data page"):
        make_batches(data=blank)


def test_a_step_with_an_odd_number_of_pictures_can_leave_its_last_one_out(import_pairs, make_batches):
    batches = make_batches(data=numbered(import_pairs, 9), image_size=16, batch_size=4)
    assert (len(batches.indices), batches.step_sizes) == (7, {4, 3})
    whole = drawn(batches, 0)
    batches.leaves_out_single = True
    assert batches.step_sizes == {4, 2}
    assert drawn(batches, 0) == whole[:6]
