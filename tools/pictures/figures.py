"""The drawn figures of the pages (curves and measurements are drawn by `benchmarks` and by the runs themselves).

python -m tools.pictures.figures    # writes docs/images/methods.png
"""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from memup_lightning.callbacks.plots.style import METHODS, TARGET

STEPS, CHUNK, BEGIN, LAST = 24, 4, 4, 23
PALE, GRADIENT = "#e4e4e4", "black"


def arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float], colour: str, bend: float = 0.0) -> None:
    axes.add_patch(
        FancyArrowPatch(
            begin,
            end,
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=14,
            color=colour,
            linewidth=1.8,
            shrinkA=0,
            shrinkB=0,
        )
    )


def timeline(axes: Axes, title: str, colour: str, stored: set[int], says: str) -> None:
    """An episode, a box a step, those filled whose intermediate results are kept for the backward pass."""
    for step in range(STEPS):
        fill = colour if step in stored else PALE
        axes.add_patch(Rectangle((step + 0.08, 0), 0.84, 0.84, facecolor=fill, edgecolor="white"))
    axes.text(0.5, 0.42, "cue", ha="center", va="center", fontsize=9, color="white" if 0 in stored else "black")
    axes.add_patch(Rectangle((LAST + 0.08, 0), 0.84, 0.84, facecolor="none", edgecolor=TARGET, linewidth=3))
    axes.text(LAST + 0.5, -0.2, "$y_k$", ha="center", va="top", fontsize=12, color=TARGET)
    axes.text(0, 2.15, title, fontsize=13, fontweight="bold", va="center")
    axes.text(STEPS, 2.15, says, fontsize=11, va="center", ha="right")
    axes.set(xlim=(-0.3, STEPS + 0.3), ylim=(-0.8, 2.5))
    axes.axis("off")


def chunk(axes: Axes, begin: int) -> None:
    axes.add_patch(
        Rectangle((begin, -0.12), CHUNK, 1.08, facecolor="none", edgecolor="black", linestyle="--", linewidth=1.2)
    )
    axes.text(begin + (CHUNK - 0.8) / 2, -0.2, "chunk of $r$ steps", ha="center", va="top", fontsize=10)


def methods(path: Path) -> None:
    """What a training step of each method keeps, and where its gradients go."""
    figure, (full, truncated, memup) = pyplot.subplots(3, 1, figsize=(11, 7.2), layout="constrained")
    timeline(full, "Full BPTT", METHODS["BPTT"], set(range(STEPS)), "stores (coloured) every step")
    arrow(full, (LAST + 0.5, 1.05), (0.5, 1.05), GRADIENT)
    full.text(STEPS / 2, 1.2, "gradient, step by step", ha="center", va="bottom", color=GRADIENT, fontsize=11)

    timeline(truncated, "Truncated BPTT", METHODS["TBPTT"], set(range(STEPS - CHUNK, STEPS)), "stores $r$ steps")
    chunk(truncated, STEPS - CHUNK)
    arrow(truncated, (LAST + 0.5, 1.05), (STEPS - CHUNK + 0.2, 1.05), GRADIENT)
    truncated.text(STEPS - CHUNK - 0.2, 1.25, "the gradient ends here,\nfar from the cue", ha="right", va="center",
                   color=GRADIENT, fontsize=11)  # fmt: skip

    timeline(memup, "MemUP", METHODS["MemUP"], {*range(BEGIN, BEGIN + CHUNK), LAST}, "stores $r$ steps and $K$ targets")
    chunk(memup, BEGIN)
    for step in range(BEGIN, BEGIN + CHUNK):
        arrow(memup, (LAST + 0.5, 0.92), (step + 0.5, 0.92), GRADIENT, bend=0.11)
    says = "gradient from the target straight to every $m_t$ of the chunk;\nnothing in between is stored"
    memup.text(15.5, -0.2, says, ha="center", va="top", color=GRADIENT, fontsize=11)
    arrow(memup, (0.95, 0.42), (BEGIN, 0.42), METHODS["MemUP"])
    memup.text(2.5, -0.2, "the state comes in,\nwithout gradient", ha="center", va="top", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    methods(Path(__file__).parents[2] / "docs" / "images" / "methods.png")
