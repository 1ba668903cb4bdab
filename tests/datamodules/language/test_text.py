"""Text of the user: its parts, its vocabulary, its tokens, and what is refused."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import seed_everything

from memup_lightning.data.episodes import OUTCOME
from memup_lightning.data.text.tokens import UNKNOWN, Vocabulary, words
from memup_lightning.datamodules import TextDataModule
from memup_lightning.datamodules.recorded.splits import SPLITS
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from memup_lightning.typing import Split
from tests.command_line import ROOT
from tests.training import quiet_trainer

SAMPLE = ROOT / "memup_lightning" / "data" / "text" / "sample" / "train.txt"


def numbered(path: Path, count: int) -> str:
    """A file of the words w0 w1 ..., each of which comes twice in a row."""
    path.write_text(" ".join(f"w{number} w{number}" for number in range(count)))
    return str(path)


def read(data: TextDataModule, split: Split) -> list[str]:
    """All words of a split in order, from its episodes."""
    source = data.episodes(split)
    whole: list[int] = []
    for episode in range(len(source)):
        arrays = source.read(episode, 0, int(source.lengths[episode]))
        assert np.array_equal(arrays["token"][1:], arrays[OUTCOME][:-1])
        whole += [*arrays["token"][: 1 if not whole else 0].tolist(), *arrays[OUTCOME].tolist()]
    return data.vocabulary.decode(whole) if data.unit == "word" else whole


def test_parts_follow_each_other_hold_the_whole_file_and_share_nothing(tmp_path: Path) -> None:
    data = TextDataModule([numbered(tmp_path / "a.txt", 2000)], val_share=0.2, test_share=0.1, unit="byte", length=70)
    text = (tmp_path / "a.txt").read_bytes()
    train, val, test = (bytes(read(data, split)) for split in SPLITS)
    assert train + val + test == text
    assert abs(len(val) / len(text) - 0.2) < 0.001
    assert abs(len(test) / len(text) - 0.1) < 0.001
    assert val[:1] in b" "  # no word is cut in two


def test_the_vocabulary_is_of_the_training_part_alone(tmp_path: Path) -> None:
    data = TextDataModule([numbered(tmp_path / "a.txt", 1000)])
    assert set(data.vocabulary.names) <= set(read(data, "train"))
    assert set(read(data, "val")) == set(read(data, "test")) == {UNKNOWN}


def test_the_most_common_words_are_known_and_those_that_come_once_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("b b b a a c c d " * 1 + "x " * 60)
    data = TextDataModule([str(tmp_path / "a.txt")], num_words=3)
    assert data.vocabulary.names == ("x", "b", "a")
    assert read(data, "train")[:8] == ["b", "b", "b", "a", "a", UNKNOWN, UNKNOWN, UNKNOWN]
    assert "d" not in TextDataModule([str(tmp_path / "a.txt")]).vocabulary.names


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=300), st.data())
def test_words_do_not_depend_on_where_a_text_is_cut_into_pieces(text: str, data: Any) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = [word for piece in words([text]) for word in piece]
    assert [word for piece in words(pieces) for word in piece] == whole
    assert "".join(whole) == re.sub(r"\s+", "", text.lower()), "no character but white space is lost"


def test_known_words_come_back_from_their_numbers() -> None:
    pieces = words(["It\u2019s \u201ca truth\u201d, universally acknowledged (by all)."])
    found = [word for piece in pieces for word in piece]
    vocabulary = Vocabulary(found)
    assert vocabulary.decode(vocabulary.encode(found)) == found
    assert "".join(found) == "it\u2019s\u201catruth\u201d,universallyacknowledged(byall)."


def test_a_packed_file_holds_the_same_text(tmp_path: Path) -> None:
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    plain, other = (TextDataModule([str(path)]) for path in (SAMPLE, packed))
    for split in SPLITS:
        assert read(plain, split) == read(other, split)


def test_tokens_on_disk_are_those_in_memory_and_are_made_once(tmp_path: Path) -> None:
    kept = TextDataModule([str(SAMPLE)], cache_dir=str(tmp_path))
    assert [read(kept, split) for split in SPLITS] == [read(TextDataModule([str(SAMPLE)]), split) for split in SPLITS]
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.bin")}
    (tokens,) = tmp_path.glob("text-train-*/episodes/fields/*")
    assert tokens.stat().st_size == 2 * kept.texts("train").total_steps
    read(TextDataModule([str(SAMPLE)], cache_dir=str(tmp_path)), "train")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.bin")} == made


def test_episodes_begin_with_the_word_that_the_one_before_ends_with(tmp_path: Path) -> None:
    data = TextDataModule([str(SAMPLE)], length=100)
    source = data.episodes("train")
    assert source.lengths.max() <= 100
    assert source.lengths.sum() == data.texts("train").total_steps - 1
    first = source.gather(np.arange(3), np.array([-2, 0, 98]), 4, ["token", OUTCOME])
    assert (first["token"][0, :2] == -1).all()
    assert first["token"][1, 0] == source.read(0, 0, int(source.lengths[0]))[OUTCOME][-1]


def test_files_for_validation_leave_the_whole_file_to_training(tmp_path: Path) -> None:
    names = [numbered(tmp_path / f"{name}.txt", 100) for name in ("train", "val", "test")]
    data = TextDataModule(names[:1], val=names[1:2], test=names[2:])
    assert len(read(data, "train")) == len(read(data, "val")) == 200
    with pytest.raises(MemUPError, match=r"val\.txt is given twice, for training and validation"):
        TextDataModule(names[:2], val=names[1:2]).episodes("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty; give a file that holds text"),
        (b"caf\xc3\xa9 " * 9 + b"caf\xe9 " * 99, r"byte 57 \(0xe9\) is no UTF-8; save the file as UTF-8"),
        ("wörter ".encode() * 200_000 + b"\xff", r"byte 1,600,000 \(0xff\) is no UTF-8"),
        (b"\x7fELF\xff" + bytes(200), "byte 5 is 0, so it is a binary file"),
        (
            b"so so so so so so",
            "holds [0-9] words, and needs at least 33 .chunk_length=32 and the next one.; give a longer",
        ),
        (b"one two three four five six seven eight nine ten eleven twelve", "no word comes twice"),
        (gzip.compress(b"a b " * 999, mtime=0)[:-20], "is a damaged gzip file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "my.txt"
    if content is not None:
        path.write_bytes(content)
    data = TextDataModule([str(path)])
    with pytest.raises(MemUPError, match=message) as refused:
        [data.episodes(split) for split in SPLITS]
    assert "\n" not in str(refused.value)


def test_a_folder_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match="is a folder; give the text files in it"):
        TextDataModule([str(tmp_path)]).episodes("train")
    with pytest.raises(MemUPError, match=r"files=\[\] names no file"):
        TextDataModule([])
    with pytest.raises(MemUPError, match=r"val_share=0.5, test_share=0.5: give shares"):
        TextDataModule(["a.txt"], val_share=0.5, test_share=0.5)


def test_a_checkpoint_keeps_the_vocabulary_and_another_text_is_read_with_it(tmp_path: Path) -> None:
    seed_everything(1)
    data = TextDataModule([str(SAMPLE)], lanes=4, chunk_length=8, num_words=50, evaluation_lanes=8)
    trainer = quiet_trainer(3, [])
    trainer.fit(MemUP(data.task), data)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    model = MemUP.load_from_checkpoint(tmp_path / "x.ckpt")
    other = TextDataModule([numbered(tmp_path / "a.txt", 50)], val=[str(SAMPLE)], lanes=4)
    other.use_task(model.task)
    assert other.vocabulary.names == data.vocabulary.names
    assert set(read(other, "train")) == {UNKNOWN}
    assert "the" in read(other, "val")
    with pytest.raises(MemUPError, match=r"unit=byte, but the model was trained on words; give unit='word'"):
        TextDataModule([str(SAMPLE)], unit="byte").use_task(model.task)
    fresh = TextDataModule([str(SAMPLE)], lanes=4, num_words=51)
    _ = fresh.task
    with pytest.raises(MemUPError, match="the names of token are others than the model was trained with"):
        quiet_trainer(1, []).validate(model, fresh)
