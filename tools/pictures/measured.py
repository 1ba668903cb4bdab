"""The pictures of measurements again, from the files of the benchmarks; nothing is measured.

python -m tools.pictures.measured    # writes docs/images/{comparison,drift,noise,replay,two_colors_agents}.png
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import comparison, drift, noise, replay, two_colors_agents
from memup_lightning.callbacks.plots.style import save
from tools.site.results import rows

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    comparison.draw(rows("comparison"), IMAGES / "comparison.png")
    save(drift.picture(rows("drift")), IMAGES / "drift.png")
    save(noise.picture(rows("noise")), IMAGES / "noise.png")
    save(replay.picture(rows("replay")), IMAGES / "replay.png")
    save(two_colors_agents.picture(rows("two_colors_agents")), IMAGES / "two_colors_agents.png")


if __name__ == "__main__":
    main()
