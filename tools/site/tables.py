"""The tables of the page of results: which rows and columns of which benchmark, and what they mean."""

from __future__ import annotations

from tools.site.cost_tables import COST_TABLES
from tools.site.table import ACCURACY, RESIDENT, SAVED, SECONDS, UPDATES, WHOLE, Table, number, share, spread

TABLES = [
    Table(
        "tmaze",
        "T-Maze",
        "T-Maze-LNR: 256 validation episodes evaluated at their junction, at full length; solved: accuracy of "
        "0.99. Median (range) "
        "over seeds; what is saved for the backward pass of a step does not grow with the episode. [The "
        "task](../tasks/tmaze.md).",
        "python -m benchmarks.tmaze",
        {
            "length": ("length", WHOLE),
            "chunk r": ("chunk_length", WHOLE),
            "solved": ("solved", str),
            "updates": ("updates", UPDATES),
            "seconds of `fit`": ("seconds", SECONDS),
            "resident set": RESIDENT,
            "saved for backward": SAVED,
            "refreshing targets": ("refresh_share", share),
        },
    ),
    Table(
        "million",
        "A million steps",
        "T-Maze-LNR-1,000,000 in chunks of one step; 64 validation episodes at full length.",
        "python -m benchmarks.million",
        {
            "seed": ("seed", WHOLE),
            "accuracy": ("accuracy", ACCURACY),
            "updates": ("updates", WHOLE),
            "seconds of `fit`": ("seconds", WHOLE),
            "resident set": RESIDENT,
            "saved for backward": SAVED,
        },
    ),
    Table(
        "comparison",
        "Against truncated and full BPTT",
        "The same networks and streams with each method, within one budget of time. "
        "[Baselines](../method/baselines.md).",
        "python -m benchmarks.comparison",
        {
            "task": ("task", str),
            "length": ("length", WHOLE),
            "method": ("method", str),
            "accuracy": ("accuracy", ACCURACY),
            "ended": ("ended", str),
            "updates": ("updates", WHOLE),
            "seconds": ("seconds", WHOLE),
            "saved for backward": SAVED,
        },
    ),
    Table(
        "tasks",
        "Copy, adding, permuted pixels",
        "Share of symbols that are right, squared error (adding), share of digits that are right; mean values "
        "over the episodes of "
        "validation and, where it was measured, of the test. The paper has 1.000 (copy-120), 0.993 (copy-5000), "
        "0.999 (scattered "
        "copy-5000), 0.0053 (adding-5000) and 0.954 (permuted pixels, 60,000 digits). Permuted pixels are 5,000 digits, "
        "permuted MNIST all 70,000. [Copy](../tasks/copy.md), "
        "[adding](../tasks/adding.md), [permuted pixels](../tasks/permuted_pixels.md).",
        "python -m benchmarks.tasks",
        {
            "task": ("task", str),
            "test": ("value", spread(4)),
            "validation": ("validation", spread(4)),
            "updates": ("updates", UPDATES),
            "seconds": ("seconds", SECONDS),
            "resident set": RESIDENT,
            "saved for backward": SAVED,
        },
    ),
    Table(
        "ablation",
        "What the copy task needs",
        "Copy-120 after 2,000 updates with one change each.",
        "python -m benchmarks.tasks --ablation",
        {"change": ("task", str), "accuracy": ("value", spread(3)), "seconds": ("seconds", SECONDS)},
    ),
    Table(
        "memories",
        "Memory cores",
        "MemUP with every core, until the task is solved or its budget is spent. [Memory "
        "cores](../memories/README.md).",
        "python -m benchmarks.memories",
        {
            "task": ("task", str),
            "memory": ("memory", str),
            "seed": ("seed", WHOLE),
            "solved": ("solved", str),
            "accuracy": ("accuracy", ACCURACY),
            "updates": ("updates", WHOLE),
            "seconds": ("seconds", WHOLE),
            "parameters": ("parameters", WHOLE),
            "state, bytes": ("state_bytes", WHOLE),
            "saved for backward": SAVED,
        },
    ),
    Table(
        "noise",
        "Random rewards",
        "Mazes with coin tosses in the corridor, and two tasks without, under each rule of selection; value: "
        "accuracy, or squared "
        "error (adding). [Targets](../method/targets.md).",
        "python -m benchmarks.noise",
        {
            "task": ("task", str),
            "rule": ("rule", str),
            "solved": ("solved", str),
            "value": ("value", spread(3)),
            "recall": ("recall", spread(3)),
            "updates": ("updates", UPDATES),
            "seconds": ("seconds", SECONDS),
        },
    ),
    Table(
        "replay",
        "Where lanes spend their time",
        "A hint at a random step of the first half of 100,000, r=10. [Schedules](../method/schedules.md).",
        "python -m benchmarks.replay",
        {
            "schedule": ("schedule", str),
            "solved": ("solved", str),
            "accuracy": ("accuracy", spread(2)),
            "updates": ("updates", UPDATES),
            "seconds": ("seconds", SECONDS),
        },
    ),
    Table(
        "drift",
        "The drift regularizer",
        "Scattered copy trained with at most 500 blanks: accuracy among more.",
        "python -m benchmarks.drift",
        {"drift regularizer": ("drift_penalty", str)}
        | {f"{n} blanks": (n, spread(3)) for n in ("100", "500", "1,000", "2,000", "5,000", "10,000")},
    ),
    Table(
        "tmaze_agents",
        "Agents in the T-Maze",
        "Success over 200 episodes after training: the worst seed, and medians of the rest. Baselines with the "
        "best of three "
        "learning rates at 20 steps. [Agents](../start/agents.md).",
        "python -m benchmarks.tmaze_agents",
        {
            "agent": ("agent", str),
            "length": ("length", WHOLE),
            "solved": ("solved", str),
            "success": ("success", number(2)),
            "environment steps": ("environment_steps", WHOLE),
            "seconds": ("seconds", WHOLE),
            "saved for backward": SAVED,
        },
        lambda row: row["lr"] is None,
    ),
    Table(
        "two_colors",
        "Memory from pixels",
        "Two-Colors (ViZDoom): share of late vests of which the memory knows whether they pay, at the best "
        "evaluation and at the last. "
        "[The task](../tasks/two_colors.md).",
        "python -m benchmarks.two_colors",
        {
            "variant": ("variant", str),
            "model": ("model", str),
            "best": ("accuracy", ACCURACY),
            "last": ("last", ACCURACY),
            "updates": ("updates", WHOLE),
            "seconds of training": ("training", WHOLE),
        },
    ),
    Table(
        "two_colors_agents",
        "Agents in Two-Colors",
        "Mean of 64 episodes after 300,000 environment steps (of MemUP's, 168,000 are a script's, which walks to "
        "vests); the interval "
        "is of 95%.",
        "python -m benchmarks.two_colors_agents",
        {
            "agent": ("agent", str),
            "seed": ("seed", WHOLE),
            "return": ("return", number(1)),
            "interval": ("interval", lambda x: f"{x[0]:.1f} to {x[1]:.1f}"),
            "survived": ("survival", number(2)),
            "seconds": ("seconds", WHOLE),
        },
    ),
    Table(
        "hidden_facts",
        "Facts hidden in novels",
        "Trained on episodes of at most 1,000 words, asked after more; share of the answers that are right. "
        "[Text](../tasks/text.md).",
        "python -m benchmarks.hidden_facts --books books",
        {
            "method": ("method", str),
            "words": ("words", WHOLE),
            "accuracy": ("accuracy", ACCURACY),
            "without memory": ("without_memory", ACCURACY),
            "updates": ("updates", WHOLE),
            "seconds": ("seconds", WHOLE),
        },
    ),
    Table(
        "defaults",
        "Configs and defaults",
        "Shipped configs, and the same task with the defaults of model, callbacks and schedule: until the "
        "config's criterion, its limit of updates or some minutes of training. "
        "`parts`: the defaults with a few settings of the config. Seeds 1 to 3 where three runs are counted, else seed 1; "
        "`tmaze_1m` has 100,000 steps here, `tmaze_random_hint` 10,000. "
        "Other programs ran at the time of most defaults: compare the seconds of the processor. "
        "[What the settings are for](zoo.md#the-shipped-configs).",
        "python -m benchmarks.defaults",
        {
            "config": ("task", str),
            "settings": ("settings", str),
            "met": ("met", str),
            "accuracy, or squared error": ("value", spread(4)),
            "updates": ("updates", UPDATES),
            "seconds of training": ("seconds", SECONDS),
            "of the processor, in all": ("cpu", SECONDS),
        },
    ),
    Table(
        "overhead",
        "Lightning's cost",
        "Updates per second of `fit` with `conf/tmaze.yaml` against a bare PyTorch loop, without and with the "
        "config's fused Adam.",
        "python -m benchmarks.overhead",
        {
            "chunk r": ("chunk_length", WHOLE),
            "`fit`": ("fit", WHOLE),
            "bare": ("bare", WHOLE),
            "share": ("ratio", number(2)),
            "bare, fused": ("fused_bare", WHOLE),
            "share of it": ("fused_ratio", number(2)),
        },
    ),
    Table(
        "accelerator",
        "On a GPU",
        "Updates per second of `fit`. The small networks of the configs gain little or nothing from a GPU. "
        "[Runs](../running/runs.md).",
        "python -m benchmarks.accelerator --threads 14",
        {
            "setting": ("setting", str),
            "device": ("device", str),
            "precision": ("precision", str),
            "updates per second": ("updates_per_s", number(1)),
            "steps per second": ("steps_per_s", WHOLE),
            "memory of the device": ("device_mb", lambda x: f"{x:,.0f} MB"),
        },
    ),
    Table(
        "rollouts",
        "Acting",
        "Steps per second of an agent with a frozen LSTM-64 memory: its rollouts against a bare loop, an epoch of "
        "PPO against PPO-LSTM.",
        "python -m benchmarks.rollouts",
        {"what": ("what", str), "ours": ("ours", WHOLE), "other": ("other", WHOLE), "ratio": ("ratio", number(2))},
    ),
    Table(
        "stream_waiting",
        "Waiting for data",
        "Share of a training step of `conf/tmaze.yaml` that is spent waiting for data. "
        "[Storage](../running/storage.md).",
        "python -m benchmarks.stream",
        {
            "chunk r": ("chunk_length", WHOLE),
            "workers": ("workers", WHOLE),
            "step, ms": ("step_ms", number(2)),
            "loading, ms": ("loading_ms", number(3)),
            "joining, ms": ("joining_ms", number(3)),
            "share": ("share", share),
        },
    ),
    *COST_TABLES,
]
