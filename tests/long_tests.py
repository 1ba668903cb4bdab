"""The tests that `make test` leaves to `make test-all`, and what guards their behaviour in the meantime.

A test that trains until something is learned has the marker ``learning`` and a test that takes much room ``slow``, at the
test itself. The tests here are whole runs or processes that are killed: they take many seconds, and quicker tests cover
the same code.
"""

from __future__ import annotations

LONG_TESTS = {
    "tests/cli/test_conf.py::test_a_shipped_config_trains_evaluates_and_reports": (
        "test_conf.py parses and instantiates every config and sweep; the configs in QUICK_TESTS train"
    ),
    "tests/test_examples.py::test_an_example_runs": "mypy checks every example; those in QUICK_TESTS run",
    "tests/runs/test_ddp.py::test_two_processes": "test_samplers.py and test_stream.py: lanes and episodes of a rank",
    "tests/runs/test_ddp.py::test_fewer_episodes_than_processes_are_enough": "test_ddp.py: three ranks share episodes",
    "tests/runs/test_signals.py::test_two_ranks": (
        "test_signals.py: a run that SIGTERM stopped ends like the uncut run"
    ),
    "tests/runs/test_kill.py::test_a_run_killed_at_random_moments_ends_like_the_run_that_was_not": (
        "test_resume.py: a resumed run ends like the uncut one, bit for bit; test_kill.py: a torn checkpoint is skipped"
    ),
    "tests/runs/test_address_space.py::test_training_passes_under_a_limit_that_loaded_episodes_break": (
        "test_address_space.py: episodes a hundred times as long take no more memory"
    ),
    "tests/envs/test_two_colors_processes.py::test_nothing_is_left": (
        "test_two_colors_engine.py: an engine that fails is replaced; an engine that hangs is killed"
    ),
    "tests/envs/test_two_colors_processes.py::test_a_python_that_is_killed": "as above",
    "tests/envs/test_two_colors_processes.py::test_workers_end_with_the_trainer_that_is_killed": "as above",
    "tests/envs/test_two_colors_processes.py::test_a_trainer_that_is_killed_leaves_nothing": "as above",
    "tests/envs/test_two_colors_processes.py::test_a_worker_of_a_run_that_is_killed": (
        "test_two_colors_engine.py: a worker that is killed ends the run with an error"
    ),
}
"""Beginning of a test's id -> what guards its behaviour in `make test`."""

QUICK_TESTS = (
    "tests/cli/test_conf.py::test_a_shipped_config_trains_evaluates_and_reports[tmaze]",
    "tests/cli/test_conf.py::test_a_shipped_config_trains_evaluates_and_reports[ppo_cartpole]",
    "tests/test_examples.py::test_an_example_runs[03_your_own_memory_core]",
)
"""Tests of a parametrized long test that stay in `make test`."""


def is_long(test: str) -> bool:
    """Whether a test, given its id, is left to `make test-all`."""
    return test not in QUICK_TESTS and test.startswith(tuple(LONG_TESTS))
