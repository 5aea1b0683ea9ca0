"""Who goes into which part, where a source does not say: stratified, seeded, the same on every machine.

The rule: an image's place is the SHA-256 of ``seed/path``, the path being relative to the source, with ``/``
between folders and Unicode in composed form. Images that belong together (equal bytes, a shared sub-folder, a
shared match of ``group``) form a group, which takes the lowest place of its members and is never parted.
Every class first gets its smallest group into each part that is carved; the other groups follow, the largest
first and equal ones by place, each into the part that is furthest below its share. Without groups every class
is within one image of its share.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from residua.data.dataset import PartName
from residua.errors import BadData

MOST_VALIDATION_IMAGES = 2500


@final
@dataclass(frozen=True, kw_only=True)
class Shares:
    """Says how much of the images is held out."""

    test: float
    """Share of all images; 0 carves no test part."""
    validation: float
    """Share of what is not the test part, at most `MOST_VALIDATION_IMAGES`; 0 carves no validation part."""
    seed: int


Group = tuple[int, ...]
"""Positions of images that stay together."""


def carve(
    names: Sequence[str], labels: Sequence[str], *, shares: Shares, ties: Iterable[Sequence[Hashable]] = ()
) -> list[PartName]:
    """Returns each image's part.

    Args:
        names: Path of each image, relative to the source.
        labels: Class of each image.
        shares: How much is held out, and the seed.
        ties: Rows with a key for each image; images with an equal key in a row stay together, and
            None ties to nothing.

    Raises:
        BadData: If a class has too few images, or groups of them, to be in every part.
    """
    places = [hashlib.sha256(f"{shares.seed}/{name}".encode()).hexdigest() for name in names]
    groups = sorted(grouped(len(names), ties), key=lambda group: (-len(group), min(places[i] for i in group)))
    counts = [Counter(labels[i] for i in group) for group in groups]
    targets = _targets(Counter(labels), shares)
    _seeded(counts, targets)  # refuses what has no place in every part
    chosen: list[PartName] = ["train"] * len(groups)
    for part, target in targets.items():
        if part != "train":
            _carve_one(part, chosen, counts, target)
    parts: list[PartName] = ["train"] * len(names)
    for group, name in zip(groups, chosen, strict=True):
        for i in group:
            parts[i] = name
    return parts


def _carve_one(part: PartName, chosen: list[PartName], counts: Sequence[Counter[str]], target: Counter[str]) -> None:
    """Moves groups from training into one part, so that the test part is the same whatever is held out after it."""
    here = [index for index, name in enumerate(chosen) if name == "train"]
    inside = [counts[index] for index in here]
    targets: dict[PartName, Counter[str]] = {part: target, "train": sum(inside, Counter()) - target}
    for index, name in zip(here, _filled(inside, targets, _seeded(inside, targets)), strict=True):
        chosen[index] = name


def rule_text(shares: Shares) -> str:
    """Says in words how `carve` divides."""
    held = {"test": shares.test, "validation": shares.validation}
    carved = " and ".join(f"{name} ({share:.0%})" for name, share in held.items() if share)
    if not carved:
        return "nothing is held out"
    return (
        f"{carved} carved: stratified by class, ordered by SHA-256 of '{shares.seed}/path', "
        "exact duplicates, sub-folders and groups kept together"
    )


def grouped(images: int, ties: Iterable[Sequence[Hashable]]) -> list[Group]:
    """Returns the groups that follow from the ties: who shares a key with one of a group is in it."""
    parent = list(range(images))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for keys in ties:
        shared = {key for key, n in Counter(keys).items() if n > 1 and key is not None}
        first: dict[Hashable, int] = {}
        for i, key in enumerate(keys):
            if key in shared:
                parent[root(i)] = root(first.setdefault(key, i))
    members: defaultdict[int, list[int]] = defaultdict(list)
    for i, above in enumerate(parent):
        members[i if above == i else root(i)].append(i)
    return [tuple(group) for group in members.values()]


def _targets(totals: Mapping[str, int], shares: Shares) -> dict[PartName, Counter[str]]:
    """Returns how many images of each class each part should have; at least one where it is carved."""
    test = {label: _share(n, shares.test) for label, n in totals.items()}
    rest = {label: n - test[label] for label, n in totals.items()}
    share = min(shares.validation, MOST_VALIDATION_IMAGES / max(1, sum(rest.values())))
    validation = {label: _share(n, share) for label, n in rest.items()}
    train = {label: n - validation[label] for label, n in rest.items()}
    wanted: dict[PartName, dict[str, int]] = {"test": test, "validation": validation, "train": train}
    return {name: Counter(part) for name, part in wanted.items() if name == "train" or any(part.values())}


def _share(images: int, fraction: float) -> int:
    """Rounds down, but not to nothing."""
    return max(1, int(images * fraction + 1e-9)) if fraction else 0


def _seeded(counts: list[Counter[str]], targets: Mapping[PartName, Counter[str]]) -> dict[int, PartName]:
    """Gives each part its first group of each class: the smallest that is free, train last."""
    chosen: dict[int, PartName] = {}
    of_class: defaultdict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(counts)), key=lambda index: counts[index].total()):
        for label in counts[index]:
            of_class[label].append(index)
    for label in sorted(of_class):
        holding = [chosen[index] for index in of_class[label] if index in chosen]
        free = [index for index in of_class[label] if index not in chosen]
        missing: list[PartName] = [name for name in targets if name not in holding]
        if len(free) < len(missing):
            raise BadData(_too_few(label, len(of_class[label]), sum(c[label] for c in counts), list(targets)))
        for index, name in zip(free, missing, strict=False):
            chosen[index] = name
    return chosen


def _too_few(label: str, groups: int, images: int, parts: Sequence[str]) -> str:
    together = f" in {groups} groups that stay together" if groups < images else ""
    remedy = " and ".join(f"--set data.{name}_fraction=0" for name in parts if name != "train")
    return (
        f"class {label!r} has {images} images{together}, too few for the parts {', '.join(parts)}; "
        f"add images, or hold out less with {remedy}"
    )


def _filled(
    counts: Sequence[Counter[str]], targets: Mapping[PartName, Counter[str]], chosen: Mapping[int, PartName]
) -> list[PartName]:
    """Returns every group's part: the one chosen already, or the one that needs it most.

    A group goes where it lessens Σ (target − given)² over its classes most; of equals, to the first.
    """
    lack: dict[PartName, Counter[str]] = {name: Counter(target) for name, target in targets.items()}
    for index, name in chosen.items():
        lack[name].subtract(counts[index])
    parts: list[PartName] = []
    for index, group in enumerate(counts):
        if index in chosen:
            parts.append(chosen[index])
            continue
        gains = [sum(n * (2 * part[label] - n) for label, n in group.items()) for part in lack.values()]
        neediest: PartName = list(lack)[gains.index(max(gains))]
        lack[neediest].subtract(group)
        parts.append(neediest)
    return parts
