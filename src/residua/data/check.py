"""What is refused before training begins: sources from which nothing could be learned, or nothing told."""

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from residua import files, machine
from residua.data.dataset import PartName
from residua.data.folder import Listing
from residua.errors import BadData, unknown

MEMORY_SHARE = 0.5  # the images' share of the memory that is free; training needs the rest
_NAMES_SHOWN = 5


def folder_exists(source: str, names: Sequence[str]) -> Path:
    """Returns the source as a folder.

    Raises:
        BadData: If it is no folder, with the nearest name of a set or of a folder beside it.
    """
    path = files.expanded(source)
    if path.is_dir():
        return path
    if path.exists():
        raise BadData(f"{source} is a file; give a folder of class folders (unpack an archive first)")
    if len(path.parts) == 1 and get_close_matches(source, names, n=1, cutoff=0.6):
        raise BadData(f"{unknown('source', source, names)} (and no folder of that name is here)")
    beside = [other.name for other in _directories(path.parent)]
    near = get_close_matches(path.name, beside, n=1, cutoff=0.6)
    if near:
        raise BadData(f"{source} does not exist; did you mean {str(path.with_name(near[0]))!r}?")
    raise BadData(f"{source} does not exist; give a folder of class folders, or one of {', '.join(names)}")


def classes(listing: Listing) -> tuple[str, ...]:
    """Returns the source's classes by name.

    Raises:
        BadData: If there are fewer than two, one is empty, or one is missing from a part.
    """
    counts = Counter((found.part, found.label) for found in listing.images)
    names = sorted({label for _, label in listing.class_folders})
    for part in listing.part_folders:
        _all_present(listing, part, names)
        for label in names:
            if not counts[part, label]:
                folder = listing.class_folders[part, label]
                raise BadData(f"class {label!r} has no image: {folder} is empty; fill it or remove it")
    if len(names) < 2:
        raise BadData(_one_class(listing, names[0]))
    return tuple(names)


def fits_memory(images: int, channels: int, size: tuple[int, int]) -> None:
    """Checks that so many images find room beside the network, where the system says how much there is.

    Raises:
        BadData: If they do not, with the largest size that does.
    """
    free = machine.memory_bytes() * MEMORY_SHARE
    needed = images * channels * size[0] * size[1]
    if free and needed > free:
        largest = int((free / (images * channels)) ** 0.5)
        raise BadData(
            f"{images:,} images of {size[1]} × {size[0]} pixels take {needed / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free for them; use --image-size {largest} or below"
        )


def all_read(failures: Mapping[str, BadData]) -> None:
    """Checks that no image failed.

    Args:
        failures: What was wrong, by file name.

    Raises:
        BadData: With the first failure and the names of some others.
    """
    if not failures:
        return
    first, *others = failures
    also = ""
    if others:
        shown = ", ".join(others[:_NAMES_SHOWN]) + (", …" if len(others) > _NAMES_SHOWN else "")
        also = f" (the same for {shown}: {len(failures)} images in all)"
    raise BadData(f"{failures[first]}{also}")


def _all_present(listing: Listing, part: PartName | None, names: Sequence[str]) -> None:
    """Refuses a part that lacks class folders, or one that another part has."""
    folder = listing.part_folders[part]
    here = [label for holder, label in listing.class_folders if holder == part]
    if not here:
        remedy = "sort its images into a folder a class"
        if part is not None:
            remedy += f", or move {folder.name}/ elsewhere (`residua predict` takes images without classes)"
        raise BadData(f"{folder} has no class folders; {remedy}")
    for label in names:
        if label not in here:
            other = next(where for (holder, name), where in listing.class_folders.items() if name == label)
            near = get_close_matches(label, here, n=1, cutoff=0.6)
            hint = f"is {folder / near[0]} meant?" if near else f"add {folder / label}, or remove {other}"
            raise BadData(f"class {label!r} is in {other.parent} but not in {folder}; {hint}")


def _one_class(listing: Listing, label: str) -> str:
    """Says that one class is too few, and which folder below may be meant."""
    only = next(iter(listing.class_folders.values()))
    inside = len(_directories(only))
    hint = f"did you mean {str(only)!r}?" if inside > 1 else "add a folder for each further class"
    return f"{listing.root} has one class only, {label!r}; two are needed to tell apart; {hint}"


def _directories(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []
