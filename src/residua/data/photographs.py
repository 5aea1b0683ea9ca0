"""A folder of images made into a data set: looked through, divided, decoded, described."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from residua.data import check, decoding, folder, keeping
from residua.data.augment import has_orientation
from residua.data.dataset import Dataset, Part, PartName
from residua.data.decoding import Progress, Target
from residua.data.division import check_complete, divide
from residua.data.folder import Found
from residua.data.imagefile import Head
from residua.data.keeping import Kept
from residua.data.pixels import part_of
from residua.data.spec import DataSpec

LARGEST_KEPT, SMALL, LARGE = 96, 64, 224  # sides in pixels
_SMALL_BELOW = 128
_SIZES_KEPT = 10
_NAMES_SHOWN = 5


def load(spec: DataSpec, root: Path, *, progress: Progress | None = None) -> Dataset:
    """Makes a folder of class folders into a data set.

    Raises:
        BadData: If the folder cannot be used; one line says why.
        BadSetting: If ``group`` matches no file.
    """
    listing = folder.listing(root)
    classes = check.classes(listing)
    paths = [found.path for found in listing.images]
    heads = {found.name: head for found, head in zip(listing.images, decoding.heads(paths, progress), strict=True)}
    division = divide(listing.images, spec, decoding.content_keys(paths, progress))
    check_complete(division, classes)
    used = [found for members in division.parts.values() for found in members]
    seen = [heads[found.name] for found in used]
    size = image_size(seen, spec.image_size)
    target = Target(size=size, fit=spec.fit, channels=1 if all(head.grey for head in seen) else 3)
    kept = keeping.keep([found.path for found in used], target, spec, progress)
    parts = _parts(division.parts, kept, classes)
    return Dataset(
        source=spec.source,
        classes=classes,
        parts=parts,
        preprocessing=keeping.looked_through(parts, spec, progress),
        notes=(
            *_left_out_note(listing.left_out),
            *division.notes,
            *_size_note(seen, size, spec),
            *kept.notes,
            *_flip_note(classes),
        ),
        split_rule=division.rule,
        left_out=(*listing.left_out, *division.left_out),
        sizes=sizes(seen),
    )


def image_size(heads: Sequence[Head], asked: int | None) -> tuple[int, int]:
    """Returns height and width of what the network sees.

    What the user asks for; else the images' own where all are equal and at most 96 pixels a side; else a
    square of 64 where the shorter side of most is below 128; else of 224.
    """
    if asked is not None:
        return asked, asked
    first = (heads[0].height, heads[0].width)
    if max(first) <= LARGEST_KEPT and all((head.height, head.width) == first for head in heads):
        return first
    small = sum(min(head.height, head.width) < _SMALL_BELOW for head in heads)
    return (SMALL, SMALL) if 2 * small > len(heads) else (LARGE, LARGE)


def sizes(heads: Sequence[Head]) -> tuple[tuple[int, int, int], ...]:
    """Returns height, width and number of the ten most frequent sizes."""
    counts = Counter((head.height, head.width) for head in heads)
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SIZES_KEPT]
    return tuple((height, width, number) for (height, width), number in frequent)


def _parts(divided: Mapping[PartName, Sequence[Found]], kept: Kept, classes: Sequence[str]) -> tuple[Part, ...]:
    """Cuts the pixels, which lie part after part, into the parts."""
    parts, first = [], 0
    for name, members in divided.items():
        labels = [classes.index(found.label) for found in members]
        files = [found.name for found in members]
        parts.append(part_of(name, kept.cut(first, first + len(members)), labels, files))
        first += len(members)
    return tuple(parts)


def _left_out_note(left_out: Sequence[str]) -> list[str]:
    if not left_out:
        return []
    files = "1 file is" if len(left_out) == 1 else f"{len(left_out)} files are"
    shown = ", ".join(left_out[:_NAMES_SHOWN]) + (", …" if len(left_out) > _NAMES_SHOWN else "")
    return [f"{files} left out, being no images or in no class folder: {shown}"]


def _size_note(heads: Sequence[Head], size: tuple[int, int], spec: DataSpec) -> list[str]:
    """Says what is done to the images' sizes, where anything is."""
    found = sorted({(head.height * head.width, head.width, head.height) for head in heads})
    if [(width, height) for _, width, height in found] == [(size[1], size[0])]:
        return []
    small, large = (f"{width} × {height}" for _, width, height in (found[0], found[-1]))
    span = f"{small} pixels" if len(found) == 1 else f"{small} to {large} pixels ({len(found)} sizes)"
    done = {"crop": "scaled and cropped", "pad": "scaled and padded", "squash": "squashed"}[spec.fit]
    return [f"images of {span} are {done} to {size[1]} × {size[0]}; --image-size and --fit change this"]


def _flip_note(classes: tuple[str, ...]) -> list[str]:
    return ["images are not mirrored: the classes are digits or letters"] if has_orientation(classes) else []
