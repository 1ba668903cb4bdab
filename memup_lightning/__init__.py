"""Train long-term memory without backpropagating through long sequences: MemUP for PyTorch Lightning.

Every public name is importable from here, ``from memup_lightning import MemUP``. A name is loaded when it is first used
(PEP 562), so that importing the package costs neither torch nor Lightning. The names are those of ``__init__.pyi``, which
type checkers read too (Scientific Python's SPEC 1).
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _read_names() -> dict[str, str]:
    """Map each name that ``__init__.pyi`` imports to its module."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_MODULES = _read_names()
__all__ = [*sorted(_MODULES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
