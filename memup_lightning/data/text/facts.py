"""Facts in the manner of bAbI (Weston et al., "Towards AI-complete question answering", 2015), for many episodes at once.

A fact is a sentence about a person: they move to another place; or they take an object, or drop one that they carry. A
person takes an object only from the place where both are; one that was never spoken of may be anywhere. Facts follow each
other in time. The question is one of three, by the number of facts that its answer follows from:

1. ``where is mary ?``: the place of her last move.
2. ``where is the milk ?``: the place where it was dropped, or that of the person who carries it.
3. ``where was the milk before the kitchen ?``: the place where the object was before that at which it is now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from memup_lightning import rng
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import BoolArray, IntArray

Supporting = Literal[1, 2, 3]

PEOPLE = ("mary", "john", "sandra", "daniel", "julie", "fred", "bill", "jeff", "emily", "jason", "lily", "greg")
PLACES = (
    "bathroom", "bedroom", "garden", "hallway", "kitchen", "office",
    "cellar", "attic", "library", "stable", "school", "cinema",
)  # fmt: skip
OBJECTS = ("apple", "football", "milk", "lamp", "book", "cake")
MOVE, TAKE, DROP, NONE = 0, 1, 2, 3
SENTENCES = {
    MOVE: (
        "PERSON moved to the THING .",
        "PERSON went to the THING .",
        "PERSON journeyed to the THING .",
        "PERSON travelled to the THING .",
        "PERSON went back to the THING .",
    ),
    TAKE: (
        "PERSON took the THING there .",
        "PERSON picked up the THING there .",
        "PERSON got the THING .",
        "PERSON grabbed the THING .",
    ),
    DROP: (
        "PERSON dropped the THING .",
        "PERSON put down the THING .",
        "PERSON left the THING there .",
        "PERSON discarded the THING .",
    ),
}
"""Sentences of each kind of fact; a person and a place or an object take the places of the words in capitals."""
QUESTIONS: dict[Supporting, str] = {
    1: "where is SUBJECT ?",
    2: "where is the SUBJECT ?",
    3: "where was the SUBJECT before the PLACE ?",
}
"""The question of each task."""
LONGEST = max(len(sentence.split()) for sentences in SENTENCES.values() for sentence in sentences)
"""Words of the longest fact."""
WORDS = tuple(
    dict.fromkeys(
        [
            *PEOPLE,
            *PLACES,
            *OBJECTS,
            *(
                word
                for sentence in [*(x for kind in SENTENCES.values() for x in kind), *QUESTIONS.values()]
                for word in sentence.split()
                if not word.isupper()
            ),
        ]
    )
)
"""All words of facts and questions."""
_PERSON, _PLACE, _KIND, _PAIR, _SUBJECT, _SENTENCE, _CAST = 1, 2, 3, 4, 5, 6, 7  # streams of random numbers


@dataclass(frozen=True)
class Facts:
    """Facts of some episodes, in order, and the questions of each.

    Attributes:
        kind: :data:`MOVE`, :data:`TAKE` or :data:`DROP`; :data:`NONE` after the last fact, ``[episodes, facts]``.
        person: number of the person, ``[episodes, facts]``.
        thing: number of the place (of a move) or of the object, ``[episodes, facts]``.
        sentence: number of the sentence among those of the kind, ``[episodes, facts]``.
        subject: number of the person (task 1) or object that each question is about, ``[episodes, questions]``.
        now: number of the place where the subject is, ``[episodes, questions]``.
        answer: number of the place that is the answer, ``[episodes, questions]``.
    """

    kind: IntArray
    person: IntArray
    thing: IntArray
    sentence: IntArray
    subject: IntArray
    now: IntArray
    answer: IntArray


def draw_facts(
    supporting: Supporting,
    counts: IntArray,
    present: IntArray,
    people: int,
    places: int,
    objects: int,
    questions: int,
    seeds: IntArray,
) -> Facts:
    """Draw the facts and questions of episodes, each from its seed.

    Args:
        supporting: facts that the answer follows from: the task.
        counts: number of facts of each episode, ``[episodes]``.
        present: number of people of each episode, ``[episodes]``; which ones is drawn.
        people, places, objects: how many of each there are.
        questions: number of questions of an episode; two may be the same.
        seeds: of each episode, ``[episodes]``.

    Raises:
        MemUPError: fewer facts than the answer follows from, more people, places or objects than there are names for, fewer
            than two places.
    """
    limits = {"people": (people, 1, PEOPLE), "places": (places, 2, PLACES), "objects": (objects, 1, OBJECTS)}
    for name, (number, least, names) in limits.items():
        if not least <= number <= len(names):
            raise MemUPError(f"{name}={number}: give {least} to {len(names)}")
    if counts.min() < supporting:
        raise MemUPError(
            f"facts={counts.min()}, but the answer follows from {supporting} of them; give at least as many"
        )
    world = _World(seeds, present, people, places, objects)
    columns: list[tuple[IntArray, IntArray, IntArray]] = []
    facts = int(counts.max())
    for number in range(facts):
        forced = None if number >= supporting else (MOVE, TAKE, MOVE)[number]
        before = columns[-1][1] if columns and forced is not None else None
        columns.append(world.next_fact(seeds, number, supporting > 1, forced, before, number < counts))
    kind, person, thing = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    variants = np.array([len(SENTENCES[x]) for x in (MOVE, TAKE, DROP)] + [1])
    sentence = rng.integers(variants[kind], seeds[:, None], _SENTENCE, np.arange(facts))
    now = world.place if supporting == 1 else world.spot
    answer = world.before if supporting == 3 else now
    subject = np.stack([_draw(answer >= 0, seeds, _SUBJECT, question) for question in range(questions)], axis=1)
    row = np.arange(len(seeds))[:, None]
    return Facts(kind, person, thing, sentence, subject, now[row, subject], answer[row, subject])


class _World:
    """Where people and objects are in each episode; -1 where nothing was said of it.

    Attributes:
        place: of each person, ``[episodes, people]``.
        holder: person who carries each object, ``[episodes, objects]``.
        spot: place of each object, ``[episodes, objects]``.
        before: its place before that.
    """

    def __init__(self, seeds: IntArray, present: IntArray, people: int, places: int, objects: int) -> None:
        self.present, self.places = present, places
        episodes = len(seeds)
        self.row = np.arange(episodes)
        self.cast = np.argsort(rng.hash64(seeds[:, None], _CAST, np.arange(people)), axis=1)
        self.place = np.full((episodes, people), -1)
        self.holder, self.spot, self.before = (np.full((episodes, objects), -1) for _ in range(3))

    def next_fact(
        self,
        seeds: IntArray,
        number: int,
        objects: bool,
        forced: int | None,
        person: IntArray | None,
        there: BoolArray,
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Draw one more fact of each episode: its kind, the person, the place or object.

        Args:
            seeds: of the episodes.
            number: of the fact.
            objects: whether objects may be taken and dropped.
            forced: the kind of the fact; None: any.
            person: of the fact, where its kind is forced and it is not the first; else None.
            there: episodes that have so many facts.
        """
        people = self.place.shape[1]
        drawn = self.cast[self.row, rng.integers(self.present, seeds, _PERSON, number)]
        mover = drawn if person is None else person
        here = self.place[self.row, mover]
        drawn = rng.integers(self.places - (here >= 0), seeds, _PLACE, number)
        place = drawn + ((here >= 0) & (drawn >= here))  # another than that where the person is
        kind = np.full(len(seeds), MOVE)
        who, thing = mover, place
        if objects:
            may_take, may_drop = self._takes(), self._drops()
            if forced == TAKE:
                may_take &= np.arange(people)[:, None] == mover[:, None, None]
                kind[:] = TAKE
            elif forced is None:
                wish = rng.uniform(seeds, _KIND, number)
                kind[(wish < 0.25) & may_take.any((1, 2))] = TAKE
                kind[(wish >= 0.25) & (wish < 0.5) & may_drop.any((1, 2))] = DROP
            pairs = np.where((kind == TAKE)[:, None, None], may_take, may_drop).reshape(len(seeds), -1)
            pair = _draw(pairs, seeds, _PAIR, number)
            count = self.holder.shape[1]
            who, thing = np.where(kind == MOVE, mover, pair // count), np.where(kind == MOVE, place, pair % count)
        kind[~there] = NONE
        self._apply(kind, who, thing)
        return kind, who, thing

    def _takes(self) -> BoolArray:
        """Return which person may take which object, ``[episodes, people, objects]``."""
        here, spot = self.place[:, :, None], self.spot[:, None]
        may: BoolArray = (here >= 0) & (self.holder[:, None] < 0) & ((spot < 0) | (spot == here))
        return may

    def _drops(self) -> BoolArray:
        """Return which person carries which object, ``[episodes, people, objects]``."""
        carries: BoolArray = self.holder[:, None] == np.arange(self.place.shape[1])[:, None]
        return carries

    def _apply(self, kind: IntArray, person: IntArray, thing: IntArray) -> None:
        row, moves = self.row, kind == MOVE
        self.place[row[moves], person[moves]] = thing[moves]
        carried = moves[:, None] & (self.holder == person[:, None])
        self.before = np.where(carried, self.spot, self.before)
        self.spot = np.where(carried, thing[:, None], self.spot)
        takes, drops = kind == TAKE, kind == DROP
        self.holder[row[takes], thing[takes]] = person[takes]
        self.spot[row[takes], thing[takes]] = self.place[row[takes], person[takes]]
        self.holder[row[drops], thing[drops]] = -1


def _draw(allowed: BoolArray, seeds: IntArray, stream: int, number: int) -> IntArray:
    """Draw one of the allowed places of each row, ``[rows, places]`` to ``[rows]``; 0 where there is none."""
    luck = 1 + rng.uniform(seeds[:, None], stream, number, np.arange(allowed.shape[1]))
    drawn: IntArray = np.where(allowed, luck, 0).argmax(1)
    return drawn
