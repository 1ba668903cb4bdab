"""Build a release, check it as a user gets it, and tag it.

    python tools/release.py          # builds into dist/; checks wheel and editable install, in an empty environment
    python tools/release.py --borrow # the same with the packages of this environment, which takes seconds
    python tools/release.py --tag    # the same from a committed checkout; then `git tag`

Before a release: set the version in pyproject.toml and CITATION.cff, and write its date into CHANGELOG.md. After it:
``git push origin vVERSION``, and ``python -m twine upload dist/*``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
TINY = ["--trainer.max_steps=20", "--trainer.val_check_interval=10", "--data.init_args.length=30"]


def version() -> str:
    """Return the version of pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def problems() -> list[str]:
    """List what keeps this checkout from being released."""
    found = []
    cited = str(yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"])
    if cited != version():
        found.append(f"CITATION.cff has version {cited}, pyproject.toml {version()}")
    if not re.search(rf"^## {re.escape(version())} \(\d{{4}}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.M):
        found.append(f"CHANGELOG.md has no section '## {version()} (YYYY-MM-DD)'")
    if git("status", "--porcelain"):
        found.append("some changes are not committed")
    if f"v{version()}" in git("tag").split():
        found.append(f"the tag v{version()} exists")
    return found


def git(*args: str) -> str:
    """Return what git prints."""
    return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def build() -> Path:
    """Build sdist and wheel.

    Returns:
        The wheel.
    """
    dist = ROOT / "dist"
    for old in dist.glob("memup_lightning-*"):
        old.unlink()
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = dist.glob("*.whl")
    return wheel


def check(wheel: Path, borrow: bool = False) -> None:
    """Run the command line from the wheel, then from an editable install without wandb, away from the checkout, in a folder
    where the user has packages named callbacks and datamodules.

    Args:
        wheel: its path.
        borrow: whether the new environment sees the packages of this one, wandb too, instead of installing them again.
    """
    with tempfile.TemporaryDirectory() as folder:
        away = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", str(away / "venv")], check=True)
        binaries = away / "venv" / ("Scripts" if os.name == "nt" else "bin")
        clean = {name: x for name, x in os.environ.items() if name != "PYTHONPATH"} | {"WANDB_MODE": "offline"}

        def run(program: str, *args: str) -> None:
            subprocess.run([str(binaries / program), *args], cwd=away, env=clean, check=True)

        pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
        (away / "callbacks").mkdir()
        (away / "callbacks" / "__init__.py").touch()
        (away / "datamodules.py").touch()
        if borrow:
            (site,) = (away / "venv").rglob("site-packages")
            (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # after what is installed here
            dependencies = ["--no-deps", "--force-reinstall"]
        else:
            dependencies = ["--no-compile", "--constraint", str(ROOT / "constraints.txt")]
        run("python", *pip, "install", *dependencies, str(wheel))
        run("memup", "configs")
        run("memup", "fit", "--config", "conf/tmaze.yaml", *TINY)
        _has_summary(away / "runs" / "tmaze" / "version_0", "wheel: fit runs in an empty environment")
        run("python", *pip, "uninstall", "--yes", "memup-lightning", *(() if borrow else ("wandb",)))
        run("python", *pip, "install", "--no-deps", "--editable", str(ROOT))
        run("python", "-m", "memup_lightning", "fit", "--config", "conf/tmaze.yaml", *TINY)
        _has_summary(away / "runs" / "tmaze" / "version_1", "editable install: fit runs away from the checkout")


def _has_summary(run: Path, sentence: str) -> None:
    if not (run / "summary.json").stat().st_size:
        raise SystemExit(f"{run}: summary.json is empty")
    print(sentence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", action="store_true", help="tag the commit when all checks hold")
    parser.add_argument("--borrow", action="store_true", help="check with the packages of this environment")
    options = parser.parse_args()
    if options.tag and (found := problems()):
        raise SystemExit("not released: " + "; ".join(found))
    check(build(), options.borrow)
    if options.tag:
        git("tag", "--annotate", f"v{version()}", "--message", f"memup-lightning {version()}")
        print(f"tagged v{version()}; next: git push origin v{version()}, python -m twine upload dist/*")


if __name__ == "__main__":
    main()
