"""How numbers are written."""

import pytest

from residua.report import numbers


@pytest.mark.parametrize(
    ("share", "images", "written"),
    [
        (0.98333, 360, "98.3\u202f%"),
        (0.93391, 10_000, "93.39\u202f%"),
        (1.0, 50, "100.0\u202f%"),
        (0.0, 50, "0.0\u202f%"),
        (1, 50, "100.0\u202f%"),
        (None, 50, "–"),
    ],
)
def test_a_share_is_written_as_finely_as_its_images_allow(share, images, written):
    assert numbers.percent(share, images) == written


def test_nothing_is_rounded_to_all_or_none():
    assert numbers.percent(0.99999, 360) == "99.9\u202f%"
    assert numbers.percent(0.00001, 360) == "0.1\u202f%"
    assert numbers.percent(0.999999, 100_000) == "99.99\u202f%"


def test_an_interval_has_the_decimals_of_its_share():
    assert numbers.interval((0.9641, 0.9923), 360) == "96.4–99.2"
    assert numbers.interval([0.9641, 0.9923], 5000) == "96.41–99.23"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (11_220, "3 h 07 min"),
        (90_000, "1 d 01 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, written):
    assert numbers.duration(seconds) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (640, "640"),
        (999.6, "1.00 k"),
        (9216, "9.22 k"),
        (272_474, "272 k"),
        (11_689_512, "11.7 M"),
        (1_814_073_344, "1.81 G"),
    ],
)
def test_a_large_number_has_three_digits(number, written):
    assert numbers.compact(number) == written


def test_counts_and_shapes_are_spelled_out():
    assert numbers.count(11_689_512) == "11,689,512"
    assert numbers.shape((64, 8, 8)) == "64×8×8"
    assert numbers.images(1, "test") == "1 test image"
    assert numbers.images(1200) == "1,200 images"


@pytest.mark.parametrize(("number", "written"), [(0.69314, "0.693"), (2.0, "2.00"), (123.4, "123"), (3e-7, "3e-07")])
def test_a_loss_has_three_digits(number, written):
    assert numbers.significant(number) == written
