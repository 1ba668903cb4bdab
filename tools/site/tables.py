"""The sections of the page of results: which rows and columns of which benchmark, and what they mean."""

from __future__ import annotations

from tools.site.table import Section, Table, columns

LEARNED, AGENTS, WHY, COST = "What is learned", "Agents", "Why it is done so", "What it costs"

SECTIONS = [
    Section(
        LEARNED,
        "T-Maze",
        "T-Maze-LNR: 256 validation episodes evaluated at their junction, at full length; solved: accuracy of 0.99. Median "
        "(range) over seeds; what is saved for the backward pass of a step does not grow with the episode. "
        "[The task](../tasks/tmaze.md).",
        Table(
            "tmaze",
            columns(
                "length | chunk r: chunk_length | solved | updates | seconds of `fit`: seconds | resident set: peak_rss_mb "
                "| saved for backward: saved_bytes | refreshing targets: refresh_share",
                refresh_share=".0%",
            ),
        ),
    ),
    Section(
        LEARNED,
        "A million steps",
        "T-Maze-LNR-1,000,000 in chunks of one step; 64 validation episodes at full length.",
        Table(
            "million",
            columns(
                "seed | accuracy | updates | seconds of `fit`: seconds | resident set: peak_rss_mb | "
                "saved for backward: saved_bytes"
            ),
        ),
    ),
    Section(
        LEARNED,
        "Against truncated and full BPTT",
        "The same networks and streams with each method, within one budget of time. [Baselines](../method/baselines.md).",
        Table(
            "comparison",
            columns("task | length | method | accuracy | ended | updates | seconds | saved for backward: saved_bytes"),
        ),
    ),
    Section(
        LEARNED,
        "Copy, adding, permuted pixels",
        "Share of symbols that are right, squared error (adding), share of digits that are right; mean values over the "
        "episodes of validation and, where it was measured, of the test. The paper has 1.000 (copy-120), 0.993 "
        "(copy-5000), 0.999 (scattered copy-5000), 0.0053 (adding-5000) and 0.954 (permuted pixels, 60,000 digits). "
        "Permuted pixels are 5,000 digits, permuted MNIST all 70,000. [Copy](../tasks/copy.md), "
        "[adding](../tasks/adding.md), [permuted pixels](../tasks/permuted_pixels.md).",
        Table(
            "tasks",
            columns(
                "task | test: value | validation | updates | seconds | resident set: peak_rss_mb | "
                "saved for backward: saved_bytes",
                value=",.4f",
                validation=",.4f",
            ),
        ),
    ),
    Section(
        WHY,
        "What the copy task needs",
        "Copy-120 after 2,000 updates with one change each.",
        Table("ablation", columns("change: task | accuracy: value | seconds", value=".3f")),
        "tasks --ablation",
    ),
    Section(
        LEARNED,
        "Memory cores",
        "MemUP with every core, until the task is solved or its budget is spent. [Memory cores](../memories/README.md).",
        Table(
            "memories",
            columns(
                "task | memory | seed | solved | accuracy | updates | seconds | parameters | state, bytes: state_bytes | "
                "saved for backward: saved_bytes"
            ),
        ),
    ),
    Section(
        LEARNED,
        "Many cues",
        "Of ladders of N = 1, 2, 4, 8, 16 cues and junctions the last rung at which 0.99 of the rewards are predicted, and "
        "the first one that is missed; all settings are defaults. [Interference](../tasks/interference.md).",
        Table(
            "interference",
            columns(
                "mode | length | memory | seed | largest N: largest | updates | N missed: missed | "
                "accuracy there: accuracy | seconds",
                length=",.0f",
            ),
        ),
    ),
    Section(
        WHY,
        "Random rewards",
        "Mazes with coin tosses in the corridor, and two tasks without, under each rule of selection; value: accuracy, or "
        "squared error (adding). [Targets](../method/targets.md).",
        Table(
            "noise",
            columns("task | rule | solved | value | recall | updates | seconds", value=".3f", recall=".3f"),
        ),
    ),
    Section(
        WHY,
        "Where lanes spend their time",
        "A hint at a random step of the first half of 100,000, r=10. [Schedules](../method/schedules.md).",
        Table("replay", columns("schedule | solved | accuracy | updates | seconds", accuracy=".2f")),
    ),
    Section(
        WHY,
        "The drift regularizer",
        "Scattered copy trained with at most 500 blanks: accuracy among more.",
        Table(
            "drift",
            columns(
                "drift regularizer: drift_penalty | 100 blanks: 100 | 500 blanks: 500 | 1,000 blanks: 1,000 | "
                "2,000 blanks: 2,000 | 5,000 blanks: 5,000 | 10,000 blanks: 10,000",
                **dict.fromkeys(("100", "500", "1,000", "2,000", "5,000", "10,000"), ".3f"),
            ),
        ),
    ),
    Section(
        AGENTS,
        "Agents in the T-Maze",
        "Success over 200 episodes after training: the worst seed, and medians of the rest. Baselines with the best of "
        "three learning rates at 20 steps. [Agents](../start/agents.md).",
        Table(
            "tmaze_agents",
            columns(
                "agent | length | solved | success | environment_steps | seconds | saved for backward: saved_bytes",
                success=".2f",
            ),
            lambda row: row["lr"] is None,
        ),
    ),
    Section(
        LEARNED,
        "Memory from pixels",
        "Two-Colors (ViZDoom): share of late vests of which the memory knows whether they pay, at the best evaluation and "
        "at the last. [The task](../tasks/two_colors.md).",
        Table(
            "two_colors",
            columns("variant | model | best: accuracy | last | updates | seconds of training: training"),
        ),
    ),
    Section(
        AGENTS,
        "Agents in Two-Colors",
        "Mean of 64 episodes after 300,000 environment steps (of MemUP's, 168,000 are a script's, which walks to vests); "
        "the interval is of 95%.",
        Table(
            "two_colors_agents",
            columns("agent | seed | return | interval | survived: survival | seconds", **{"return": ".1f"}),
        ),
    ),
    Section(
        LEARNED,
        "Facts hidden in novels",
        "Trained on episodes of at most 1,000 words, asked after more; share of the answers that are right. "
        "[Text](../tasks/text.md).",
        Table("hidden_facts", columns("method | words | accuracy | without_memory | updates | seconds")),
        "hidden_facts --books books",
    ),
    Section(
        WHY,
        "Configs and defaults",
        "Shipped configs, and the same task with the defaults of model, callbacks and schedule: until the config's "
        "criterion, its limit of updates or some minutes of training. `parts`: the defaults with a few settings of the "
        "config. Seeds 1 to 3 where three runs are counted, else seed 1; `tmaze_1m` has 100,000 steps here, "
        "`tmaze_random_hint` 10,000. Other programs ran at the time of most defaults: compare the seconds of the "
        "processor. [What the settings are for](zoo.md#the-shipped-configs).",
        Table(
            "defaults",
            columns(
                "config: task | settings | met | accuracy, or squared error: value | updates | seconds of training: "
                "seconds | of the processor, in all: cpu",
                value=",.4f",
            ),
        ),
    ),
    Section(
        COST,
        "Lightning's cost",
        "Updates per second of `fit` with `conf/tmaze.yaml` against a bare PyTorch loop, without and with the config's "
        "fused Adam.",
        Table(
            "overhead",
            columns(
                "chunk r: chunk_length | `fit`: fit | bare | share: ratio | bare, fused: fused_bare | share of it: "
                "fused_ratio"
            ),
        ),
    ),
    Section(
        COST,
        "On a GPU",
        "Updates per second of `fit`. The small networks of the configs gain little or nothing from a GPU. "
        "[Runs](../running/runs.md).",
        Table(
            "accelerator",
            columns(
                "setting | device | precision | updates per second: updates_per_s | steps per second: steps_per_s | "
                "memory of the device: device_mb",
                updates_per_s=",.1f",
            ),
        ),
        "accelerator --threads 14",
    ),
    Section(
        COST,
        "Acting",
        "Steps per second of an agent with a frozen LSTM-64 memory: its rollouts against a bare loop, an epoch of PPO "
        "against PPO-LSTM.",
        Table("rollouts", columns("what | ours | other | ratio")),
    ),
    Section(
        COST,
        "Waiting for data",
        "Share of a training step of `conf/tmaze.yaml` that is spent waiting for data. [Storage](../running/storage.md).",
        Table(
            "stream_waiting",
            columns(
                "chunk r: chunk_length | workers | step, ms: step_ms | loading, ms: loading_ms | joining, ms: joining_ms | "
                "share",
                share=".0%",
            ),
        ),
        "stream",
    ),
    Section(
        COST,
        "The start of a command",
        "Time from a command to its first update, or its end, in imports of Lightning in the same minute. "
        "[Performance](../running/performance.md).",
        Table("start", columns("command | in imports of Lightning: ratio")),
    ),
    Section(
        COST,
        "Finding the place of a run again",
        "Seconds until the first chunk is read, from a checkpoint of `conf/tmaze.yaml` and by playing the schedule from "
        "its beginning. [Performance](../running/performance.md).",
        Table("resume", columns("updates | from a checkpoint: checkpoint | played")),
    ),
    Section(
        COST,
        "Target refreshes",
        "Share of target refreshes in training with `conf/tmaze.yaml`, in seconds of the processor. "
        "[Performance](../running/performance.md).",
        Table(
            "refresh",
            columns(
                "length | episodes | first refresh: first | a later one: later | 500 updates: interval | "
                "share of a later one: later_share | share of 1,600 updates: share",
                interval=".2f",
                later_share=".1%",
                share=".1%",
            ),
        ),
    ),
]
