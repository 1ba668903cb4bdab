"""RATE's passive T-Maze: an expert is cloned from episodes of one length, and played in mazes of others.

    python -m benchmarks.passive_tmaze [--quick] [--seeds 1 2 3 4] [--trained 9 30 90 150 300 600 900] [--json PATH]
    python -m benchmarks.passive_tmaze --trained 90 --variant "no drift regularizer"

Every run is `fit` on conf/passive_tmaze.yaml, whose outcome is the expert's action: an LSTM, gradients across 10 steps. It
is trained on episodes of `trained` steps at most, and the policy then plays 100 mazes of each length: the share that ends
with the right turn. The run of the first seed also plays mazes of 100,000 steps. As in RATE, of which the lengths are.

With --json, a row that was measured before stays in the file until it is measured again.
"""

from __future__ import annotations

import json
import tempfile
from statistics import mean

import gymnasium
import torch

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import call
from memup_lightning import Agent

TRAINED = (9, 30, 90, 150, 300, 600, 900)
PLAYED = (*TRAINED, 9_600)
LONGEST = 100_000
EPISODES = 100
VARIANTS = {
    "as configured": [],
    "no drift regularizer": ["--model.init_args.drift_weight=0"],
    "additive LSTM": ["--model.init_args.memory.init_args.additive=true"],
}
"""Arguments by which a run differs from the config."""
QUICK = ["--trainer.max_steps=400", "--trainer.val_check_interval=400", "--data.init_args.num_train=100"]


def success(agent: Agent, length: int, seed: int) -> float:
    """Share of mazes of a length in which a policy turns the right way."""
    mazes = gymnasium.make_vec("memup/PassiveTMaze-v0", num_envs=EPISODES, length=length)
    return mean(result.episode_return for result in agent.play(mazes, EPISODES, seed))


def run(trained: int, played: list[int], seed: int, threads: int | None, options: list[str]) -> Row:
    """Train a policy in a process of its own, and play it."""
    with tempfile.TemporaryDirectory() as folder:
        length = f"--data.init_args.env_kwargs.length={trained}"
        path = call(
            folder, "fit", "conf/passive_tmaze.yaml", length, *options, seed=seed, threads=threads, wandb="disabled"
        )
        summary = json.loads((path / "summary.json").read_text())
        agent = Agent.load(path)
        return {
            "seed": seed,
            "accuracy": summary["metrics"]["val/accuracy"],
            "updates": summary["updates"],
            "seconds": summary["seconds_total"],
            "success": {f"{n:,}": success(agent, n, seed + 1000) for n in played},
        }


def gather(trained: int, variant: str, runs: list[Row]) -> Row:
    """One row of the table: the success of every run at each length."""
    lengths = dict.fromkeys(length for run in runs for length in run["success"])
    played = {length: [run["success"][length] for run in runs if length in run["success"]] for length in lengths}
    row: Row = {"trained": trained, "variant": variant} | played
    return row | {"seconds": [run["seconds"] for run in runs], "runs": runs}


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(seeds=[1, 2, 3, 4])
    parser.add_argument("--trained", type=int, nargs="+", default=TRAINED, help="lengths of the expert's episodes")
    parser.add_argument("--variant", choices=list(VARIANTS), default="as configured")
    parser.add_argument(
        "--longest", type=int, default=LONGEST, help="what the first seed plays too, for minutes; 0: none"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads or 1)
    seeds = options.seeds[:1] if options.quick else options.seeds
    title = "The passive T-Maze, cloned: success by length of training (rows) and of play; median (range) over runs"
    lengths = (9, 30) if options.quick else (*PLAYED, options.longest or LONGEST)
    columns = ", ".join(["trained", "variant", *(f"{n:,}" for n in lengths), "seconds"])
    rows: list[Row] = []
    for trained in [9] if options.quick else options.trained:
        runs = []
        for seed in seeds:
            longest = [options.longest] if options.longest and seed == seeds[0] else []
            played = [9, 30] if options.quick else [*PLAYED, *longest]
            given = VARIANTS[options.variant] + (QUICK if options.quick else [])
            runs.append(run(trained, played, seed, options.threads, given))
            print(f"trained at {trained:,}, seed {seed}: {runs[-1]['success']}", flush=True)
        rows.append(gather(trained, options.variant, runs))
        measured = with_earlier(rows, options, ("trained", "variant"))
        measured.sort(key=lambda row: (list(VARIANTS).index(row["variant"]), row["trained"]))
        publish(title, measured, options, columns)


if __name__ == "__main__":
    main()
