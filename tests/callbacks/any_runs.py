"""Measurements of a run for each verdict, and of any run."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from memup_lightning.callbacks.verdict.measuring.history import History, Validation
from memup_lightning.callbacks.verdict.measuring.measurements import (
    Ending,
    Evaluated,
    Measurements,
    Scale,
    Targets,
    TrainingData,
)
from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint, Place, SplitMeasurement
from memup_lightning.modules.evaluation.estimate import Estimate
from tests.callbacks.made_runs import ALL, FLAT, HALF, HELD, NOTHING, RISING, STANDING, constant, run, split, unsure

CASES: dict[str, Measurements] = {
    "constant_outcome": run(NOTHING, awaits_selection=True, equal_outcomes="the outcome is class 0 at all 9 steps"),
    "no_targets": run(NOTHING, awaits_selection=True, updates=100),
    "no_outcomes": run(None),
    "diverged": run(split(-math.inf)),
    "rare_outcomes": run(split(0.0, uncertain=0.0, own=0.0), rare=0.0007),
    "needs_no_memory": run(split(0.0, 0.0, surprise=0.01, uncertain=0.01)),
    "explained": run(ALL),
    "unseen_images": run(HALF, unseen_images=("look",)),
    "badly_scaled": run(NOTHING, input_size=1e5),
    "memorized": run(split(-1.4, -1.2), split(0.9, 0.9)),
    "worse_than_constant": run(constant(0.5, local=2.0, memory=1.1)),
    "overfitted": run(split(-1.4, -1.2), split(0.9, 0.9), episodes_option="num_train", history=HELD),
    "forgetting": run(split(0.1, 0.1, 0.1, 0.9), updates=1500),
    "wrong_targets": run(NOTHING, recall=0.1, num_targets=2),
    "undertrained": run(HALF, history=RISING),
    "noise": run(HALF, noise=0.8, history=FLAT),
    "partly_explained": run(HALF, history=STANDING, memory=("LSTM", 64)),
    "uncertain": run(unsure(0.5)),
    "blind": run(NOTHING, history=FLAT),
}


numbers = st.floats(-10, 10) | st.just(math.nan)


estimates = st.tuples(numbers, numbers, numbers).map(lambda x: Estimate(x[0], min(x), max(x)))


places = st.builds(Place, st.integers(0, 10**6), estimates, numbers)


curves = st.lists(st.tuples(estimates, estimates, estimates), min_size=1, max_size=5).map(
    lambda rows: tuple(CurvePoint(0 if not n else 2 ** (n - 1), *row, 8, 64) for n, row in enumerate(rows))
)


splits = st.builds(
    SplitMeasurement,
    st.integers(1, 64),
    curves,
    numbers,
    numbers,
    st.floats(0, 3),
    st.none() | places,
    st.none() | places,
    st.none() | st.just(0.0) | numbers,
    st.none() | estimates,
    st.booleans(),
    numbers,
)


shares = st.none() | st.floats(0, 1)


histories = st.builds(
    History,
    st.lists(
        st.builds(
            Validation,
            st.floats(0, 1e6),
            st.floats(),
            st.none() | st.floats(),
            st.none() | st.floats(),
            st.none() | st.floats(),
        ),
        max_size=8,
    ).map(tuple),
)


runs = st.builds(
    Measurements,
    updates=st.integers(0, 10**7),
    chunk_length=st.integers(1, 1000),
    steps=st.sampled_from(["marked", "targets"]),
    data=st.builds(
        TrainingData,
        episodes=st.integers(1, 10**6),
        longest=st.integers(1, 10**6),
        outcome=st.sampled_from(["class", "number"]),
        ends_alone=st.booleans(),
        episodes_option=st.none() | st.just("num_train"),
    ),
    targets=st.builds(
        Targets,
        needed=st.booleans(),
        number=st.integers(0, 64),
        awaits_selection=st.booleans(),
        awaits_validation=st.booleans(),
        selects_nothing=st.booleans(),
        recall=shares,
        noise=shares,
    ),
    val=st.none() | splits,
    train=st.none() | splits,
    evaluated=st.builds(Evaluated, rare=shares, nll=st.none() | st.tuples(numbers, numbers)),
    history=histories,
    scale=st.builds(
        Scale,
        input_size=st.none() | st.floats(0, 1e9),
        input_spread=st.none() | st.floats(0, 1e9),
        unseen_images=st.sampled_from([(), ("look",)]),
        outcome_problem=st.none() | st.just("they are all alike"),
    ),
    ending=st.builds(Ending, best=st.none() | st.tuples(st.integers(0, 10**6), numbers)),
    memory=st.none() | st.just(("LSTM", 64)),
)
