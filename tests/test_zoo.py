"""The zoo: what its problems state of themselves is true, and its runs differ in their data alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.zoo.__main__ import main
from benchmarks.zoo.catalogue import PROBLEMS
from benchmarks.zoo.gathered import evidence, failures
from benchmarks.zoo.streams import filtered_variances, filtering
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.datamodules import EpisodeDataModule, GymnasiumDataModule, TMazeDataModule

Steps = dict[str, np.ndarray]
LONG, FILTERING = "T-Maze-100,000", "filtering"
UNSURE = {FILTERING, "failures", "evidence"}  # the past gives the outcome away in part


def turn(steps: Steps, k: int, right: float = 4.0, wrong: float = -3.0) -> float:
    return right if steps["action"][k] == (steps["observation"][:, 0].sum() > 0) else wrong


def copied(steps: Steps, k: int) -> int:
    symbols = steps["token"][steps["token"] < 8]
    return int(symbols[(steps["token"][: k + 1] == 9).sum() - 1])


def real_cue(steps: Steps, k: int) -> int:
    x = steps["x"][steps["x"][:, -2] == 1]
    return int(x[0, :-2].argmax())


def image_quarter(steps: Steps, k: int) -> int:
    row, column = np.argwhere(steps["x"][0, ..., 0] == 255).mean(0)
    return 2 * int(row > 8) + int(column > 8)


def marked(steps: Steps, k: int) -> np.ndarray:
    flags = steps["x"][:-1, 1:-1]
    return np.squeeze(flags.T @ steps["x"][:-1, 0])


def key_value(steps: Steps, k: int) -> int:
    key = steps["x"][k, :4].argmax()
    return int(steps["x"][:4][steps["x"][:4, key] == 1][0, 4:8].argmax())


def last_shown(steps: Steps, k: int) -> float:
    value, shown = steps["x"][: k + 1].T
    return float(value[shown == 1][-1])


ORACLES: dict[str, Callable[[Steps, int], Any]] = {
    **dict.fromkeys(["T-Maze-100", "T-Maze-1000", LONG, "random hint", "five coins"], turn),
    **dict.fromkeys(["100 episodes", "100,000 episodes", "10 to 5,000 steps", "30 marked coins"], turn),
    "rewards of 1e-3": lambda steps, k: turn(steps, k, 4e-3, -3e-3),
    "rewards of 1e4": lambda steps, k: turn(steps, k, 4e4, -3e4),
    **dict.fromkeys(["copy-30", "copy-120", "scattered copy-120"], copied),
    "adding-200": lambda steps, k: steps["observation"].prod(1).sum(),
    "warehouse": lambda steps, k: float(steps["observation.sensor"][:20].max(0).argmax() == steps["action"][k]),
    "tiny rewards": lambda steps, k: (1 if steps["action"][k] == steps["observation"][0] else -1) / 415,
    "bytes": lambda steps, k: steps["x"][0, 0] > 128,
    **dict.fromkeys(["early cue", "late cue", "decoys"], real_cue),
    "rare fault": lambda steps, k: steps["x"][:, 1].sum() > 0,
    "5,000 tokens": lambda steps, k: steps["x"].min(),
    "small images": image_quarter,
    "exclusive or": lambda steps, k: steps["x"][:, 1].sum() % 2,
    "sum modulo 3": lambda steps, k: (steps["x"] @ [0, 1, 2, 0]).sum() % 3,
    **dict.fromkeys(["a number", "two numbers"], marked),
    "count": lambda steps, k: steps["x"][:, 0].sum(),
    "raw sensors": lambda steps, k: steps["x"][:, 2].sum() > 0,
    "switch": lambda steps, k: steps["x"][: k + 1][steps["x"][: k + 1].any(1)][-1].argmax(),
    "level": last_shown,
    "recall": key_value,
    "casino": lambda steps, k: steps["x"][0, 0] > 0,
    "largest": lambda steps, k: steps["x"][:, 0].max(),
    "counter": lambda steps, k: steps["x"][:, 0].sum() % 3,
}
"""The outcome of a step by what was shown until then."""


def small(name: str) -> EpisodeDataModule:
    """The data of a problem; of those that are slow to make only a few episodes."""
    data = PROBLEMS[name].data()
    if isinstance(data, GymnasiumDataModule):
        data.num_episodes["val"] = 64
    elif isinstance(data, TMazeDataModule):
        data.num_episodes["val"] = 4 if name == LONG else 256
    return data


def evaluated(name: str, number: int = 10_000) -> tuple[EpisodeDataModule, list[tuple[Steps, list[int]]]]:
    """Validation episodes of a problem, each with its evaluated steps."""
    data = small(name)
    source = data.episodes("val")
    episodes = []
    for episode in range(min(len(source), number)):
        steps = source.read(episode, 0, int(source.lengths[episode]))
        on = steps.get(EVAL_MASK, steps.get(HAS_OUTCOME))
        episodes.append((steps, list(range(len(steps[OUTCOME])) if on is None else np.flatnonzero(on))))
    return data, episodes


def test_there_are_enough_problems() -> None:
    assert len(PROBLEMS) >= 24
    assert set(ORACLES) == set(PROBLEMS) - UNSURE


@pytest.mark.parametrize("name", ORACLES)
def test_the_past_gives_the_outcome_away(name: str) -> None:
    data, episodes = evaluated(name, 20)
    assert PROBLEMS[name].past == 0
    for steps, places in episodes:
        for k in places[:50]:
            past = {field: x[: k + 1] for field, x in steps.items() if field in data.task.fields}
            np.testing.assert_allclose(ORACLES[name](past, k), steps[OUTCOME][k], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {LONG}))  # which differs from T-Maze-1000 in its length alone
def test_the_local_uncertainty_is_that_of_the_episodes(name: str) -> None:
    problem = PROBLEMS[name]
    data, episodes = evaluated(name)
    outcomes = np.array([steps[OUTCOME][k] for steps, places in episodes for k in places], np.float64)
    _, counts = np.unique(outcomes, return_counts=True)
    p = counts / counts.sum()
    found = -(p * np.log2(p)).sum()
    if data.task.outcome.type == "token":
        error = math.sqrt(max((p * np.log2(p) ** 2).sum() - found**2, 0) / counts.sum()) + len(p) / counts.sum()
        assert found == pytest.approx(problem.local, abs=0.01 * problem.local + 4 * error)
        assert problem.bits == problem.local
        return
    variance = outcomes.var(0).mean()
    error = ((outcomes - outcomes.mean(0)) ** 2).std() / math.sqrt(len(episodes))
    assert variance == pytest.approx(
        problem.local, abs=4 * error + problem.local / len(episodes) + 0.02 * problem.local
    )
    if len(p) < 30:  # numbers of a few values: their information is that of classes
        assert found == pytest.approx(problem.bits, abs=0.3 if len(p) > 2 else 0.05 + 20 / len(episodes) ** 2)


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {LONG}))
def test_no_part_of_the_local_context_goes_with_the_outcome(name: str) -> None:
    data, episodes = evaluated(name)
    chosen = [(steps, places[-1]) for steps, places in episodes if places]
    outcome = np.array([np.atleast_1d(steps[OUTCOME][k])[0] for steps, k in chosen], np.float64)
    for field in data.task.context:
        x = np.array([steps[field][k].ravel() for steps, k in chosen], np.float64)
        x = x[:, x.std(0) > 0]
        r = (x - x.mean(0)).T @ (outcome - outcome.mean()) / len(x) / np.maximum(x.std(0), 1e-9) / outcome.std()
        assert np.abs(r).max(initial=0) < 5 / math.sqrt(len(x))


def test_the_filtered_uncertainty_is_that_of_the_best_linear_filter() -> None:
    arrays, _ = filtering(np.random.default_rng(0), 20_000)
    x, hidden = arrays["x"][..., 0], arrays[OUTCOME]
    problem, expected = PROBLEMS[FILTERING], filtered_variances()
    for step in (0, 10, 150):
        seen = x[:, max(0, step - 60) : step + 1]
        left = hidden[:, step] - seen @ np.linalg.lstsq(seen, hidden[:, step], rcond=None)[0]
        assert left.var() == pytest.approx(expected[step], rel=0.06)
    last = x[:, 150] - hidden[:, 150]
    assert hidden[:, 150].var() * last.var() / (hidden[:, 150].var() + last.var()) == pytest.approx(
        problem.local, rel=0.05
    )
    assert problem.past == pytest.approx(expected.mean())


def test_the_uncertainty_of_failures_is_that_of_their_hazard() -> None:
    arrays, lengths = failures(np.random.default_rng(0), 20_000)
    hour = np.arange(arrays[OUTCOME].shape[1])
    there = hour < lengths[:, None]
    shock = arrays["x"][..., 0] > 3
    after = (shock.cumsum(1) - shock > 0) & there
    failed = arrays[OUTCOME].astype(bool)
    assert (failed & there).sum(1).max() == 1
    assert not failed[np.arange(len(lengths)), np.maximum(lengths - 2, 0)][lengths > 1].any()
    rates = failed[there].mean(), failed[there & ~after].mean(), failed[after].mean()

    def bits(p: float) -> float:
        return float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))

    share = after.sum() / there.sum()
    problem = PROBLEMS["failures"]
    assert problem.local == pytest.approx(bits(rates[0]), rel=0.02)
    assert problem.past == pytest.approx((1 - share) * bits(rates[1]) + share * bits(rates[2]), rel=0.02)
    assert problem.bits == problem.local - problem.past > 0


def test_the_uncertainty_of_evidence_is_that_of_the_sum_of_all_readings() -> None:
    arrays, _ = evidence(np.random.default_rng(0), 10_000)
    label = arrays[OUTCOME][:, -1]
    odds = 0.2 * arrays["x"][..., 0].sum(1) * (2 * label - 1)
    assert PROBLEMS["evidence"].past == pytest.approx(np.log2(1 + np.exp(-odds)).mean(), rel=0.1)


def test_a_perfect_memory_explains_everything_and_none_nothing() -> None:
    classes, numbers = PROBLEMS["switch"], PROBLEMS[FILTERING]
    task = classes.data().task
    assert classes.share({"val/nll": 0.0}, task) == 1
    assert classes.share({"val/nll": math.log(4)}, task) == 0
    assert classes.share({"val/nll": 2 * math.log(4)}, task) < 0
    task = numbers.data().task
    assert numbers.share({"val/mse": numbers.past}, task) == 1
    assert numbers.share({"val/mse": numbers.local}, task) == 0


def test_a_short_run_leaves_its_row_and_keeps_those_of_other_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpisodeDataModule, "chunks_per_epoch", 10)
    monkeypatch.setitem(PROBLEMS, "early cue", replace(PROBLEMS["5,000 tokens"], name="early cue"))
    path = tmp_path / "zoo.json"
    path.write_text(json.dumps({"rows": [{"task": "other", "about": "", "explained": 0.5}]}))
    (row,) = main(["--tasks", "early cue", "--seeds", "1", "--updates", "20", "--json", str(path)])
    (one,) = row["runs"]
    assert [updates for updates, _ in one["curve"]] == [10, 20]
    assert row["explained"] == one["share"] < 1
    assert row["accuracy"] is not None
    assert [kept["task"] for kept in json.loads(path.read_text())["rows"]] == ["other", "early cue"]
