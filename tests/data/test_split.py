import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residua.data import split
from residua.data.split import Shares, carve, grouped, rule_text
from residua.errors import BadData

SHARES = Shares(test=0.2, validation=0.1, seed=0)


def source(counts: list[int]) -> tuple[list[str], list[str]]:
    """Names and classes of so many images a class."""
    labels = [f"c{label}" for label, n in enumerate(counts) for _ in range(n)]
    return [f"{label}/{i}.png" for i, label in enumerate(labels)], labels


counts = st.lists(st.integers(3, 60), min_size=2, max_size=5)
shares = st.builds(
    Shares,
    test=st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    validation=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 99),
)


@settings(max_examples=40, deadline=None)
@given(counts, shares)
def test_without_groups_every_class_is_within_one_image_of_its_share(counts: list[int], shares: Shares):
    names, labels = source(counts)
    parts = carve(names, labels, shares=shares)
    for index, n in enumerate(counts):
        got = Counter(part for part, label in zip(parts, labels, strict=True) if label == f"c{index}")
        rest = n - got["test"]
        assert abs(got["test"] - n * shares.test) <= 1
        assert abs(got["validation"] - rest * shares.validation) <= 1
        assert got.total() == n


@settings(max_examples=40, deadline=None)
@given(counts, shares)
def test_every_part_that_is_carved_has_every_class(counts: list[int], shares: Shares):
    names, labels = source(counts)
    parts = carve(names, labels, shares=shares)
    carved = {"train"} | ({"test"} if shares.test else set()) | ({"validation"} if shares.validation else set())
    for label in set(labels):
        assert {part for part, own in zip(parts, labels, strict=True) if own == label} == carved


@settings(max_examples=40, deadline=None)
@given(counts, shares, st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order_of_the_files(
    counts: list[int], shares: Shares, shuffler: random.Random
):
    names, labels = source(counts)
    ties = [[i // 2 for i in range(len(names))]] if min(counts) > 6 else []
    straight = dict(zip(names, carve(names, labels, shares=shares, ties=ties), strict=True))
    order = list(range(len(names)))
    shuffler.shuffle(order)
    mixed = [names[i] for i in order]
    mixed_ties = [[row[i] for i in order] for row in ties]
    parts = carve(mixed, [labels[i] for i in order], shares=shares, ties=mixed_ties)
    assert dict(zip(mixed, parts, strict=True)) == straight


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30)), min_size=60, max_size=120), st.integers(0, 9))
def test_images_that_are_tied_stay_together(rows: list[tuple[int, int]], seed: int):
    """Whatever the ties, even across classes: one group, one part."""
    labels = [f"c{label}" for label, _ in rows]
    keys = [key if key < 20 else None for _, key in rows]
    names = [f"{label}/{i}" for i, label in enumerate(labels)]
    try:
        parts = carve(names, labels, shares=Shares(test=0.2, validation=0.1, seed=seed), ties=[keys])
    except BadData:
        return
    for key in set(keys) - {None}:
        assert len({part for part, own in zip(parts, keys, strict=True) if own == key}) == 1


def test_ties_of_different_kinds_join():
    """a–b by content and b–c by folder make one group of three; None ties to nothing."""
    ties = [["x", "x", None, None, None], [None, "f", "f", None, None]]
    assert sorted(grouped(5, ties)) == [(0, 1, 2), (3,), (4,)]


def test_groups_of_several_images_leave_the_shares_near_what_was_asked():
    """40 groups of 5 in two classes: test should have 40 of 200 images, validation 16 of the rest."""
    names, labels = source([100, 100])
    parts = Counter(carve(names, labels, shares=SHARES, ties=[[i // 5 for i in range(200)]]))
    assert parts == {"test": 40, "validation": 20, "train": 140}


def test_the_rule_is_sha256_of_seed_and_path():
    """With one image of each class in test, it is the one whose digest is the lowest."""
    names, labels = source([10, 10])
    parts = carve(names, labels, shares=Shares(test=0.1, validation=0.0, seed=7))
    for label in ("c0", "c1"):
        own = [name for name in names if name.startswith(label)]
        lowest = min(own, key=lambda name: hashlib.sha256(f"7/{name}".encode()).hexdigest())
        assert [name for name in own if parts[names.index(name)] == "test"] == [lowest]


def test_a_split_is_known():
    """Pins the split for good: a run made with another version sees the same images."""
    names, labels = source([10, 10])
    parts = carve(names, labels, shares=SHARES)
    held = {part: [name for name, own in zip(names, parts, strict=True) if own == part] for part in set(parts)}
    assert held["test"] == ["c0/5.png", "c0/8.png", "c1/11.png", "c1/19.png"]
    assert held["validation"] == ["c0/2.png", "c1/13.png"]


def test_a_share_that_floats_just_miss_is_met():
    """0.29 · 100 is 28.999999999999996 in floats."""
    names, labels = source([100, 100])
    parts = Counter(carve(names, labels, shares=Shares(test=0.29, validation=0.0, seed=0)))
    assert parts["test"] == 58


@pytest.mark.parametrize("validation", [0.0, 0.1, 0.5])
def test_the_test_part_does_not_depend_on_what_else_is_held_out(validation: float):
    """Runs whose recipes differ in their validation part are compared on the same test images."""
    names = [f"{i}.png" for i in range(60)]
    labels = ["ab"[i % 2] for i in range(60)]
    parts = split.carve(names, labels, shares=Shares(test=0.2, validation=validation, seed=0))
    alone = split.carve(names, labels, shares=Shares(test=0.2, validation=0.0, seed=0))
    assert [part == "test" for part in parts] == [part == "test" for part in alone]


def test_another_seed_gives_another_split():
    names, labels = source([50, 50])
    first = carve(names, labels, shares=SHARES)
    assert first != carve(names, labels, shares=Shares(test=0.2, validation=0.1, seed=1))


def test_the_validation_part_has_at_most_2500_images():
    assert split.MOST_VALIDATION_IMAGES == 2500


def test_a_validation_part_at_its_limit_keeps_the_proportions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(split, "MOST_VALIDATION_IMAGES", 30)
    names, labels = source([400, 200])
    parts = Counter(zip(carve(names, labels, shares=Shares(test=0.0, validation=0.1, seed=0)), labels, strict=True))
    assert (parts["validation", "c0"], parts["validation", "c1"]) == (20, 10)


def test_a_class_with_fewer_images_than_parts_is_refused():
    names, labels = source([10, 2])
    with pytest.raises(BadData, match=r"class 'c1' has 2 images, too few for the parts test, validation, train; add"):
        carve(names, labels, shares=SHARES)


def test_a_class_with_fewer_groups_than_parts_is_refused():
    names, labels = source([10, 10])
    ties = [[None] * 10 + [i // 5 for i in range(10)]]
    with pytest.raises(BadData, match=r"class 'c1' has 10 images in 2 groups that stay together"):
        carve(names, labels, shares=SHARES, ties=ties)


def test_a_class_of_few_groups_is_in_every_part():
    """Three groups, of 8, 1 and 1 images: the small ones are held out."""
    names, labels = source([10, 10])
    ties = [[None] * 10 + [0] * 8 + [1, 2]]
    parts = carve(names, labels, shares=SHARES, ties=ties)[10:]
    assert parts[:8] == ["train"] * 8
    assert set(parts[8:]) == {"test", "validation"}


def test_the_rule_is_said_in_words():
    assert rule_text(SHARES).startswith("test (20%) and validation (10%) carved: stratified by class")
    assert rule_text(Shares(test=0.0, validation=0.0, seed=0)) == "nothing is held out"
