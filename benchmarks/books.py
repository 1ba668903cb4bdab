"""The six novels of Jane Austen as text files, from Debian's package r-cran-janeaustenr.

    apt-get download r-cran-janeaustenr && dpkg-deb -x r-cran-janeaustenr_*.deb austen
    python -m benchmarks.books austen books

The package keeps each novel as a vector of lines in R's serialisation: records of a 4-byte unpacked length and a zlib
stream, in which each line is a CHARSXP entry.
"""

from __future__ import annotations

import argparse
import re
import struct
import zlib
from pathlib import Path

_LINE = re.compile(rb"\x00[\x00-\x0f]\x00\x09")  # begins a CHARSXP, before the 4 bytes of its length
_FEWEST = 1000  # lines of a novel


def novels(rdb: Path) -> list[list[str]]:
    """Return the lines of each novel in the data base of the package."""
    content, found = rdb.read_bytes(), []
    while len(content) > 4:
        stream = zlib.decompressobj()
        lines = _lines(stream.decompress(content[4:]))
        content = stream.unused_data
        if len(lines) >= _FEWEST:
            found.append(lines)
    return found


def _lines(record: bytes) -> list[str]:
    lines, place = [], 0
    while match := _LINE.search(record, place):
        (length,) = struct.unpack_from(">i", record, match.end())
        begin = match.end() + 4
        place = begin + max(length, 0)
        lines.append(record[begin:place].decode())
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="folder that the package was unpacked to")
    parser.add_argument("books", type=Path, help="folder that gets a text file a novel")
    options = parser.parse_args()
    (rdb,) = options.package.rglob("janeaustenr/data/Rdata.rdb")
    options.books.mkdir(parents=True, exist_ok=True)
    for lines in novels(rdb):
        title = re.sub(r"[^a-z]+", "_", next(line for line in lines if line.strip()).lower()).strip("_")
        path = options.books / f"{title}.txt"
        path.write_text("\n".join(lines) + "\n")
        print(f"{path}: {len(lines):,} lines")


if __name__ == "__main__":
    main()
