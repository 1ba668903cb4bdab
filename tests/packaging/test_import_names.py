"""One import name: wherever the package comes from, it takes no other top-level name."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from memup_lightning import callbacks, datamodules
from tests.command_line import ROOT, command, tiny

NAMES = """if True:
    import sys
    from memup_lightning import MemUP, TMazeDataModule, callbacks, datamodules
    from memup_lightning.callbacks.overfitting.best_weights import BestWeights
    from memup_lightning.datamodules.recorded.base import EpisodeDataModule
    assert issubclass(datamodules.TMazeDataModule, EpisodeDataModule)
    assert callbacks.BestWeights is BestWeights
    assert not {"callbacks", "datamodules"} & set(sys.modules)
    print(callbacks.__file__)
"""
BUILD = "from hatchling import build; build.build_{}(sys.argv[1])"


def python(code: str, *arguments: str, cwd: Path, path: Path) -> str:
    """What a new interpreter prints that finds the package at ``path`` alone."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    python(BUILD.format("wheel"), str(folder), cwd=ROOT, path=ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    python(BUILD.format("sdist"), str(folder), cwd=ROOT, path=ROOT)
    (found,) = folder.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        archive.extractall(folder, filter="data")
    return folder / found.name.removesuffix(".tar.gz")


def in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def in_checkout() -> set[str]:
    """Every file of the package, the folders that are links included."""
    inside = [ROOT / name for name in ("memup_lightning", "callbacks", "conf", "datamodules")]
    files = [path for folder in inside for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    relative = [path.relative_to(ROOT) for path in files]
    package = Path("memup_lightning")
    return {str(path if path.parts[0] == str(package) else package / path) for path in relative}


def test_a_plain_checkout_has_both_folders_inside_the_package() -> None:
    assert Path(callbacks.__file__) == ROOT / "memup_lightning" / "callbacks" / "__init__.py"
    assert Path(datamodules.__file__) == ROOT / "memup_lightning" / "datamodules" / "__init__.py"
    assert not {"callbacks", "datamodules"} & set(sys.modules)


def test_a_wheel_takes_one_top_level_name(wheel: Path) -> None:
    files = {name for name in in_wheel(wheel) if not name.partition("/")[0].endswith(".dist-info")}
    assert {name.partition("/")[0] for name in files} == {"memup_lightning"}
    assert files == in_checkout()


@pytest.mark.slow  # a second import of torch and Lightning
def test_an_unpacked_wheel_has_both_folders_inside_the_package(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    installed = tmp_path / "site" / "memup_lightning" / "callbacks" / "__init__.py"
    assert python(NAMES, cwd=tmp_path, path=tmp_path / "site") == str(installed)


def test_a_wheel_made_from_the_sdist_is_the_same(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert not [path for path in sdist.rglob("*") if path.is_symlink()]
    python(BUILD.format("wheel"), str(tmp_path), cwd=sdist, path=ROOT)
    (again,) = tmp_path.glob("*.whl")
    assert in_wheel(again) == in_wheel(wheel)


def test_a_users_own_packages_of_these_names_are_left_alone(tmp_path: Path) -> None:
    """A project with a ``callbacks`` package and a ``datamodules`` module of its own, both used by its config."""
    (tmp_path / "callbacks").mkdir()
    (tmp_path / "callbacks" / "__init__.py").write_text("from callbacks.own import OwnCallback\n")
    (tmp_path / "callbacks" / "own.py").write_text(
        "from pytorch_lightning import Callback\n\n\n"
        "class OwnCallback(Callback):\n"
        "    def on_fit_end(self, trainer, pl_module):\n"
        "        print('own callback at update', trainer.global_step)\n"
    )
    (tmp_path / "datamodules.py").write_text(
        "from memup_lightning import TMazeDataModule\n\n\nclass OwnData(TMazeDataModule):\n    pass\n"
    )
    config = tiny(tmp_path)
    config["trainer"]["callbacks"].append({"class_path": "callbacks.OwnCallback"})
    config["data"]["class_path"] = "datamodules.OwnData"
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    done = command("fit", "--config", "tiny.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "own callback at update 4" in done.stdout
    saved = yaml.safe_load(next((tmp_path / "runs").rglob("config.yaml")).read_text())
    assert saved["data"]["class_path"] == "datamodules.OwnData"
    assert saved["trainer"]["callbacks"][0]["class_path"] == "memup_lightning.TargetRefresh"
