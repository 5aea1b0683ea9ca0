"""Numbers as people read them: percentages, counts, durations.

A narrow no-break space stands before the per cent sign, as in a well-set text.
"""

import re
from collections.abc import Sequence
from math import isinf, isnan

_FINE_FROM_IMAGES = 1000
"""From here on one image is at most a tenth of a per cent, and a second decimal means something."""


def percent(share: float | int | None, images: int = 0) -> str:
    """Writes a share between 0 and 1 as a percentage; "–" where there is none.

    Two decimals from 1,000 images on, else one. 100 and 0 are written only where they are exact.
    """
    return "–" if share is None else f"{_digits(share, images)}\u202f%"


def bare_percent(share: float | int, images: int = 0) -> str:
    """Writes a share as `percent` does, without the sign: for the ends of an interval."""
    return _digits(share, images)


def interval(bounds: Sequence[float | int], images: int = 0) -> str:
    """Writes an interval of shares as percentages without their sign: ``96.4–99.2``."""
    return f"{_digits(bounds[0], images)}–{_digits(bounds[1], images)}"


def count(number: int) -> str:
    """Writes a whole number with thousands apart: ``11,689,512``."""
    return f"{number:,}"


def compact(number: float | int) -> str:
    """Writes a large number with three digits and a letter: ``1.82 G``, ``11.7 M``, ``272 k``."""
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            value = number / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {letter}"
    return f"{number:g}"


def duration(seconds: float | int) -> str:
    """Writes a duration with its two largest units: ``3 h 07 min``, ``2 min 05 s``, ``12 s``, ``1.3 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def significant(number: float | int, digits: int = 3) -> str:
    """Writes a number with a few significant digits, with an exponent only far from one."""
    return f"{number:#.{digits}g}".rstrip(".") if 1e-4 <= abs(number) < 1e6 else f"{number:.{digits}g}"


def measure(number: float | int | None) -> str:
    """Writes what was measured, whatever it is: ``0.0342``, ``1.3e-8``, ``1,024``, ``∞``; "–" where there is none."""
    if number is None or isnan(number):
        return "–" if number is None else "not a number"
    if isinf(number):
        return "∞" if number > 0 else "−∞"
    if float(number).is_integer() and abs(number) < 1e6:
        return count(int(number)).replace("-", "−")
    written = re.sub(r"e([+-])0*", lambda sign: f"e{sign[1].strip('+')}", significant(number, 3))
    return written.replace("-", "−", 1) if number < 0 else written


def shape(sizes: Sequence[int]) -> str:
    """Writes the shape of an image or a feature map: ``64×32×32``."""
    return "×".join(str(size) for size in sizes)


def images(number: int, kind: str = "") -> str:
    """Writes a number of images with its noun: ``1 test image``, ``360 test images``."""
    return f"{count(number)} {kind + ' ' if kind else ''}image{'' if number == 1 else 's'}"


def _digits(share: float | int, images: int) -> str:
    decimals = 2 if images >= _FINE_FROM_IMAGES else 1
    step = 10.0 ** -(decimals + 2)
    inside = min(max(share, step), 1 - step) if 0 < share < 1 else share
    return f"{100 * inside:.{decimals}f}"
