"""What does it cost to find the place of a run again? Seconds to the first chunk after 10^3 to 10^9 updates.

    python -m benchmarks.resume [--quick] [--json PATH]

The lanes are those of conf/tmaze.yaml. `checkpoint` loads the state of the datamodule and reads a chunk: every resumed run
does so, on each rank. `played` finds the same place by playing the schedule from its beginning, and is given up to 10^6
updates. Both take turns; medians. No run has had 10^9 updates: its visits are those of the last run that was played,
with as many visits and updates added to each lane as make 10^9.
"""

from __future__ import annotations

import copy
import statistics
import time
from typing import Any

import torch
import yaml

from benchmarks.report import Row, arguments, publish
from memup_lightning.datamodules import TMazeDataModule

CONFIG = "conf/tmaze.yaml"
PLAYED, MOVED = (10**3, 10**4, 10**5, 10**6), (10**7, 10**8, 10**9)
TURNS = 5


def make_data() -> TMazeDataModule:
    """Return the data of the config at the beginning of a run."""
    with open(CONFIG) as file:
        options = yaml.safe_load(file)["data"]["init_args"]
    data = TMazeDataModule(**options | {"selector": None, "seed": 1})
    data.setup("fit")
    return data


def seconds_to_first_chunk(updates: int, state: dict[str, Any] | None) -> tuple[float, dict[str, Any]]:
    """Find the place of a run after so many updates.

    Args:
        updates: done so far.
        state: what the checkpoint holds of the data; None: the schedule is played from its beginning.

    Returns:
        The seconds until a chunk is read, and the state there.
    """
    data = make_data()
    begin = time.perf_counter()
    if state is None:
        data.training_lanes().num_consumed = updates
    else:
        data.load_state_dict(state)
    chunk = next(iter(data.train_dataloader()))
    seconds = time.perf_counter() - begin
    assert chunk.step == updates
    return seconds, data.state_dict()


def move(state: dict[str, Any], updates: int) -> dict[str, Any]:
    """Return the state of a run in which as many updates were done, with lanes in the midst of the same visits."""
    lanes, moved = state["lanes"], copy.deepcopy(state)
    ahead = updates - lanes["consumed"]
    moved["lanes"]["consumed"] = updates
    moved["lanes"]["visits"]["begin"] += ahead
    moved["lanes"]["visits"]["number"] += lanes["visits"]["number"] * ahead // lanes["consumed"]
    return moved


def row(updates: int, loads: list[float], plays: list[float]) -> Row:
    played = statistics.median(plays) if plays else None
    loaded = statistics.median(loads)
    return {"updates": updates, "checkpoint": loaded, "played": played, "ratio": played and played / loaded}


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads or 1)
    rows = []
    state: dict[str, Any] = {}
    for updates in PLAYED[:-1] if options.quick else PLAYED:
        loads, plays = [], []
        for _ in range(1 if updates == PLAYED[-1] else TURNS):
            seconds, state = seconds_to_first_chunk(updates, None)
            plays.append(seconds)
            loads.append(seconds_to_first_chunk(updates, state)[0])
        rows.append(row(updates, loads, plays))
    for updates in MOVED:
        there = move(state, updates)
        rows.append(row(updates, [seconds_to_first_chunk(updates, there)[0] for _ in range(TURNS)], []))
    columns = "updates, checkpoint, played, ratio"
    publish(f"seconds from a checkpoint to the first chunk ({CONFIG})", rows, options, columns)


if __name__ == "__main__":
    main()
