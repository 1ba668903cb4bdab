"""Try the package with several Pythons and with the lowest and newest dependencies that pyproject.toml allows.

    python tools/check_versions.py [--python 3.11 3.12 3.13] [--versions lowest newest] [--tests TESTS ...]
        [--constraint NAME==VERSION ...] [--pip "ARGUMENTS"]

Each combination gets an environment of its own in a temporary folder: the package is installed with its lowest bounds or
with the newest releases, a short fit runs, then the tests that are named. A Python that is not on the machine is skipped
and named. Only the standard library is needed. On Linux, torch from the default index brings 3 GB of CUDA libraries; an
index of CPU builds avoids that: ``--pip "--extra-index-url URL"``. Where uv is on the PATH it installs, not
pip, which may look for an hour for versions that go with the lowest ones.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIT = "fit --config conf/tmaze.yaml --trainer.max_steps=20 --trainer.val_check_interval=10 --data.init_args.length=30"
TESTS = ["tests/data/streaming/test_stream.py", "tests/modules/test_memup.py", "tests/cli/test_cli.py"]
TESTS += ["tests/cli/test_checkpoints.py"]


def find_python(version: str) -> str | None:
    """Path of an interpreter, from PATH or from pyenv."""
    candidates = [
        shutil.which(f"python{version}"),
        *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ]
    for path in candidates:
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


def lowest_bounds() -> list[str]:
    """Every dependency at the lowest version that pyproject.toml allows, as constraints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = [re.match(r"([\w-]+)(?:\[.*\])?>=([\w.]+)[^;]*(;.*)?", line) for line in project["dependencies"]]
    return [f"{bound[1]}=={bound[2]}{bound[3] or ''}" for bound in bounds if bound]


def attempt(python: str, versions: str, options: argparse.Namespace) -> str:
    """Install, fit and test in a new environment.

    Returns:
        ``passes``, or the step that failed with its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        constraints = work / "constraints.txt"
        constraints.write_text("\n".join(lowest_bounds() if versions == "lowest" else options.constraint))
        ours = str(work / "venv" / "bin" / "python")
        uv = shutil.which("uv")
        install = [uv, "pip", "install", "--python", ours] if uv else [ours, "-m", "pip", "install"]
        install += ["--quiet", *shlex.split(options.pip)]
        steps = {
            "environment": [python, "-m", "venv", str(work / "venv")],
            "install": [*install, "--constraint", str(constraints), str(ROOT), "pytest", "hypothesis"],
            "fit": [ours, "-m", "memup_lightning", *FIT.replace("conf/", f"{ROOT}/conf/").split()],
            "tests": [ours, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT)],
        }
        steps["tests"] += [str(ROOT / test) for test in options.tests]
        for name, step in steps.items():
            cwd = ROOT if name == "tests" else work
            env = os.environ | {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
            done = subprocess.run(step, cwd=cwd, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = (done.stdout + done.stderr).strip().splitlines() or [f"status {done.returncode}"]
                return f"{name} fails: {lines[-1]}"
    return "passes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["3.11", "3.12", "3.13"])
    parser.add_argument("--versions", nargs="+", choices=["lowest", "newest"], default=["lowest", "newest"])
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--constraint", nargs="*", default=[], help="for the newest dependencies: torch==2.13.0, say")
    parser.add_argument("--pip", default="", help="more arguments of pip, in one string: an index of CPU builds, say")
    options = parser.parse_args()
    results = []
    for version in options.python:
        python = find_python(version)
        for versions in options.versions if python else []:
            results.append(attempt(str(python), versions, options))
            print(f"Python {version}, {versions} dependencies: {results[-1]}", flush=True)
        if python is None:
            print(f"Python {version}: not on this machine")
    return int(any(result != "passes" for result in results) or not results)


if __name__ == "__main__":
    sys.exit(main())
