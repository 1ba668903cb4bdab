"""What does the view show of a late vest in the room, without a memory? Boosted trees on the labels of the screen.

    python -m benchmarks.two_colors_view [--quick] [--cache FOLDER] [--json PATH]

Needs scikit-learn (it comes with the extra ``pixels``). The trees learn from the evaluated vests of the training
episodes of
conf/two_colors.yaml whether one is right, from what a perfect reader of the last frame could know of it: how many vests of
its colour and of the other are in view, distance and bearing of the nearest of each, the colour itself, the action. They
are asked at validation's vests, balanced in two ways: as many right as wrong of each colour, and as many among those that
are of one class of views, which is how the memory is evaluated. ``low`` and ``high``: 95% interval, by a bootstrap over
episodes.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from jsonargparse import ArgumentParser
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.report import Row, arguments, publish
from benchmarks.two_colors import CONFIGS
from memup_lightning.data.episodes import EVAL_MASK
from memup_lightning.datamodules import TwoColorsDataModule
from memup_lightning.rl.collectors.episodes import INFO
from memup_lightning.typing import Arrays, Split

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BOOTSTRAPS = 2000


class ByColourAlone(TwoColorsDataModule):
    """Vests of one colour are of one class."""

    def view_class(self, arrays: Arrays) -> IntArray:
        return self._is_green(arrays).astype(np.int64)


def load(cls: type[TwoColorsDataModule], seed: int, **given: Any) -> TwoColorsDataModule:
    """The room's data, as its config has them."""
    parser = ArgumentParser()
    parser.add_class_arguments(cls, "data", sub_configs=True)
    with open(CONFIGS["room"]) as file:
        config = yaml.safe_load(file)["data"]["init_args"]
    made = parser.instantiate_classes(parser.parse_object({"data": config | given | {"seed": seed}})).data
    assert isinstance(made, cls)
    return made


def vests(data: TwoColorsDataModule, split: Split) -> tuple[FloatArray, npt.NDArray[np.bool_], IntArray]:
    """What is seen of the evaluated vests ``[vests, features]``, whether each was right, and its episode."""
    source = data.episodes(split)
    names = [EVAL_MASK, "reward", "action", *(INFO + name for name in data.kept_infos)]
    parts = [source.gather(np.array([e]), np.array([0]), n, names) for e, n in enumerate(source.lengths.tolist())]
    arrays = {name: np.concatenate([part[name][0] for part in parts]) for name in names}
    episode = np.repeat(np.arange(len(source)), source.lengths)
    eval_mask = arrays.pop(EVAL_MASK)
    arrays, episode = {name: x[eval_mask] for name, x in arrays.items()}, episode[eval_mask]
    green = data._is_green(arrays)
    features = [green, arrays["action"]]
    for own in (True, False):
        which = green == own
        seen = {
            what: np.where(which, arrays[f"{INFO}green_{what}"], arrays[f"{INFO}red_{what}"])
            for what in ("count", "distance", "bearing")
        }
        features += [seen["count"], seen["distance"], seen["bearing"], np.abs(seen["bearing"])]
    return np.stack(features, axis=1).astype(np.float64), data._right(arrays["reward"]), episode


def interval(hits: npt.NDArray[np.bool_], episode: IntArray) -> tuple[float, float]:
    """Of the share of hits, where those of an episode are drawn together."""
    numbers, index = np.unique(episode, return_inverse=True)
    sums, sizes = np.bincount(index, hits), np.bincount(index)
    drawn = np.random.default_rng(0).integers(0, len(numbers), (BOOTSTRAPS, len(numbers)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), (0.025, 0.975))
    return float(low), float(high)


def run(options: argparse.Namespace) -> list[Row]:
    rows = []
    sizes = {"num_train": 8, "num_val": 8} if options.quick else {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            given = {"cache_dir": options.cache or folder, **sizes}
            data = load(TwoColorsDataModule, seed, **given)
            seen, right, _ = vests(data, "train")
            trees = HistGradientBoostingClassifier(
                max_iter=120, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=40, random_state=seed
            ).fit(seen, right)
            for name, source in (("each colour", load(ByColourAlone, seed, **given)), ("class of views", data)):
                seen, right, episode = vests(source, "val")
                hits = trees.predict(seen) == right
                low, high = interval(hits, episode)
                rows.append(
                    {
                        "balanced": name,
                        "seed": seed,
                        "accuracy": float(hits.mean()),
                        "low": low,
                        "high": high,
                        "vests": len(hits),
                        "episodes": len(np.unique(episode)),
                    }
                )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--cache", help="folder that keeps the episodes")
    parser.set_defaults(seeds=[1])
    options = parser.parse_args()
    columns = "balanced, seed, accuracy, low, high, vests, episodes"
    publish("Two-Colors, the room: what the view alone shows of a late vest", run(options), options, columns)


if __name__ == "__main__":
    main()
