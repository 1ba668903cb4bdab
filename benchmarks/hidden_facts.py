"""Facts hidden in novels: trained on short episodes, asked after up to a million words.

    apt-get download r-cran-janeaustenr && dpkg-deb -x r-cran-janeaustenr_*.deb austen
    python -m benchmarks.books austen books
    python -m benchmarks.hidden_facts --books books [--quick] [--seeds 1 2 3] [--only MemUP] [--json PATH]

Every run trains with `conf/hidden_facts.yaml` on four novels (validation: Persuasion). Its weights are then evaluated on
test episodes of Emma at every length; each length has episodes of its own. `without memory`: the predictor of the local
context alone, which knows the question. TBPTT has the same chunks, networks, updates and learning rate. `--quick`: 300
updates on the sample that comes with the package, evaluated at 100 and 1,000 words.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import fit
from memup_lightning.datamodules import HiddenFactsDataModule

CONFIG = "conf/hidden_facts.yaml"
TRAIN = ("mansfield_park", "northanger_abbey", "pride_and_prejudice", "sense_and_sensibility")
VAL, TEST = ("persuasion",), ("emma",)
RULES = ("facts", "questions", "people", "places", "objects", "num_words", "last_words")
METHODS = ("MemUP", "TBPTT")
EPISODES = {100: 1024, 1000: 1024, 10_000: 512, 100_000: 128, 1_000_000: 32}
"""Words of prose -> test episodes."""


def books(folder: Path | None) -> dict[str, list[str]]:
    """Files of each split; none of them: the sample."""
    if folder is None:
        return {}
    named = {"train": TRAIN, "val": VAL, "test": TEST}
    return {split: [str((folder / f"{name}.txt").resolve()) for name in names] for split, names in named.items()}


def test_data(data: HiddenFactsDataModule, length: int, episodes: int) -> HiddenFactsDataModule:
    """Test episodes of another length, of the books and rules of a run."""
    rules: dict[str, Any] = {name: getattr(data, name) for name in RULES}
    rules |= {"num_test": episodes, "seed": data.seed, **{str(split): books for split, books in data.books.items()}}
    return HiddenFactsDataModule(data.supporting, data.ask, length, **rules)


def run(method: str, task: int, ask: str, seed: int, updates: int, folder: Path | None, longest: int) -> list[Row]:
    """Train, and evaluate at every length; a row each."""
    begin = time.perf_counter()
    options = [f"--model={method}"] if method != "MemUP" else []
    data: dict[str, Any] = {"task": task, "ask": ask, **books(folder)}
    options += [f"--model.init_args.lr_scheduler.init_args.T_max={updates}"]
    with tempfile.TemporaryDirectory() as runs:
        cli = fit(CONFIG, runs, seed, updates, options=options, **data)
    seconds = time.perf_counter() - begin
    model, trained_on = cli.model, cli.datamodule
    assert isinstance(trained_on, HiddenFactsDataModule)
    rows = []
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    for length, episodes in EPISODES.items():
        if length > longest:
            break
        begin = time.perf_counter()
        (found,) = Trainer(**quiet).test(model, test_data(trained_on, length, episodes), verbose=False)
        rows.append(
            {
                "method": method,
                "task": task,
                "ask": ask,
                "words": length,
                "seed": seed,
                "accuracy": found["test/accuracy"],
                "without_memory": found["test/local_accuracy"],
                "episodes": episodes,
                "updates": updates,
                "seconds": seconds,
                "seconds_test": time.perf_counter() - begin,
            }
        )
        print(f"{method}, task {task}, {ask}, seed {seed}, {length:,} words: {rows[-1]['accuracy']:.3f}", flush=True)
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--books", type=Path, help="folder of novels, by benchmarks.books")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1])
    parser.add_argument("--ask", choices=["answer", "every_word"], default="answer")
    parser.add_argument("--updates", type=int, default=7_000)
    parser.add_argument("--longest", type=int, default=1_000_000, help="words of the longest test episodes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or 1)
    updates, longest = (300, 1000) if options.quick else (options.updates, options.longest)
    measured = [
        row
        for seed in (options.seeds[:1] if options.quick else options.seeds)
        for task in options.tasks
        for method in options.only
        for row in run(method, task, options.ask, seed, updates, options.books, longest)
    ]
    rows = with_earlier(measured, options, ("method", "task", "ask", "words", "seed", "updates"))
    columns = "method, task, ask, words, seed, accuracy, without_memory, updates, seconds, seconds_test"
    publish(f"{CONFIG}: facts hidden in novels", rows, options, columns)


if __name__ == "__main__":
    main()
