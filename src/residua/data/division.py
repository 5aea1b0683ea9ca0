"""Decides which images of a folder go into which part: its own parts first, what is missing carved."""

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from residua.data.dataset import PartName
from residua.data.folder import Found
from residua.data.spec import DataSpec
from residua.data.split import Shares, carve, grouped, rule_text
from residua.errors import BadData, BadSetting

_OWN: tuple[PartName, ...] = ("test", "validation", "train")  # of equal copies, the first of these is kept
_NAMES_SHOWN = 3


@final
@dataclass(frozen=True, kw_only=True)
class Division:
    """The images by part, and what is to be said about it."""

    parts: Mapping[PartName, tuple[Found, ...]]
    """Training first; parts that hold nothing out are missing."""
    rule: str
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    """Names of images whose exact copy is held out."""


def divide(images: Sequence[Found], spec: DataSpec, contents: Sequence[str | None]) -> Division:
    """Returns the images by part.

    A source with ``val/`` keeps its parts as they are; ``test/`` alone gets a validation part carved from
    ``train/``; a source without either gets both.

    Args:
        images: Every image of the source.
        spec: Shares, seed and group.
        contents: A key for each image that is equal for equal files; None for one that has no twin.

    Raises:
        BadData: If a class has too few images to be in every part.
        BadSetting: If ``group`` matches no file.
    """
    keys = dict(zip((found.name for found in images), contents, strict=True))
    kept, copies = _without_copies(images, keys)
    groups = _groups(kept, spec.group)
    given = {found.part for found in kept} - {None}
    notes = [*_copies_note(copies), *_label_note(kept, keys), *_group_note(kept, groups, spec.group)]
    if "validation" in given:
        parts = {found.name: found.part or "train" for found in kept}
        rule = f"{', '.join(name for name in reversed(_OWN) if name in given)} as given"
        notes += _straddling_note(kept, groups)
    else:
        parts, rule = _carved(kept, spec, keys=keys, groups=groups)
    ordered: dict[PartName, tuple[Found, ...]] = {
        name: tuple(found for found in kept if parts[found.name] == name) for name in reversed(_OWN)
    }
    return Division(
        parts={name: members for name, members in ordered.items() if members},
        rule=rule,
        notes=tuple(notes),
        left_out=tuple(found.name for found in copies),
    )


def check_complete(division: Division, classes: Sequence[str]) -> None:
    """Checks that every part still has every class after exact copies were left out.

    Raises:
        BadData: If one is missing.
    """
    for name, members in division.parts.items():
        missing = sorted(set(classes) - {found.label for found in members})
        if missing:
            raise BadData(f"every image of class {missing[0]!r} in {name} is an exact copy of one held out; add others")
    if "train" not in division.parts:
        raise BadData("every image in train is an exact copy of one held out; add others")


def _without_copies(images: Sequence[Found], keys: Mapping[str, str | None]) -> tuple[list[Found], list[Found]]:
    """Returns what is kept, and the exact copies of images in a part further from training."""
    rank = {name: position for position, name in enumerate(_OWN)}
    nearest: dict[str, int] = {}
    for found in images:
        key = keys[found.name]
        if found.part and key:
            nearest[key] = min(rank[found.part], nearest.get(key, len(rank)))
    copies = [f for f in images if f.part and rank[f.part] > nearest.get(keys[f.name] or "", len(rank))]
    names = {found.name for found in copies}
    return [found for found in images if found.name not in names], copies


def _carved(
    kept: Sequence[Found],
    spec: DataSpec,
    *,
    keys: Mapping[str, str | None],
    groups: Sequence[Hashable],
) -> tuple[dict[str, PartName], str]:
    """Carves what is missing out of the training images."""
    has_test = any(found.part == "test" for found in kept)
    parts: dict[str, PartName] = {found.name: "test" for found in kept}
    here = [i for i, found in enumerate(kept) if found.part != "test"]
    shares = Shares(
        test=0.0 if has_test else spec.test_fraction, validation=spec.validation_fraction, seed=spec.split_seed
    )
    ties = [
        [keys[kept[i].name] for i in here],
        [kept[i].sub_folder for i in here],
        [groups[i] for i in here],
    ]
    names = [kept[i].name for i in here]
    parts.update(zip(names, carve(names, [kept[i].label for i in here], shares=shares, ties=ties), strict=True))
    rule = rule_text(shares)
    return parts, f"test as given; {rule}" if has_test else rule


def _groups(kept: Sequence[Found], pattern: str | None) -> list[Hashable]:
    """Returns what ``pattern`` finds in each name: its groups where it has any, else the whole match."""
    if pattern is None:
        return [None] * len(kept)
    matches = [re.search(pattern, found.name) for found in kept]
    if not any(matches):
        raise BadSetting(f"group {pattern!r} matches no file; a name looks like {kept[0].name!r}")
    return [match and (match.groups() or match.group()) for match in matches]


def _copies_note(copies: Sequence[Found]) -> list[str]:
    if not copies:
        return []
    held = sorted({found.part or "" for found in copies}, reverse=True)
    return [f"{_number(copies)} of {' and '.join(held)} left out: exact copies are in a part that is held out"]


def _label_note(kept: Sequence[Found], keys: Mapping[str, str | None]) -> list[str]:
    """Says which equal images have different classes."""
    labels: defaultdict[str, set[str]] = defaultdict(set)
    names: defaultdict[str, list[str]] = defaultdict(list)
    for found in kept:
        key = keys[found.name]
        if key:
            labels[key].add(found.label)
            names[key].append(found.name)
    torn = [" = ".join(names[key]) for key in names if len(labels[key]) > 1]
    shown = ", ".join(torn[:_NAMES_SHOWN]) + (", …" if len(torn) > _NAMES_SHOWN else "")
    several = "1 image is" if len(torn) == 1 else f"{len(torn)} images are"
    return [f"{several} in more than one class: {shown}"] if torn else []


def _group_note(kept: Sequence[Found], groups: Sequence[Hashable], pattern: str | None) -> list[str]:
    alone = sum(group is None for group in groups)
    if pattern is None or not alone:
        return []
    return [f"group {pattern!r} matches {len(kept) - alone} of {len(kept)} names; the others stand alone"]


def _straddling_note(kept: Sequence[Found], groups: Sequence[Hashable]) -> list[str]:
    together = grouped(len(kept), [groups])
    torn = sum(len({kept[i].part for i in group}) > 1 for group in together)
    several = "1 group has" if torn == 1 else f"{torn} groups have"
    return [f"{several} images in several parts, as the source gives them"] if torn else []


def _number(images: Sequence[Found]) -> str:
    return "1 image" if len(images) == 1 else f"{len(images)} images"
