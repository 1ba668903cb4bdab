"""What Predictor costs beside its networks.

    python -m benchmarks.serving [--quick] [--json PATH]

A table of eight columns of numbers and one of text, LSTM-64, two classes, weights as they are initialised. *run*: rows a
second of whole episodes, 256 at once, from an Arrow table in memory to the probabilities of every row. *step*: rows a
second of streams that are stepped with an explicit state, from dictionaries of columns. Beside them the same networks
(encoders, memory, predictors with and without memory) in a bare loop over tensors that are there already, and the memory
alone on encoded inputs. They take turns in this process, on one thread, and the fastest turn of each counts, in the
processor's seconds: other work on the machine only adds to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow
import torch

from benchmarks.report import Row, arguments, publish
from memup_lightning import LSTM, MemUP, Predictor
from memup_lightning.models.scaling import Standardizer
from memup_lightning.specs import FieldSpec, TaskSpec

EPISODES, CHUNK, NUMBERS = 256, 50, 8
MODES = ("idle", "purge", "run")


def build(seed: int) -> Predictor:
    names = tuple(f"sensor_{n}" for n in range(NUMBERS))
    fields = {"x": FieldSpec((NUMBERS,), names=names), "mode": FieldSpec((), "int64", "token", 4, MODES)}
    torch.manual_seed(seed)
    task = TaskSpec(fields, dict.fromkeys(fields, 0), tuple(fields), FieldSpec((), "int64", "token", 2))
    model = MemUP(task, memory=partial(LSTM, hidden_size=64))
    values = np.random.default_rng(seed).normal(300, 40, (1000, NUMBERS))
    for part in model.modules():
        if isinstance(part, Standardizer):
            part.fit(values)
    reading = {"x": [*names, "mode"], "episode": "machine", "time": None, "x_type": "vector", "missing": None}
    return Predictor(model, reading)


def table(steps: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    rows = EPISODES * steps
    columns: dict[str, Any] = {"machine": np.repeat(np.arange(EPISODES), steps)}
    columns |= {f"sensor_{n}": rng.normal(300, 40, rows) for n in range(NUMBERS)}
    return pyarrow.table(columns | {"mode": rng.choice(MODES, rows)})


class Bare:
    """The networks in a loop over tensors."""

    def __init__(self, predictor: Predictor, streams: int, steps: int, chunk: int) -> None:
        self.model = model = predictor.model
        self.fields = [
            {"x": 300 + 40 * torch.randn(streams, chunk, NUMBERS), "mode": torch.randint(0, 3, (streams, chunk))}
            for _ in range(steps // chunk)
        ]
        self.first = torch.zeros(streams, dtype=torch.bool)
        self.state = model.initial_states(streams)
        with torch.no_grad():
            self.encoded = [model.encoder(fields) for fields in self.fields]

    @torch.inference_mode()
    def networks(self) -> None:
        model, state = self.model, self.state
        for fields in self.fields:
            m, state = model.memory(model.encoder(fields), state, self.first)
            context = {name: x[:, :, None] for name, x in fields.items()}
            model.outcome.probabilities(model.predict_outcomes(context, m))

    @torch.inference_mode()
    def memory(self) -> None:
        state = self.state
        for x in self.encoded:
            _, state = self.model.memory(x, state, self.first)


def stepper(predictor: Predictor, streams: int | None, steps: int) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    size = (steps, streams) if streams else (steps,)
    numbers = {f"sensor_{n}": rng.normal(300, 40, size) for n in range(NUMBERS)} | {"mode": rng.choice(MODES, size)}
    rows = [{name: x[step] if streams else x[step].item() for name, x in numbers.items()} for step in range(steps)]

    def run() -> None:
        state = predictor.initial_state(streams)
        for row in rows:
            _, state = predictor.step(row, state)

    return run


def fastest(turns: int, *works: Callable[[], Any]) -> list[float]:
    """Seconds of the processor for each in its fastest turn."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(turns):
        for number, work in enumerate(works):
            begin = time.process_time()
            work()
            seconds[number].append(time.process_time() - begin)
    return [min(part) for part in seconds]


def measure(what: str, ours: Callable[[], Any], bare: Bare, rows: int, turns: int) -> Row:
    ours()  # once, for what is made at the first call
    own, networks, memory = fastest(turns, ours, bare.networks, bare.memory)
    rates = {"rows/s": rows / own, "networks": rows / networks, "memory alone": rows / memory}
    return {
        "what": what,
        **rates,
        "us a row": 1e6 * own / rows,
        "of networks": networks / own,
        "of memory": memory / own,
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads or 1)
    length, turns = (200, 5) if options.quick else (200, 15)
    predictor = build(options.seeds[0])
    given = table(length, options.seeds[0])
    rng = np.random.default_rng(0)
    rows = [
        measure(
            "run, table",
            lambda: predictor.run(given),
            Bare(predictor, EPISODES, length, CHUNK),
            EPISODES * length,
            turns,
        )
    ]
    arrays = {"x": rng.normal(300, 40, (EPISODES, length, NUMBERS)), "mode": rng.integers(0, 3, (EPISODES, length))}
    plain, bare = Predictor(predictor.model), Bare(predictor, EPISODES, length, CHUNK)
    rows.append(measure("run, arrays", lambda: plain.run(arrays), bare, EPISODES * length, turns))
    for streams in (256, 1):
        count = 20 if streams > 1 else 100
        step = stepper(predictor, streams if streams > 1 else None, count)
        what = "step, 256 streams" if streams > 1 else "step, one stream"
        rows.append(measure(what, step, Bare(predictor, streams, count, 1), streams * count, turns))
    columns = "what, rows/s, networks, memory alone, us a row, of networks, of memory"
    publish("Predictor beside its networks in a bare loop, LSTM-64", rows, options, columns)


if __name__ == "__main__":
    main()
