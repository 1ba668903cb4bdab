"""Agents on Two-Colors from pixels: PPO on a MemUP memory (two phases), PPO-LSTM, PPO-AMRL, PPO without a memory, and
an oracle: the same PPO without a memory, whose frames show the pillar's colour in every step.

    python -m benchmarks.two_colors_agents [--quick] [--seeds 1] [--cache FOLDER] [--json PATH] [--picture PATH]

Every agent runs through the command line in a process of its own: conf/two_colors.yaml and conf/two_colors_ppo.yaml for two
phases, conf/two_colors_ppo.yaml with another memory for the rest. All take the same number of environment steps; for two
phases it counts the training episodes from which the memory learned. Then 64 other episodes are played, with actions drawn
from the policy: ``return`` is their mean return, with a 95% interval, ``survival`` the share that lived to the timeout,
``vests`` what is left of the mean return without the reward of living: right vests less wrong ones. ``random`` presses
buttons at random; ``script`` is the one of MemUP's episodes, which here looks for right vests alone, a tenth of its actions
at random. ``share`` is the return as a share of the oracle's with the same seed. The curve is the mean return of the last
100 training episodes.

MemUP's training episodes are played by the script that comes with the environment, which knows the pillar's colour and
walks to vests; the others have to find out by themselves that vests are worth a walk. Rows in the JSON file
already are kept.

PPO-LSTM learns by backpropagation through a rollout of 128 steps of 16 environments, a batch is 2 whole sequences of it.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import call
from memup_lightning.callbacks.plots import style
from memup_lightning.envs.policies import random_policy
from memup_lightning.envs.two_colors.policy import TwoColorsPolicy
from memup_lightning.envs.two_colors.rules import TwoColorsRules
from memup_lightning.rl.collectors.episodes import collect
from memup_lightning.rl.vector_envs import make_vector_env
from memup_lightning.runs.statistics import mean_interval

BUDGET = 300_000
"""Environment steps that every agent may take."""
CONFIG, MEMORY_CONFIG = "conf/two_colors_ppo.yaml", "conf/two_colors.yaml"
ENVS, STEPS, UPDATES = 16, 128, 32  # of a rollout, as the config has them; updates that it gives
EVALUATIONS = 4
FRAME_SKIP = 4
CORE = "--model.init_args.memory.init_args"
ORACLE = "PPO that is shown the colour"
AGENTS = {
    "MemUP two-phase": (style.METHODS["MemUP"], []),
    "PPO-LSTM": (
        style.METHODS["TBPTT"],
        ["--model.init_args.memory=LSTM", f"{CORE}.additive=false", f"{CORE}.chrono=500"],
    ),
    "PPO-AMRL": (style.METHODS["BPTT"], ["--model.init_args.memory=AMRL"]),
    "PPO without memory": (style.GREEN, ["--model.init_args.memory=null"]),
    ORACLE: (style.GREY, ["--model.init_args.memory=null", "--data.init_args.env_kwargs.oracle=true"]),
}
"""Colour of the curve, and what differs from the config."""
RULES = TwoColorsRules()
LONGEST = -(-RULES.timeout // FRAME_SKIP)  # steps of an episode that is lived through


def run(agent: str, seed: int, options: Any) -> Row:
    """Train an agent, then play other episodes."""
    given, parts = list(AGENTS[agent][1]), []
    budget = 2 * ENVS * STEPS if options.quick else BUDGET
    with tempfile.TemporaryDirectory() as folder:

        def start(subcommand: str, config: str, *overrides: str, seed: int = seed) -> Path:
            return call(
                folder, subcommand, config, *overrides, seed=seed, threads=options.threads or 1, wandb="disabled"
            )

        if agent == "MemUP two-phase":
            overrides = [f"--data.init_args.cache_dir={Path(options.cache).resolve()}"] if options.cache else []
            if options.quick:
                sizes = {"num_train": 4, "num_val": 4}
                overrides += [f"--data.init_args.{name}={size}" for name, size in sizes.items()]
                overrides += ["--trainer.max_steps=20", "--trainer.val_check_interval=20"]
            parts.append(json.loads((start("fit", MEMORY_CONFIG, *overrides) / "summary.json").read_text()))
            budget -= 0 if options.quick else parts[0]["environment_steps"]
        rollouts = budget // (ENVS * STEPS)
        given += [
            f"--trainer.max_steps={rollouts * UPDATES}",
            f"--trainer.val_check_interval={max(1, rollouts // (1 if options.quick else EVALUATIONS)) * UPDATES}",
        ]
        if options.quick:
            given += ["--data.init_args.num_val=2", "--data.init_args.num_test=4"]
        fitted = start("fit", CONFIG, *given, "--trainer.callbacks+=MemoryUsage")
        parts.append(json.loads((fitted / "summary.json").read_text()))
        before = sum(part["environment_steps"] for part in parts[:-1])
        curve = read_curve(fitted / "metrics.csv", before)
        played = start("predict", CONFIG, "--ckpt_path=last", *given, seed=seed + 1000)
        with (played / "predictions.csv").open() as file:
            rows = [(float(row["return"]), int(float(row["length"]))) for row in csv.DictReader(file)]
    return {
        "agent": agent,
        "seed": seed,
        **episode_statistics(*zip(*rows, strict=True)),
        "environment_steps": sum(part["environment_steps"] for part in parts),
        "seconds": sum(part["seconds_total"] for part in parts),
        "saved_bytes": max(part["saved_tensor_bytes"] or 0 for part in parts),
        "peak_rss_mb": max(part["peak_rss_mb"] for part in parts),
        "curve": curve,
    }


def play(agent: str, seed: int, episodes: int) -> Row:
    """Play without learning: at random, or by the script."""
    policy = random_policy if agent == "random" else TwoColorsPolicy(low_health=100, seed=seed)
    given = {"frame_skip": FRAME_SKIP, "observation_size": (16, 28), "item_info": agent != "random"}
    env = make_vector_env("memup/TwoColors-v0", 2, given)
    found = [episode.arrays["reward"] for episode in collect(env, policy, episodes, seed + 1000)]
    env.close()
    return {
        "agent": agent,
        "seed": seed,
        **episode_statistics([float(x.sum()) for x in found], [len(x) for x in found]),
    }


def episode_statistics(returns: Sequence[float], lengths: Sequence[int]) -> Row:
    """Mean return and its interval, survival, mean length and vests of some episodes."""
    mean, steps = np.mean(returns), np.array(lengths)
    tics = np.minimum(steps * FRAME_SKIP, RULES.timeout)
    low, high = mean_interval(torch.tensor(returns))
    return {
        "return": float(mean),
        "interval": [low, high],
        "survival": float((steps >= LONGEST).mean()),
        "length": float(steps.mean()),
        "vests": float(mean - RULES.living_reward * tics.mean()),
        "episodes": len(steps),
    }


def with_shares(rows: Sequence[Row]) -> list[Row]:
    """Add to each row what share of the oracle's return it reaches; None where that was not run with its seed."""
    best = {row["seed"]: row["return"] for row in rows if row["agent"] == ORACLE}
    return [row | {"share": row["return"] / best[row["seed"]] if row["seed"] in best else None} for row in rows]


def read_curve(path: Path, before: int) -> list[list[float]]:
    """Environment steps, mean return and length of the last 100 episodes at every logging step."""
    names = ("train/environment_steps", "train/return", "train/length")
    with path.open() as file:
        rows = [[float(row[name]) for name in names] for row in csv.DictReader(file) if row.get("train/return")]
    return [[before + steps, *rest] for steps, *rest in rows]


def picture(rows: Sequence[Row]) -> Figure:
    """Return and length of training episodes against environment steps: a colour for each agent, the median of the
    seeds and their range; shaded: steps of the script that plays for the first phase of MemUP."""
    with style.plot_style():
        figure = Figure(figsize=(style.WIDTH, 2.8), layout="constrained")
        panels = figure.subplots(1, 2)
        for column, axes in enumerate(panels, 1):
            for agent, (colour, _) in AGENTS.items():
                curves = [
                    [(point[0], point[column]) for point in row["curve"]] for row in rows if row["agent"] == agent
                ]
                if curves:
                    style.draw_seeds(axes, curves, colour, agent)
            played = min(row["curve"][0][0] for row in rows if row["agent"] == "MemUP two-phase")
            axes.axvspan(0, played, color=style.GREY, alpha=0.12, linewidth=0, label="MemUP: played by a script")
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.set_xlabel("environment steps of both phases")
        panels[0].set_ylabel("return, last 100 episodes")
        panels[1].set_ylabel("steps lived, last 100 episodes\n(dotted: all of an episode)")
        panels[1].axhline(LONGEST, color=style.GREY, linewidth=0.8, linestyle=":")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, **style.TIGHT)
    return figure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--agents", nargs="+", choices=list(AGENTS), default=list(AGENTS))
    parser.add_argument("--cache", help="folder that keeps the memory's episodes")
    parser.add_argument("--picture", type=Path, help="draw the curves here")
    parser.set_defaults(seeds=[1])
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        rows += [play(agent, seed, 4 if options.quick else 64) for agent in ("random", "script")]
        for agent in options.agents[:2] if options.quick else options.agents:
            rows.append(run(agent, seed, options))
            print(f"{agent}, seed {seed}: return {rows[-1]['return']:.2f}", flush=True)
    columns = "agent, seed, return, share, interval, survival, length, vests, environment_steps, seconds, saved_bytes"
    title = "agents on Two-Colors: mean of 64 episodes after training"
    rows = with_shares(with_earlier(rows, options, ("agent", "seed")))
    publish(title, rows, options, columns)
    if options.picture:
        style.save(picture(rows), options.picture)


if __name__ == "__main__":
    main()
