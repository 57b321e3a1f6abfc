"""The built-in sample: quick, the same each time, said to be synthetic, and too hard for a threshold."""

import time

import numpy as np
import pytest

from unetlab.data.dataset import list_datasets
from unetlab.data.labels import heaps
from unetlab.data.samples import create_sample, make_nuclei
from unetlab.workspace import own_workspace


@pytest.fixture(scope="module")
def nuclei():
    return make_nuclei()


def pooled_iou(nuclei, predict):
    intersection = union = 0
    for _, picture, mask in nuclei:
        predicted = predict(picture, mask > 0)
        intersection += (predicted & (mask > 0)).sum()
        union += (predicted | (mask > 0)).sum()
    return intersection / union


def otsu_threshold(picture):
    """The grey value t that best separates a uint8 picture into <= t and > t."""
    return heaps.otsu(np.bincount(picture.ravel(), minlength=256))


def test_otsu_stays_below_an_iou_of_075(nuclei):
    iou = pooled_iou(nuclei, lambda picture, mask: picture > otsu_threshold(picture))
    assert 0.5 < iou < 0.75


def test_even_the_best_threshold_of_each_picture_stays_below_075(nuclei):
    def best(picture, mask):
        ious = [((picture > t) & mask).sum() / ((picture > t) | mask).sum() for t in range(0, 255, 3)]
        return picture > 3 * int(np.argmax(ious))

    assert pooled_iou(nuclei, best) < 0.75


def test_otsu_equals_a_search_over_all_thresholds(nuclei):
    picture = nuclei[0][1].ravel().astype(float)

    def within(threshold):
        parts = [picture[picture <= threshold], picture[picture > threshold]]
        return sum(len(part) * part.var() for part in parts if len(part))

    assert otsu_threshold(nuclei[0][1]) == min(range(255), key=within)


def test_the_same_seed_gives_the_same_pictures(nuclei):
    again = make_nuclei(count=3)
    assert all(np.array_equal(a[1], b[1]) and np.array_equal(a[2], b[2]) for a, b in zip(again, nuclei, strict=False))
    assert not np.array_equal(make_nuclei(count=1, seed=1)[0][1], nuclei[0][1])


def test_the_sample_is_made_in_under_two_seconds_and_says_what_it_is():
    started = time.process_time()
    manifest = create_sample(own_workspace())
    assert time.process_time() - started < 2
    assert len(manifest.pairs) >= 24
    assert manifest.note.startswith("Synthetic")
    assert [(info.name, info.is_background) for info in manifest.classes] == [("background", True), ("nucleus", False)]
    assert not [finding for finding in manifest.findings if finding.severity != "info"]
    assert not manifest.ignored_files


def test_the_sample_is_made_once():
    assert create_sample(own_workspace()).created == create_sample(own_workspace()).created
    assert len(list_datasets(own_workspace())) == 1
