"""The picture of the layers, from the contract in pyproject.toml and the imports that the code has.

python -m tools.pictures.layers    # writes docs/images/layers.png
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from pathlib import Path

import grimp
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[2]
PACKAGE = "memup_lightning"
WIDTH, HEIGHT, GAP = 12.0, 1.0, 0.18
TOP_LEVEL = ("datamodules", "callbacks")
COLOURS = {True: "#f7d9b5", False: "#cfdcec"}  # whether the folder is at the top level of the repository


def layers() -> list[list[str]]:
    """The layers of the first contract, the highest first; what the two wings both import shares the lowest row."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    found = [[name.strip() for name in layer.split("|")] for layer in settings["contracts"][0]["layers"]]
    shared = max(depth for depth, layer in enumerate(found) if len(layer) > 1) + 1
    return [*found[:shared], [name for layer in found[shared:] for name in layer]]


def imports(packages: list[str]) -> dict[str, list[str]]:
    """The packages that each package imports."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {name: set() for name in packages}
    for module in graph.modules:
        importer = module.split(".")[1:2]
        for imported in graph.find_modules_directly_imported_by(module):
            target = imported.split(".")[1:2]
            if importer and target and importer != target and {*importer, *target} <= set(packages):
                found[importer[0]].add(target[0])
    return {name: sorted(targets, key=packages.index) for name, targets in found.items()}


def subject(name: str) -> str:
    """The first sentence of a package's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / PACKAGE / name / "__init__.py").read_text())) or ""
    sentence = re.sub(r":\w+:`~?([\w.]+)`", r"\1", text.splitlines()[0].split(". ")[0].rstrip("."))
    return textwrap.shorten(sentence, 66, placeholder=" ...")


def box(axes: Axes, name: str, corner: tuple[float, float], width: float, lines: list[str]) -> None:
    x, y = corner
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch(corner, width, HEIGHT, style, facecolor=COLOURS[name in TOP_LEVEL], edgecolor="#555555")
    )
    top = y + HEIGHT - (0.24 if lines else HEIGHT / 2)
    axes.text(x + width / 2, top, name, ha="center", va="center", fontsize=12 if lines else 9, fontweight="bold")
    for number, line in enumerate(lines):
        axes.text(x + width / 2, top - 0.28 * (number + 1), line, ha="center", va="center", fontsize=8.5)


def draw(path: Path) -> None:
    """Draw the layers, the highest at the top."""
    rows = layers()
    packages = [name for row in rows[:-1] for name in row]
    used = imports(packages)
    figure, axes = pyplot.subplots(figsize=(10, 0.95 * len(rows)), layout="constrained")
    for depth, row in enumerate(rows):
        width = (WIDTH - GAP * (len(row) - 1)) / len(row)
        for place, name in enumerate(row):
            says = [subject(name), f"imports {', '.join(used[name]) or 'only what all share'}"] if name in used else []
            box(axes, name, (place * (width + GAP), -depth * (HEIGHT + GAP)), width, says)
    axes.set(xlim=(-0.1, WIDTH + 0.1), ylim=(-(len(rows) - 1) * (HEIGHT + GAP) - 0.1, HEIGHT + 0.1))
    axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    draw(ROOT / "docs" / "images" / "layers.png")
