"""All problems of the zoo."""

from __future__ import annotations

from benchmarks.zoo.cues import cues
from benchmarks.zoo.gathered import gathered
from benchmarks.zoo.mazes import corridors
from benchmarks.zoo.problem import Problem
from benchmarks.zoo.shipped import shipped
from benchmarks.zoo.streams import streams

PROBLEMS: dict[str, Problem] = {
    problem.name: problem for problem in [*shipped(), *corridors(), *cues(), *streams(), *gathered()]
}
