"""An episode of Two-Colors as an animated picture: what is seen, and below it the colour that the memory predicts.

    python -m benchmarks.two_colors_movie runs/two_colors/version_0 --output docs/images/two_colors.gif

Takes the checkpoint of a run of conf/two_colors.yaml and plays a new episode with the run's own policy. The prediction is
asked of the predictor, with the memory's state m_t: the reward of a red vest now, and of a green one? Each question is
put with local contexts of validation steps at which a vest of that colour was taken, and the answers are averaged. The
curve is half the difference, green minus red: +1 where the memory is sure of green, -1 where it is sure of red.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import yaml
from jsonargparse import ArgumentParser
from PIL import Image, ImageDraw
from torch import Tensor

from memup_lightning.chunk import Chunk, Fields
from memup_lightning.data.episodes import OUTCOME, EpisodeSource
from memup_lightning.data.streaming.step_reader import StepReader
from memup_lightning.datamodules import TwoColorsDataModule
from memup_lightning.envs.policies import InformedPolicy
from memup_lightning.envs.two_colors.env import TwoColorsEnv
from memup_lightning.modules import MemUP

SCALE = 2
PANEL = 80  # pixels below the screen
RED, GREEN, GREY, WHITE, DARK = (213, 94, 0), (0, 158, 115), (150, 150, 150), (255, 255, 255), (30, 30, 30)
Frame = npt.NDArray[np.uint8]


class Episode(NamedTuple):
    """An episode that was played for the picture.

    Attributes:
        screens: what the engine shows, ``[height, width, 3]`` each.
        fields: observation, action and reward of every step, ``[steps, ...]``.
        green: whether the pillar was green.
        pillar_steps: steps in which it was there.
    """

    screens: list[Frame]
    fields: dict[str, npt.NDArray[Any]]
    green: bool
    pillar_steps: int


def load(run: Path) -> tuple[MemUP, TwoColorsDataModule]:
    """The model of a run, as its best checkpoint has it, and the run's data."""
    checkpoints = sorted(path for path in (run / "checkpoints").glob("*.ckpt") if path.name != "last.ckpt")
    if not checkpoints:
        raise SystemExit(f"{run / 'checkpoints'} holds no checkpoint; give the folder of a run of conf/two_colors.yaml")
    model = MemUP.load_from_checkpoint(checkpoints[-1], map_location="cpu").eval()
    parser = ArgumentParser()
    parser.add_subclass_arguments(TwoColorsDataModule, "data")
    config = yaml.safe_load((run / "config.yaml").read_text())
    data = parser.instantiate_classes(parser.parse_object({"data": config["data"]})).data
    assert isinstance(data, TwoColorsDataModule)
    return model, data


def play(data: TwoColorsDataModule, seed: int) -> Episode:
    env = TwoColorsEnv(**data.env_kwargs, render_mode="rgb_array")
    policy = data.policy
    assert isinstance(policy, InformedPolicy)
    rows: dict[str, list[Any]] = {"observation": [], "action": [], "reward": []}
    screens: list[Frame] = []
    observation, info = env.reset(options={"episode_seed": seed})
    over, pillar = False, 0
    while not over:
        screen = env.render()
        assert screen is not None
        screens.append(screen)
        pillar += info["pillar"]
        infos = {name: np.array([value]) for name, value in info.items()}
        action = policy(observation[None], env.action_space, infos)[0]
        rows["observation"].append(observation)
        rows["action"].append(np.int32(action))
        observation, reward, terminated, truncated, info = env.step(action)
        rows["reward"].append(np.float32(reward))
        over = terminated or truncated
    env.close()
    return Episode(screens, {name: np.stack(row) for name, row in rows.items()}, info["colour"] == 1, pillar)


def vests(source: EpisodeSource, data: TwoColorsDataModule, most: int = 32) -> dict[str, Fields]:
    """Local contexts of steps at which a red and a green vest was taken, as their last frame shows, ``[steps, W, ...]``."""
    reader = StepReader(source, data.task)
    found: dict[str, list[tuple[int, int]]] = {"red": [], "green": []}
    for episode, length in enumerate(source.lengths.tolist()):
        read = source.read(episode, 0, length)
        for step in np.flatnonzero(np.abs(read[OUTCOME]) > 0.5).tolist():
            near = read["observation"][step, 16:, 14:42].astype(int)  # the middle, below the eyes
            red = ((near[..., 0] > 120) & (near[..., 1] < 80)).mean()
            green = ((near[..., 1] > 90) & (near[..., 0] < 110) & (near[..., 2] < 110)).mean()
            if max(red, green) > 0.25 and min(red, green) < 0.02:
                found["red" if red > green else "green"].append((episode, step))
    contexts = {}
    for colour, places in found.items():
        if not places:
            raise SystemExit(f"no {colour} vest is taken in full view in the validation episodes; raise num_val")
        episodes, steps = np.array(places[:: max(1, len(places) // most)][:most]).T
        arrays = reader.read(episodes, steps)
        contexts[colour] = reader.steps(arrays, steps, np.ones(len(steps), np.bool_), (len(steps),)).context
    return contexts


def remember(model: MemUP, episode: Episode) -> Tensor:
    """m of every step, ``[steps, memory]``."""
    steps = len(episode.fields["reward"])
    inputs = {}
    for name, lag in model.task.inputs.items():
        field, values = model.task.fields[name], episode.fields[name]
        before = np.full((lag, *field.shape), field.fill, values.dtype)
        inputs[name] = torch.from_numpy(np.concatenate([before, values])[:steps])[None]
    flags = torch.ones(1, steps, dtype=torch.bool)
    place = torch.zeros(1, dtype=torch.int64)
    chunk = Chunk(0, inputs, flags, flags[:, 0], place, place, {}, torch.zeros(1, 0), flags, flags)
    return model.unroll(chunk, None)[0][0]


def predicted_colour(model: MemUP, memory: Tensor, contexts: dict[str, Fields]) -> npt.NDArray[np.float32]:
    """Half of the predicted difference in reward of a green and a red vest, ``[steps]``."""
    said = {}
    for colour, context in contexts.items():
        params = model.predictor(model.context_encoder(context), memory[:, None])  # [steps, contexts, parameters]
        said[colour] = model.outcome.predict(params).mean(1)
    array: npt.NDArray[np.float32] = ((said["green"] - said["red"]) / 2).numpy()
    return array


def draw(episode: Episode, curve: npt.NDArray[np.float32], step: int) -> Image.Image:
    """The screen at a step, and the curve up to it."""
    height, width, _ = episode.screens[0].shape
    picture = Image.new("RGB", (width * SCALE, height * SCALE + PANEL), DARK)
    screen = Image.fromarray(episode.screens[step])
    picture.paste(screen.resize((width * SCALE, height * SCALE), Image.Resampling.NEAREST))
    pen = ImageDraw.Draw(picture)
    top, middle, half = height * SCALE + 4, height * SCALE + PANEL // 2, PANEL // 2 - 14
    across = (width * SCALE - 1) / len(curve)
    pen.line([(0, middle), (width * SCALE, middle)], fill=GREY)
    end = round(episode.pillar_steps * across)
    pen.line([(end, top + 8), (end, height * SCALE + PANEL - 12)], fill=GREY)
    points = [(at * across, middle - half * float(np.clip(curve[at], -1.1, 1.1))) for at in range(step + 1)]
    for (x, y), (then, below) in itertools.pairwise(points):
        pen.line([(x, y), (then, below)], fill=GREEN if below < middle else RED, width=2)
    for at in np.flatnonzero(np.abs(episode.fields["reward"][:step]) > 0.5).tolist():
        up = episode.fields["reward"][at] > 0
        pen.line(
            [(at * across, height * SCALE + PANEL - 8), (at * across, height * SCALE + PANEL - 2)],
            fill=WHITE if up else GREY,
        )
    pen.text((4, top), "green", fill=GREEN)
    pen.text((4, height * SCALE + PANEL - 22), "red", fill=RED)
    label = f"step {step}" + (": the pillar is gone" if step >= episode.pillar_steps else "")
    pen.text((width * SCALE - 4, top), label, fill=WHITE, anchor="ra")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run of conf/two_colors.yaml")
    parser.add_argument("--output", type=Path, default=Path("two_colors.gif"))
    parser.add_argument("--seed", type=int, default=11, help="of the episode")
    parser.add_argument("--every", type=int, default=5, help="steps from one picture to the next, after the first 30")
    options = parser.parse_args()
    model, data = load(options.run)
    source = data.episodes("val")
    episode = play(data, options.seed)
    with torch.no_grad():
        curve = predicted_colour(model, remember(model, episode), vests(source, data))
    length = len(curve)
    shown = [step for step in range(length) if step < 30 or step % options.every == 0]
    pictures = [draw(episode, curve, step).quantize(64) for step in shown]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(options.output, save_all=True, append_images=pictures[1:], duration=90, loop=0, optimize=True)
    late = curve[episode.pillar_steps :]
    right = (late > 0) == episode.green
    print(
        f"{options.output}: {length} steps, pillar {'green' if episode.green else 'red'}; after it was gone the prediction"
    )
    print(f"was on its side in {right.mean():.1%} of {len(late)} steps")


if __name__ == "__main__":
    main()
