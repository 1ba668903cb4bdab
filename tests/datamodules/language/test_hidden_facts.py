"""Facts hidden in prose: that the answer is right, that nothing else gives it away, that episodes can be cut anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.data.text.facts import OBJECTS, PEOPLE, PLACES
from memup_lightning.datamodules import HiddenFactsDataModule
from memup_lightning.datamodules.recorded.splits import SPLITS
from memup_lightning.exceptions import MemUPError

MOVE = re.compile(rf"({'|'.join(PEOPLE)}) (?:moved|went|journeyed|travelled|went back) to the ({'|'.join(PLACES)}) \.")
TAKE = re.compile(rf"({'|'.join(PEOPLE)}) (?:took|picked up|got|grabbed) the ({'|'.join(OBJECTS)}) (?:there )?\.")
DROP = re.compile(rf"({'|'.join(PEOPLE)}) (?:dropped|put down|left|discarded) the ({'|'.join(OBJECTS)}) (?:there )?\.")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of which every sentence is of known words, none of them of facts."""
    path = tmp_path_factory.mktemp("books") / "book.txt"
    path.write_text(" ".join(f"{'so ' * (number % 7)}it seems . mr . x said no !" for number in range(40)))
    return path


def made(book: Path, **given: Any) -> HiddenFactsDataModule:
    others = {}
    for split in ("val", "test"):
        path = book.with_name(f"{split}.txt")
        path.write_text(f"{split} {book.read_text()}")
        others[split] = [str(path)]
    return HiddenFactsDataModule(train=[str(book)], num_train=40, num_val=4, num_test=4, seed=1, **others | given)


def texts(data: HiddenFactsDataModule, number: int = 40) -> list[tuple[str, str]]:
    """Words of episodes, and their answers."""
    source = data.episodes("train")
    found = []
    for episode in range(number):
        arrays = source.read(episode, 0, int(source.lengths[episode]))
        names = data.task.outcome.names
        found.append((" ".join(data.vocabulary.decode(arrays["token"])), names[arrays[OUTCOME][-1]]))
    return found


def answer(text: str) -> str:
    """The answer to the question at the end of a text, read sentence by sentence."""
    place: dict[str, str] = {}
    holder: dict[str, str] = {}
    places: dict[str, list[str]] = {}  # of each object, in order
    sentences = sorted(
        [(x.start(), kind, *x.groups()) for kind, p in enumerate((MOVE, TAKE, DROP)) for x in p.finditer(text)]
    )
    for _, kind, person, thing in sentences:
        if kind == 0:
            assert place.get(person) != thing, "who moves goes to another place"
            place[person] = thing
            for carried in (x for x, by in holder.items() if by == person):
                places[carried].append(thing)
        elif kind == 1:
            assert thing not in holder
            assert not places.get(thing) or places[thing][-1] == place[person], "it is taken from where it is"
            holder[thing] = person
            places.setdefault(thing, []).append(place[person]) if not places.get(thing) else None
        else:
            assert holder.pop(thing) == person
    asked = re.search(r"(?:where is (\w+)|where is the (\w+)|where was the (\w+) before the (\w+)) \?$", text)
    assert asked is not None, text
    person, thing, moved, now = asked.groups()
    if person:
        return place[person]
    if thing:
        return places[thing][-1]
    assert places[moved][-1] == now
    return places[moved][-2]


@pytest.mark.parametrize("facts", [3, 12])
@pytest.mark.parametrize("task", [1, 2, 3])
def test_the_answer_is_what_a_reader_of_the_text_finds(task: int, facts: int, book: Path) -> None:
    found = texts(made(book, task=task, facts=facts, length=80, people=3, objects=2))
    assert [right for _, right in found] == [answer(text) for text, _ in found]
    assert len({right for _, right in found}) > 3
    for text, _ in found:
        assert task <= sum(len(pattern.findall(text)) for pattern in (MOVE, TAKE, DROP)) <= facts


def test_facts_stand_between_sentences_and_leave_the_prose_as_it_was(book: Path) -> None:
    prose = " ".join(book.read_text().split())
    for text, _ in texts(made(book, length=60)):
        rest = re.sub(r" ?where is \w+ \?$", "", MOVE.sub("", text))
        rest = " ".join(rest.split())
        assert rest in f"{prose} {prose}"
        assert rest.endswith((".", "!"))
        for fact in MOVE.finditer(text):
            assert re.search(r"(^|[.!] )$", text[: fact.start()])
            assert not text[: fact.start()].endswith("mr . ")


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_slice_of_an_episode_is_read_alone(data: Any) -> None:
    source = HiddenFactsDataModule(
        task=data.draw(st.sampled_from([1, 2, 3])),
        ask=data.draw(st.sampled_from(["answer", "every_word"])),
        length=50, facts=5, last_words=3, num_train=3, seed=2,
    ).episodes("train")  # fmt: skip
    episode = data.draw(st.integers(0, 2))
    whole = source.read(episode, 0, int(source.lengths[episode]))
    start = data.draw(st.integers(0, int(source.lengths[episode]) - 1))
    stop = data.draw(st.integers(start, int(source.lengths[episode])))
    for name, x in source.read(episode, start, stop).items():
        assert np.array_equal(x, whole[name][start:stop]), name
    assert np.array_equal(whole["last_words"][2:, 0], whole["token"][:-2])
    assert np.array_equal(whole["last_words"][:, -1], whole["token"])


def test_the_answer_is_the_only_outcome_or_one_of_every_word(book: Path) -> None:
    alone, all_words = (made(book, ask=ask, length=30).episodes("train") for ask in ("answer", "every_word"))
    for source in (alone, all_words):
        arrays = source.read(0, 0, int(source.lengths[0]))
        last = np.arange(len(arrays["token"])) == len(arrays["token"]) - 1
        assert (arrays[EVAL_MASK] == last).all()
        if source is alone:
            assert (arrays[HAS_OUTCOME] == last).all()
        else:
            assert HAS_OUTCOME not in arrays
            assert (arrays[OUTCOME][:-1] == arrays["token"][1:]).all()


def test_what_is_read_does_not_give_the_answer_away_where_its_fact_is_left_out(book: Path) -> None:
    data = made(book, length=40, facts=1, people=1)
    for text, right in texts(data):
        (fact,) = MOVE.finditer(text)
        assert right not in text[: fact.start()] + text[fact.end() :]


def test_each_of_several_questions_has_its_answer(book: Path) -> None:
    data = made(book, length=60, questions=3)
    source = data.episodes("train")
    asked = set()
    for episode in range(20):
        arrays = source.read(episode, 0, int(source.lengths[episode]))
        text = " ".join(data.vocabulary.decode(arrays["token"][:-12]))
        (marks,) = np.nonzero(arrays[HAS_OUTCOME])
        assert (marks == len(arrays["token"]) - np.array([9, 5, 1])).all()
        for mark in marks:
            question = " ".join(data.vocabulary.decode(arrays["token"][mark - 3 : mark + 1]))
            assert PLACES[arrays[OUTCOME][mark]] == answer(f"{text} {question}")
            asked.add((episode, question))
    assert len(asked) > 24


def test_a_million_words_take_no_room_and_no_time(book: Path) -> None:
    data = made(book, length=1_000_000)
    source = data.episodes("val")
    assert (source.lengths > 1_000_000).all()
    end = source.gather(np.arange(4), source.lengths - 5, 5, ["token"])["token"]
    assert data.vocabulary.decode(end[0])[-4:-2] == ["where", "is"]


def test_splits_have_books_of_their_own(book: Path) -> None:
    for split in SPLITS:
        assert all("sample" in str(file.path) for file in HiddenFactsDataModule().files[split])
    with pytest.raises(MemUPError, match="is a book of train and of val; give each split its own"):
        made(book, val=[str(book)]).episodes("val")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"facts": 2, "task": 3}, "facts=2, but the answer follows from 3 of them"),
        ({"people": 13}, "people=13: give 1 to 12"),
        ({"places": 1}, "places=1: give 2 to 12"),
        ({"shortest": 2000}, "shortest=2000 is more than length=1000"),
        ({"task": 4}, "task=4: give 1, 2 or 3"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        HiddenFactsDataModule(num_train=2, **given).episodes("train")
