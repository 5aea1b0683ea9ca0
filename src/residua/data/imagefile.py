"""Image files, and the rules by which each becomes pixels, for training, prediction and serving alike.

* What a file holds decides, not its suffix: its first bytes name the format. RAW photographs are the
  exception, since their first bytes are TIFF's: there the suffix decides.
* The first picture of an animation, or of a file with several pages, is read.
* The EXIF orientation is applied; colour profiles are not.
* Transparent pixels are laid on white. Palettes, CMYK, YCbCr and LAB become RGB.
* 16-bit grey is scaled, v/257 rounded, never clipped; 16-bit colour is Pillow's, v/256 rounded down; float and
  32-bit pixels are refused.
"""

import io
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
from PIL import Image, UnidentifiedImageError

from residua.errors import BadData

Result = TypeVar("Result")
File = io.BytesIO | io.BufferedReader

# fmt: off
SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".ico", ".qoi", ".heic", ".heif", ".hif",
})
RAW_SUFFIXES = frozenset({
    ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw",
    ".x3f", ".3fr", ".iiq",
})
# fmt: on
MOST_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs: 512 MiB of RGB

_FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF"),
    *("PPM", "JPEG2000", "AVIF", "ICO", "QOI", "HEIF"),
)
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_HEAD_BYTES = 16
_DRAFT_MARGIN = 2  # a JPEG is decoded at no less than twice the size it is fitted to
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@final
@dataclass(frozen=True, kw_only=True)
class Head:
    """What the first bytes of an image file say."""

    height: int
    """In pixels, of the upright image."""
    width: int
    grey: bool
    """Whether the file has a single channel; a colour file may still hold nothing but greys."""


def is_image(path: Path) -> bool:
    """Says whether a file is meant as an image: by its suffix, or else by its first bytes.

    A text named ``.jpg`` is meant as one, and found damaged when it is read.

    Raises:
        BadData: If the file cannot be opened.
    """
    if path.suffix.lower() in SUFFIXES | RAW_SUFFIXES:
        return True
    with _file(path) as file:
        return _signed(file.read(_HEAD_BYTES))


def head(path: Path) -> Head:
    """Reads size and channels without decoding the pixels.

    Raises:
        BadData: As `read`, for as much as the head shows.
    """

    def look(image: Image.Image) -> Head:
        turned = image.format != "TIFF" and _orientation(image) >= 5  # Pillow gives TIFF's sides as turned
        height, width = (image.width, image.height) if turned else (image.height, image.width)
        return Head(height=height, width=width, grey=_one_channel(image.mode))

    return _with_image(path, str(path), look)


def read(source: Path | bytes | Image.Image, *, for_size: tuple[int, int] | None = None) -> Image.Image:
    """Reads an image as 8-bit grey (``L``) or colour (``RGB``), upright, by the rules of this file.

    Args:
        source: A file, a file's content, or an image opened by Pillow.
        for_size: Height and width that it will be fitted to: a much larger JPEG is decoded at a half,
            quarter or eighth of its size, never below twice this.

    Raises:
        BadData: If the file is missing, damaged, of refused pixels, or needs a package that is not here.
    """
    name = str(source) if isinstance(source, Path) else "the image"

    def decode(image: Image.Image) -> Image.Image:
        if for_size is not None and image is not source:  # the caller's own image stays as it is
            side = _DRAFT_MARGIN * max(for_size)
            image.draft(None, (side, side))  # type: ignore[arg-type]  # None keeps the mode
        image.load()
        turn = _TURNS.get(_orientation(image))
        pixels = plain(image, name)
        return pixels if turn is None else pixels.transpose(turn)

    return _with_image(source, name, decode)


def plain(image: Image.Image, name: str = "the image") -> Image.Image:
    """Returns a decoded image as ``L`` or ``RGB``, transparent pixels on white, 16 bits scaled to 8.

    Raises:
        BadData: If its pixels are floats or 32-bit integers, whose white nobody knows.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.uint16)
        return Image.fromarray(eight_bit(np.where(values == image.info.get("transparency", -1), 0xFFFF, values)))
    if image.mode[:1] in ("I", "F"):
        pixels = "float" if image.mode[:1] == "F" else "32-bit"
        raise BadData(f"{name} has {pixels} pixels, whose white is not known; save it with 8 or 16 bits a channel")
    target = "L" if _one_channel(image.mode) else "RGB"
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours)
    return image.convert(target)


def eight_bit(values: np.ndarray[Any, np.dtype[np.uint16]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Scales 16-bit values to 8 bits: v/257 rounded, so that 65535 becomes 255."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _with_image(source: Path | bytes | Image.Image, name: str, use: Callable[[Image.Image], Result]) -> Result:
    """Opens an image and returns what ``use`` makes of it; whatever goes wrong in a decoder is damage."""
    try:
        with _SILENCE:
            if isinstance(source, Image.Image):
                return use(source)
            with _file(source) as file, _open(file, name) as image:
                return use(image)
    except BadData:
        raise
    except Image.DecompressionBombError:
        raise BadData(f"{name} has more than {MOST_PIXELS:,} pixels; make it smaller or take it out") from None
    except Exception as error:  # decoders meet damaged bytes with every kind of exception
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadData(f"{name} is damaged ({reason}); restore it or take it out") from error


def _file(source: Path | bytes) -> File:
    """Opens the bytes; not a path: Pillow 13 maps a TIFF by its path into memory, then turns it wrongly."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return source.open("rb")
    except FileNotFoundError:
        what = "a link to nothing" if source.is_symlink() else "no file"
        raise BadData(f"{source} is {what}; restore it or take it out") from None
    except OSError as error:
        raise BadData(f"{source} cannot be opened ({error.strerror}); allow it or take it out") from None


def _open(file: File, name: str) -> Image.Image:
    """Opens without decoding where the format allows it."""
    if Path(name).suffix.lower() in RAW_SUFFIXES:
        return _develop(file, name)
    first = file.read(_HEAD_BYTES)
    file.seek(0)
    if not first:
        raise BadData(f"{name} is damaged (it has 0 bytes); restore it or take it out")
    if _brand(first) in _HEIF_BRANDS:
        _register_heif(name)
    Image.init()
    try:
        return Image.open(file, formats=[known for known in _FORMATS if known in Image.OPEN])
    except UnidentifiedImageError:
        raise BadData(f"{name} is {_unknown(first)}") from None


def _unknown(first: bytes) -> str:
    """Says what a file is whose format Pillow does not find, from its first bytes, and what to do."""
    if _brand(first) in _AVIF_BRANDS and "AVIF" not in Image.OPEN:
        return "AVIF, which this Pillow does not read; update Pillow or save it as PNG"
    kind = "damaged (or of a kind that Pillow does not read)" if _signed(first) else "no image, whatever its name says"
    return f"{kind}; restore it or take it out"


def _brand(first: bytes) -> bytes:
    return first[8:12] if first[4:8] == b"ftyp" else b""


def _signed(first: bytes) -> bool:
    """Says whether a file's first bytes are an image's; formats with weaker marks need their suffix."""
    webp = first[:4] == b"RIFF" and first[8:12] == b"WEBP"
    return webp or first.startswith(_SIGNATURES) or _brand(first) in _HEIF_BRANDS + _AVIF_BRANDS


def _one_channel(mode: str) -> bool:
    """Says whether a Pillow mode is black and white, 8-bit or 16-bit grey, with or without transparency."""
    return mode in ("1", "L", "LA") or mode.startswith("I")


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation from 1 to 8; 1 where there is none that makes sense."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a photograph whose EXIF is damaged is a photograph all the same
        return 1
    return found if found in _TURNS else 1


def _register_heif(name: str) -> None:
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise BadData(
            f"{name} is a HEIC photograph; `pip install 'residua[heic]'` reads it, or save it as JPEG"
        ) from None


def _develop(file: File, name: str) -> Image.Image:
    try:
        rawpy = import_module("rawpy")
    except ImportError:
        raise BadData(
            f"{name} is a RAW photograph; `pip install 'residua[raw]'` reads it, or save it as JPEG"
        ) from None
    with rawpy.imread(file) as photograph:
        return Image.fromarray(photograph.postprocess())


@final
class _Silence:
    """Keeps Pillow's warnings from the terminal while any thread reads an image.

    ``warnings.catch_warnings`` alone is not made for threads: the last to leave puts the filters back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_SILENCE = _Silence()
