import io
import struct
import subprocess
import sys
import types
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from residua.data import imagefile
from residua.data.imagefile import eight_bit, head, is_image, plain, read
from residua.errors import BadData

GREY = np.random.default_rng(0).integers(0, 256, (9, 13), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (9, 13), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read(path))


def on_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """α·v + (1 − α)·255, in floats."""
    share = alpha.astype(float) / 255
    return values * (share if values.ndim == 2 else share[..., None]) + 255 * (
        1 - (share if values.ndim == 2 else share[..., None])
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "pgm", "PNG"])
def test_grey_is_read_as_it_is(tmp_path: Path, suffix: str):
    options = {"lossless": True} if suffix == "webp" else {}
    assert np.array_equal(
        np.asarray(read(saved(tmp_path / f"x.{suffix}", Image.fromarray(GREY), **options)).convert("L")), GREY
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "qoi"])
def test_colour_is_read_as_it_is(tmp_path: Path, suffix: str):
    assert np.array_equal(pixels(saved(tmp_path / f"x.{suffix}", Image.fromarray(COLOUR))), COLOUR)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_black_and_white_becomes_0_and_255(tmp_path: Path, suffix: str):
    bits = GREY > 127
    assert np.array_equal(pixels(saved(tmp_path / f"x.{suffix}", Image.fromarray(bits))), bits * np.uint8(255))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str):
    """v/257 rounded, over the whole range."""
    values = np.linspace(0, 65535, 9 * 13).astype(np.uint16).reshape(9, 13)
    found = pixels(saved(tmp_path / f"x.{suffix}", Image.fromarray(values)))
    assert np.array_equal(found, np.floor(values / 257 + 0.5))
    assert (found.min(), found.max()) == (0, 255)


def test_every_sixteen_bit_value_is_rounded_to_the_nearest():
    values = np.arange(65536).astype(np.uint16)
    assert np.abs(eight_bit(values) - values / 257).max() <= 0.5


@pytest.mark.parametrize("values", [GREY.astype(np.float32), GREY.astype(np.int32)], ids=["float", "32-bit"])
def test_pixels_whose_white_is_unknown_are_refused(tmp_path: Path, values: np.ndarray):
    path = saved(tmp_path / "x.tif", Image.fromarray(values))
    with pytest.raises(BadData, match=r"x.tif has (float|32-bit) pixels, .*; save it with 8 or 16 bits"):
        read(path)


def test_transparent_colour_is_laid_on_white(tmp_path: Path):
    path = saved(tmp_path / "x.png", Image.fromarray(np.dstack([COLOUR, ALPHA])))
    assert np.abs(pixels(path) - on_white(COLOUR, ALPHA)).max() <= 1


def test_transparent_grey_stays_grey_and_is_laid_on_white(tmp_path: Path):
    path = saved(tmp_path / "x.png", Image.fromarray(np.dstack([GREY, ALPHA])))
    assert read(path).mode == "L"
    assert np.abs(pixels(path) - on_white(GREY, ALPHA)).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_becomes_its_colours(tmp_path: Path, suffix: str):
    indexed = Image.fromarray(COLOUR).quantize(16)
    path = saved(tmp_path / f"x.{suffix}", indexed)
    assert np.array_equal(pixels(path), np.asarray(indexed.convert("RGB")))


@pytest.mark.parametrize(
    ("suffix", "transparency"), [("gif", 3), ("png", 3), ("png", bytes([255, 0, 128] + [255] * 13))]
)
def test_a_palettes_transparency_is_laid_on_white(tmp_path: Path, suffix: str, transparency: int | bytes):
    indexed = Image.fromarray(COLOUR).quantize(16)
    opacity = np.full(256, 255)
    if isinstance(transparency, int):
        opacity[transparency] = 0
    else:
        opacity[: len(transparency)] = list(transparency)
    path = saved(tmp_path / f"x.{suffix}", indexed, transparency=transparency)
    expected = on_white(np.asarray(indexed.convert("RGB")), opacity[np.asarray(indexed)])
    assert np.abs(pixels(path) - expected).max() <= 1


def test_a_transparent_colour_key_is_laid_on_white(tmp_path: Path):
    path = saved(tmp_path / "x.png", Image.fromarray(COLOUR), transparency=tuple(int(v) for v in COLOUR[4, 5]))
    assert pixels(path)[4, 5].tolist() == [255, 255, 255]
    assert np.array_equal(pixels(path)[0], COLOUR[0])


def test_a_transparent_grey_of_sixteen_bits_is_laid_on_white(tmp_path: Path):
    values = np.array([[0, 1000], [30000, 65535]], dtype=np.uint16)
    path = saved(tmp_path / "x.png", Image.fromarray(values), transparency=1000)
    assert pixels(path).tolist() == [[0, 255], [117, 255]]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str):
    image = Image.new("RGB", (8, 6), (200, 40, 90)).convert(mode if mode != "LAB" else "RGB")
    if mode == "LAB":
        image = Image.new("LAB", (8, 6), (130, 190, 140))
    found = read(saved(tmp_path / "x.tif", image))
    assert found.mode == "RGB"
    if mode != "LAB":
        assert np.abs(np.asarray(found)[0, 0].astype(int) - (200, 40, 90)).max() <= 2


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path):
    red = Image.new("RGB", (16, 16), (220, 30, 30)).convert("CMYK")
    assert np.abs(pixels(saved(tmp_path / "x.jpg", red, quality=95))[8, 8].astype(int) - (220, 30, 30)).max() < 12


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(10))
def test_the_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int):
    """EXIF 2.32, tag 0x0112: the value says which corner of the upright image the first pixel is. Others mean 1."""
    image = Image.new("L", (40, 24))
    image.paste(255, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"x.{suffix}", image, exif=exif)
    corners = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    found = np.asarray(read(path).convert("L"))
    assert found.shape == ((40, 24) if 5 <= orientation <= 8 else (24, 40))
    lit = {(y, x) for y in (0, 1) for x in (0, 1) if found[(2, -3)[y], (2, -3)[x]] > 128}
    assert lit == {corners.get(orientation, (0, 0))}
    assert (head(path).height, head(path).width) == found.shape


def test_a_photograph_with_damaged_exif_is_read(tmp_path: Path):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1\x12\0\3\0\0"
    path = saved(tmp_path / "x.jpg", Image.fromarray(COLOUR), exif=exif)
    assert read(path).size == (13, 9)
    assert head(path).width == 13


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_picture_of_several_is_read(tmp_path: Path, suffix: str):
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    path = saved(tmp_path / f"x.{suffix}", first, save_all=True, append_images=[second])
    assert pixels(path)[4, 4].tolist() == pytest.approx([255, 0, 0], abs=3)


def test_the_content_decides_not_the_suffix(tmp_path: Path):
    path = tmp_path / "x.jpg"
    Image.fromarray(COLOUR).save(path, format="PNG")
    assert np.array_equal(pixels(path), COLOUR)


def test_the_content_of_a_file_and_an_open_image_are_read_alike(tmp_path: Path):
    path = saved(tmp_path / "x.png", Image.fromarray(np.dstack([COLOUR, ALPHA])))
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(read(image)), pixels(path))
    assert np.array_equal(np.asarray(read(path.read_bytes())), pixels(path))


def test_a_large_jpeg_is_decoded_smaller_but_not_below_twice_the_size(tmp_path: Path):
    path = saved(tmp_path / "x.jpg", Image.new("RGB", (1600, 1200), "red"))
    assert read(path, for_size=(50, 60)).size == (200, 150)
    assert read(path, for_size=(224, 224)).size == (800, 600)
    assert read(path, for_size=(601, 10)).size == (1600, 1200)


def test_an_open_image_is_left_as_it_was(tmp_path: Path):
    path = saved(tmp_path / "x.jpg", Image.new("RGB", (1600, 1200), "red"))
    with Image.open(path) as image:
        read(image, for_size=(50, 50))
        assert image.size == (1600, 1200)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "jp2", "ppm", "avif"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_file_cut_short_is_damaged(tmp_path: Path, suffix: str, share: float):
    whole = saved(tmp_path / f"w.{suffix}", Image.fromarray(np.tile(COLOUR, (8, 8, 1)))).read_bytes()
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadData, match=rf"x.{suffix} is damaged \(.*\); restore it or take it out") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.jpg", b"", r"x.jpg is damaged \(it has 0 bytes\)"),
        ("x.jpg", b"this is a text, not a photograph", "x.jpg is no image, whatever its name says"),
        ("x.txt", b"\xff\xd8\xff\xe0 and then nonsense", r"x.txt is damaged"),
        ("x.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, r"x.png is damaged"),
    ],
)
def test_what_is_no_image_is_said(tmp_path: Path, name: str, content: bytes, said: str):
    path = tmp_path / name
    path.write_bytes(content)
    for look in (read, head):
        with pytest.raises(BadData, match=said):
            look(path)


def test_a_missing_file_and_a_broken_link_are_said(tmp_path: Path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(BadData, match=r"nowhere.jpg is no file"):
        read(tmp_path / "nowhere.jpg")
    with pytest.raises(BadData, match=r"link.jpg is a link to nothing"):
        read(tmp_path / "link.jpg")


def png_claiming(width: int, height: int) -> bytes:
    """A PNG that says it has a size, and holds next to nothing."""
    content = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def test_a_decompression_bomb_is_refused_before_it_goes_off(tmp_path: Path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(50_000, 50_000))
    for look in (head, read):
        with pytest.raises(BadData, match=r"bomb.png has more than 178,956,970 pixels"):
            look(path)


def test_a_photograph_of_a_hundred_million_pixels_draws_no_warning(tmp_path: Path):
    """Pillow warns from 89 million pixels on, where cameras are today."""
    path = tmp_path / "large.png"
    path.write_bytes(png_claiming(12_000, 9_000))
    assert head(path).width == 12_000


@pytest.mark.parametrize(
    ("name", "content"), [("x.heic", b"\0\0\0\x18ftypheic\0\0\0\0"), ("x.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0")]
)
def test_heic_names_the_package_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / name).write_bytes(content + b"\0" * 40)
    with pytest.raises(BadData, match=r"HEIC photograph; `pip install 'residua\[heic\]'` reads it"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", [".cr2", ".NEF", ".arw", ".dng"])
def test_raw_names_the_package_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str):
    """Even where the bytes are a TIFF that Pillow would open, and show the thumbnail of."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    path = tmp_path / f"x{suffix}"
    Image.fromarray(COLOUR).save(path, format="TIFF")
    with pytest.raises(BadData, match=r"RAW photograph; `pip install 'residua\[raw\]'` reads it"):
        read(path)


def test_raw_is_developed_where_its_package_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Raw(io.BytesIO):
        def postprocess(self) -> np.ndarray:
            return COLOUR

    monkeypatch.setitem(sys.modules, "rawpy", types.SimpleNamespace(imread=lambda file: Raw(file.read())))
    (tmp_path / "x.cr2").write_bytes(b"II*\0 and more")
    assert np.array_equal(pixels(tmp_path / "x.cr2"), COLOUR)
    assert (head(tmp_path / "x.cr2").height, head(tmp_path / "x.cr2").width) == (9, 13)


def test_avif_is_named_where_pillow_does_not_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path / "x.avif", Image.fromarray(COLOUR))
    monkeypatch.delitem(Image.OPEN, "AVIF")
    with pytest.raises(BadData, match="is AVIF, which this Pillow does not read"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.jpg", b"a text", True),
        ("X.JPEG", b"", True),
        ("photo", b"\xff\xd8\xff\xe0", True),
        ("photo.bak", b"RIFF\0\0\0\0WEBPVP8 ", True),
        ("sound", b"RIFF\0\0\0\0WAVEfmt ", False),
        ("notes.txt", b"BM is no bitmap", False),
        ("labels.csv", b"", False),
    ],
)
def test_what_is_meant_as_an_image(tmp_path: Path, name: str, content: bytes, expected: bool):
    (tmp_path / name).write_bytes(content)
    assert is_image(tmp_path / name) is expected


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("LA", True), ("1", True), ("RGB", False), ("P", False)])
def test_the_head_says_whether_a_file_has_one_channel(tmp_path: Path, mode: str, grey: bool):
    assert head(saved(tmp_path / "x.png", Image.fromarray(COLOUR).convert(mode))).grey is grey


def test_every_mode_of_pillow_becomes_grey_or_colour_or_is_refused():
    for mode in (
        "1",
        "L",
        "LA",
        "P",
        "PA",
        "RGB",
        "RGBA",
        "RGBa",
        "RGBX",
        "CMYK",
        "YCbCr",
        "HSV",
        "I;16",
        "I;16B",
    ):
        assert plain(Image.new(mode, (3, 2))).mode in ("L", "RGB")
    for mode in ("I", "F"):
        with pytest.raises(BadData):
            plain(Image.new(mode, (3, 2)))


READ_IN_THREADS = """
import sys, threading, warnings
from residua.data import imagefile
before = list(warnings.filters)
threads = [threading.Thread(target=lambda: [imagefile.read(sys.argv[1]) for _ in range(50)]) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert list(warnings.filters) == before
assert imagefile._SILENCE._inside == 0
"""


def test_reading_in_threads_leaves_the_warning_filters_as_they_were(tmp_path: Path):
    """In a process of its own, whose filters no other test's thread can change."""
    path = saved(tmp_path / "x.png", Image.fromarray(COLOUR))
    subprocess.run([sys.executable, "-c", READ_IN_THREADS, str(path)], check=True)


def test_sixteen_bit_colour_is_scaled_to_eight(tmp_path: Path):
    """Written by hand, since Pillow writes none: one row of 2 pixels, big-endian."""
    values = np.array([[0, 65535, 32768, 1000, 40000, 257]], dtype=">u2")
    content = b"\x89PNG\r\n\x1a\n"
    head_chunk = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", head_chunk), (b"IDAT", zlib.compress(b"\0" + values.tobytes())), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    (tmp_path / "x.png").write_bytes(content)
    assert np.abs(pixels(tmp_path / "x.png").flatten() - values.flatten() / 257).max() <= 1


def test_the_last_reader_to_leave_puts_the_warning_filters_back():
    before = list(warnings.filters)
    with imagefile._SILENCE:
        silent = list(warnings.filters)
        with imagefile._SILENCE:
            pass
        assert list(warnings.filters) == silent != before
    assert list(warnings.filters) == before
