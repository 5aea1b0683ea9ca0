"""Reads the IDX format of the MNIST family: a gzipped array with a small head.

Head: two zero bytes, a type (8 = unsigned byte), the number of axes, then each axis's length as a
big-endian 32-bit number.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from residua.errors import BadData

_UNSIGNED_BYTE = 8


def read(path: Path) -> UInt8[np.ndarray, "..."]:
    """Returns the array of unsigned bytes in a gzipped IDX file.

    Raises:
        BadData: If the file is missing, cut short, or holds something else.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path} cannot be read ({error}); delete it and `residua download` the set again") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise BadData(f"{path} is no IDX file of unsigned bytes; `residua download` fetches the published one")
    axes = content[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", content[4:start]) if len(content) >= start else (0,)
    if len(content) - start != math.prod(shape):
        raise BadData(f"{path} is cut short or too long; delete it and `residua download` the set again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
