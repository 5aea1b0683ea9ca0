"""Finds the images in a folder of class folders, with or without ``train/``, ``val/`` and ``test/``.

Nothing is decoded here. Hidden files and the litter of file managers are passed over in silence; every other
file that is no image is listed as left out. Links are followed, but not back into a folder being read.
"""

import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import final

from residua.data import imagefile
from residua.data.dataset import PartName
from residua.errors import BadData

PART_FOLDERS: Mapping[str, PartName] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_LITTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})


@final
@dataclass(frozen=True, kw_only=True)
class Found:
    """An image file, and where it stands."""

    path: Path
    name: str
    """Relative to the source, with ``/``, in composed Unicode; bytes that are no UTF-8 show as ``�``."""
    label: str
    part: PartName | None
    """None where the source has no parts of its own."""
    sub_folder: str | None
    """What it shares below its class folder with images that belong to it; None for nothing."""


@final
@dataclass(frozen=True, kw_only=True)
class Listing:
    """Everything that a source folder holds."""

    root: Path
    images: tuple[Found, ...]
    """In the order of their names."""
    part_folders: Mapping[PartName | None, Path]
    """What holds the class folders of each part; the source itself where it has no parts."""
    class_folders: Mapping[tuple[PartName | None, str], Path]
    """By part and class, empty ones too."""
    left_out: tuple[str, ...]
    """Files that are no images, or lie in no class folder."""


def listing(root: Path) -> Listing:
    """Lists a source's images by part and class.

    Raises:
        BadData: If a folder cannot be read, or the same part stands there under two names, or two files have one name
            in composed Unicode.
    """
    parts = _part_folders(root)
    holders: dict[PartName | None, Path] = {**parts} if parts else {None: root}
    images: list[Found] = []
    class_folders: dict[tuple[PartName | None, str], Path] = {}
    left_out = [] if not parts else [_name(p, root) for p in _files(root, above=parts.values())]
    for part, holder in holders.items():
        directories, loose = _entries(holder)
        left_out += [_name(path, root) for path in loose]
        for directory in directories:
            label = _composed(directory.name)
            class_folders[part, label] = directory
            found, others = _of_class(directory, root, part)
            images += found
            left_out += others
    images.sort(key=lambda found: found.name)
    for one, other in pairwise(images):
        if one.name == other.name:
            raise BadData(f"{root} has two files that are both shown as {one.name}; rename one of them")
    return Listing(
        root=root,
        images=tuple(images),
        part_folders=holders,
        class_folders=class_folders,
        left_out=tuple(sorted(left_out)),
    )


def image_files(directory: Path) -> list[Path]:
    """Lists the images below a folder, at any depth and in the order of their names; other files are passed over.

    Raises:
        BadData: If the folder cannot be read.
    """
    return [path for path in _files(directory) if _is_image(path)]


def _part_folders(root: Path) -> dict[PartName, Path]:
    """Returns the folders that are parts; none where ``train`` is missing, or is a class of its own.

    A folder named ``train`` with images but no folders in it is a class (of vehicles, say).
    """
    directories, _ = _entries(root)
    named = [directory for directory in directories if directory.name.lower() in PART_FOLDERS]
    parts: dict[PartName, Path] = {}
    for directory in named:
        part = PART_FOLDERS[directory.name.lower()]
        if part in parts:
            raise BadData(f"{root} has both {parts[part].name}/ and {directory.name}/; keep one of them")
        parts[part] = directory
    if "train" not in parts:
        if parts and len(named) == len(directories):
            raise BadData(f"{root} has {named[0].name}/ but no train/; add it, or give a folder of class folders")
        return {}
    inside, loose = _entries(parts["train"])
    if not inside and loose and len(named) < len(directories):
        return {}
    order: tuple[PartName, ...] = ("train", "validation", "test")
    return {part: parts[part] for part in order if part in parts}


def _of_class(directory: Path, root: Path, part: PartName | None) -> tuple[list[Found], list[str]]:
    """Returns the images of a class folder, and the names of its other files."""
    images, others = [], []
    for path in _files(directory, above={root, directory.parent}):
        (images if _is_image(path) else others).append(path)
    ties = _sub_folders([path.relative_to(directory).parent.parts for path in images])
    label = _composed(directory.name)
    found = [
        Found(path=path, name=_name(path, root), label=label, part=part, sub_folder=tie and f"{label}/{tie}")
        for path, tie in zip(images, ties, strict=True)
    ]
    return found, [_name(path, root) for path in others]


def _sub_folders(folders: list[tuple[str, ...]]) -> list[str | None]:
    """Returns the first folder of each path, below the folders that all of them share."""
    shared = 0
    while folders and all(len(folder) > shared and folder[shared] == folders[0][shared] for folder in folders):
        shared += 1
    return [_composed(folder[shared]) if len(folder) > shared else None for folder in folders]


def _is_image(path: Path) -> bool:
    try:
        ordinary = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        ordinary = True  # a broken link: whether it was meant as an image, its name says
    return ordinary and imagefile.is_image(path)


def _files(directory: Path, above: Iterable[Path] = ()) -> Iterator[Path]:
    """Yields the files below a folder, at any depth, in the order of their names.

    Args:
        directory: The folder.
        above: Folders that are not entered, where a link leads back to them.
    """
    yield from _below(directory, frozenset(_identity(folder) for folder in above))


def _below(directory: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    here = _identity(directory)
    if here in above:
        return
    directories, loose = _entries(directory)
    yield from loose
    for inner in directories:
        yield from _below(inner, above | {here})


def _identity(directory: Path) -> tuple[int, int]:
    found = directory.stat()
    return found.st_dev, found.st_ino


def _entries(directory: Path) -> tuple[list[Path], list[Path]]:
    """Returns the folders and the files directly in a folder, by name, without the hidden ones."""
    try:
        paths = sorted(path for path in directory.iterdir() if not _hidden(path.name))
    except OSError as error:
        raise BadData(f"{directory} cannot be read ({error.strerror}); allow it or take it out") from None
    return [path for path in paths if path.is_dir()], [path for path in paths if not path.is_dir()]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _name(path: Path, root: Path) -> str:
    return _composed(path.relative_to(root).as_posix())


def _composed(name: str) -> str:
    """Returns the name in Unicode's composed form: the same on every system for the same letters."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
