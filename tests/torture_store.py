"""Kill a writer of an EpisodeStore at random moments; every finished episode must be there, whole, and nothing else.

    python -m tests.torture_store --kills 200

Each writer is a forked process that makes or goes on with a store and sends a byte for every episode that its writer
reported as finished. SIGKILL comes after a random time. Then the store must hold at least those episodes, at most the
one more that was entered in the index before its byte was sent, all with the content that their number implies.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

from memup_lightning.data.episodes import FieldSpec
from memup_lightning.data.store import EpisodeStore
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays

FIELDS = {"x": FieldSpec((3,)), "action": FieldSpec((), "int64", "token", 5), "outcome": FieldSpec()}


def content(number: int) -> Arrays:
    """Episode ``number``: its length and values are a function of the number."""
    random_state = np.random.default_rng(number)
    steps = int(random_state.integers(1, 3000))
    return {
        "x": random_state.standard_normal((steps, 3), np.float32),
        "action": random_state.integers(0, 5, steps),
        "outcome": random_state.standard_normal(steps, np.float32),
    }


def write_until_killed(path: Path, seed: int, pipe: int) -> None:
    chance = random.Random(seed)
    with EpisodeStore.writer(path, FIELDS, durable=chance.random() < 0.5) as writer:
        os.write(pipe, b"o")
        while True:
            arrays = content(len(writer))
            with writer.episode() as episode:
                place = 0
                while place < len(arrays["outcome"]):
                    stop = place + chance.choice([1, 10, 100, 1000])
                    episode.append({name: array[place:stop] for name, array in arrays.items()})
                    place = stop
            os.write(pipe, b"f")


def kill_a_writer(path: Path, seed: int) -> tuple[bool, int]:
    """Fork a writer and kill it. Returns whether it had opened the store, and how many episodes it finished."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        try:
            write_until_killed(path, seed, send)
        finally:
            os._exit(1)
    os.close(send)
    time.sleep(random.Random(seed + 1).choice([0.002, 0.02, 0.2]) * random.Random(seed + 2).random())
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(receive, "rb") as messages:
        sent = messages.read()
    assert os.WTERMSIG(status) == signal.SIGKILL, f"the writer ended by itself, with status {status}"
    return b"o" in sent, sent.count(b"f")


def torture(kills: int, seed: int = 0, kills_a_store: int = 10) -> int:
    """Kill ``kills`` writers, a new store every ``kills_a_store``. Returns the number of episodes that were checked."""
    checked = 0
    folder = Path(tempfile.mkdtemp(prefix="torture_store_"))
    try:
        for kill in range(kills):
            path = folder / str(kill // kills_a_store)
            before = len(EpisodeStore(path)) if (path / "meta.json").exists() else 0
            opened, finished = kill_a_writer(path, seed + 1000 * kill)
            try:
                store = EpisodeStore(path)
            except MemUPError:  # killed before there was a store
                assert not opened
                assert before == 0
                continue
            assert before + finished <= len(store) <= before + finished + 1, (kill, before, finished, len(store))
            store.verify()
            for episode in range(len(store)):
                expected = content(episode)
                assert store.lengths[episode] == len(expected["outcome"])
                found = store.read(episode, 0, len(expected["outcome"]))
                assert all(np.array_equal(found[name], expected[name]) for name in FIELDS), (kill, episode)
            checked += len(store)
            store.close()
            if kill % kills_a_store == kills_a_store - 1:
                shutil.rmtree(path)
    finally:
        shutil.rmtree(folder)
    return checked


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{arguments.kills} kills, {torture(arguments.kills, arguments.seed)} episodes found whole")
