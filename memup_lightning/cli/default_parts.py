"""Options for a part of the model or the data whose class is the default one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from memup_lightning.data.targets import DEFAULT_ARGUMENTS, Proportional
from memup_lightning.modules import BPTT, RTRL, TBPTT, MemUP
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.optimization.learning_rate import InverseSqrtLR, inverse_sqrt
from memup_lightning.modules.optimization.optimizers import ADAM_LR, MemoryAdam, adam, memory_adam

Part: TypeAlias = tuple[str, Mapping[str, Any]]  # class, and the arguments that it has by default

_SAVED_DEFAULTS = [f"{make.__module__}.{make.__name__}" for make in (adam, memory_adam, inverse_sqrt)]
_SELECTOR: Part = (Proportional.__name__, DEFAULT_ARGUMENTS)
_MEMORY_TASKS: Mapping[str, type[MemoryTask]] = {task.__name__: task for task in (MemUP, TBPTT, BPTT, RTRL)}
_OPTION = re.compile(r"--(model|data)\.(?:init_args\.)?(\w+)(?:\.(?:init_args\.)?(\w+))?(?:[.=].*)?", re.DOTALL)


def name_default_parts(args: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the default class before an option for one of its arguments, where neither a config nor an option before names
    one: ``--model.memory.hidden_size=32`` alone would be an argument of an unknown class.

    Args:
        args: the command line, its config files first.
        configs: content of its config files.
    """
    given = {place for config in configs for place in _parts(config)}
    named: list[str] = []
    for arg in args:
        found = _OPTION.fullmatch(arg)
        if found and found.group(1, 2) not in given and found[2] not in ("class_path", "init_args"):
            section, name, key = found.groups()
            part = _default(section, name, args, configs) if key not in (None, "class_path", "dict_kwargs") else None
            if part is not None:
                place = f"--{section}.init_args.{name}"
                named += [
                    f"{place}={part[0]}",
                    *(f"{place}.init_args.{k}={str(x).lower()}" for k, x in part[1].items()),
                ]
            given.add((section, name))
        named.append(arg)
    return named


def _default(section: str, name: str, args: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> Part | None:
    if (section, name) == ("data", "selector"):
        return _SELECTOR
    if (section, name) == ("model", "optimizer"):
        of_agent: Part = ("torch.optim.Adam", {"lr": ADAM_LR, "fused": True})
        return (MemoryAdam.__name__, {}) if _model(args, configs) in _MEMORY_TASKS else of_agent
    model = _model(args, configs)
    if section == "model" and model in _MEMORY_TASKS:
        known = {**inspect.signature(MemoryTask).parameters, **inspect.signature(_MEMORY_TASKS[model]).parameters}
        if name not in known:
            return None
        default = InverseSqrtLR if name == "lr_scheduler" else known[name].default
        return (default.__name__, {}) if inspect.isclass(default) and default is not inspect.Parameter.empty else None
    return None


def _model(args: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the model's class; an option wins over a config."""
    models = [model for config in configs if (model := config.get("model"))]
    names = [model.get("class_path", "") if isinstance(model, Mapping) else str(model) for model in models]
    for arg, following in zip(args, [*args[1:], ""], strict=True):
        option, _, value = arg.partition("=")
        if option in ("--model", "--model.class_path"):
            names.append(value or following)
    return str(names[-1]).rpartition(".")[-1] if names else ""


def _parts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return section and name of each part whose class a config sets; the config that a run saved names the defaults."""
    sections = {name: part for name in ("model", "data") if isinstance(part := config.get(name), Mapping)}
    parts = ((name, key, x) for name in sections for key, x in _keys(sections[name]))
    return [(name, key) for name, key, x in parts if x is not None and x not in _SAVED_DEFAULTS]


def _keys(section: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return {**section, **(section.get("init_args") or {})}.items()
