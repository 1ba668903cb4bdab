"""Text files, plain or gzip, read a block at a time: their size, their parts, their characters."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from memup_lightning.exceptions import MemUPError
from memup_lightning.user_warnings import option

_BLOCK = 1 << 20  # bytes that are read at once
_GZIP = b"\x1f\x8b"
_SPACE = b" \t\r\n"
_LOOK = 4096  # bytes after a cut within which white space is looked for


class TextFile:
    """A file of text, plain or gzip; its bytes are counted unpacked.

    Args:
        path: of the file.

    Raises:
        MemUPError: no file there, a folder, a file that cannot be read, an empty one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise MemUPError(f"{self.path} does not exist (seen from {Path.cwd()}); give the path of a text file")
        if self.path.is_dir():
            raise MemUPError(f"{self.path} is a folder; give the text files in it")
        with _reading(self.path), self.path.open("rb") as file:
            self.packed = file.read(2) == _GZIP
        self.size = sum(map(len, self.blocks())) if self.packed else self.path.stat().st_size
        if not self.size:
            raise MemUPError(f"{self.path} is empty; give a file that holds text")

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes ``start <= n < stop``, up to the end by default, in blocks."""
        with _reading(self.path), self._open() as file:
            file.seek(start)
            left = (1 << 62) if stop is None else stop - start
            while left > 0 and (block := file.read(min(_BLOCK, left))):
                left -= len(block)
                yield block

    def texts(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """Yield the characters of the bytes ``start <= n < stop``, in blocks.

        Raises:
            MemUPError: bytes that are no UTF-8, a character of number 0; with the number of the byte.
        """
        decoder = codecs.getincrementaldecoder("utf-8")()
        place, waiting = start, 0  # bytes read so far; those of them that wait for the rest of their character
        for block in (*self.blocks(start, stop), b""):  # the last says that nothing follows
            if 0 in block:
                raise MemUPError(
                    f"{self.path}: byte {place + block.index(0):,} is 0, so it is a binary file or UTF-16; save it as "
                    f"UTF-8, or give {option('data.unit', 'byte')}, which reads any bytes"
                )
            try:
                text = decoder.decode(block, not block)
            except UnicodeDecodeError as error:
                at = place - waiting + error.start
                raise MemUPError(
                    f"{self.path}: byte {at:,} (0x{error.object[error.start]:02x}) is no UTF-8; save the file as UTF-8 "
                    f"(iconv -f LATIN1 -t UTF-8), or give {option('data.unit', 'byte')}, which reads any bytes"
                ) from None
            place += len(block)
            waiting = len(decoder.getstate()[0])
            yield text

    def cut(self, share: float) -> int:
        """Return the byte after a share of the file at which a part may end: white space, else the end of a character."""
        place = int(share * self.size)
        near = b"".join(self.blocks(place, min(place + _LOOK, self.size)))
        spaces = (number for number, byte in enumerate(near) if byte in _SPACE)
        ends = (number for number, byte in enumerate(near) if byte & 0xC0 != 0x80)
        if place + _LOOK >= self.size:
            return place + next(spaces, len(near))
        return place + next(spaces, next(ends, len(near)))

    def parts(self, shares: Sequence[float]) -> list[tuple[int, int]]:
        """Return the first byte of each part and that after its last; they follow each other and hold the whole file.

        Args:
            shares: of the file, for each part; their sum is 1.
        """
        ends = [self.cut(sum(shares[: number + 1])) for number in range(len(shares) - 1)]
        return list(zip([0, *ends], [*ends, self.size], strict=True))

    def checksum(self) -> str:
        """Return 16 hexadecimal digits that follow from the bytes, unpacked."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()[:16]

    def _open(self) -> BinaryIO:
        return cast(BinaryIO, gzip.open(self.path)) if self.packed else self.path.open("rb")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the system or gzip says into one sentence."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise MemUPError(f"{path} is a damaged gzip file ({error}); pack it again") from error
    except OSError as error:
        raise MemUPError(f"{path} cannot be read ({error.strerror}); give a text file that can be read") from error
