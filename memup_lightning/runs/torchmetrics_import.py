"""The import of torchmetrics, which Lightning needs for two base classes, without the libraries of its rarer metrics."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from lightning_utilities.core import imports


def import_torchmetrics() -> None:
    """Import torchmetrics, and leave SciPy and pyplot until they are used; to be called before Lightning is imported.

    torchmetrics imports ``scipy.signal`` to restore a name that SciPy has removed, and pyplot for ``Metric.plot``. Together
    they take a third of the time of Lightning's import. While it is imported it does not see the two. Its metrics that call
    SciPy import it themselves.
    """
    if "torchmetrics" in sys.modules:
        return
    is_available, is_met = imports.package_available, imports.RequirementCache.__bool__

    def is_available_now(package: str) -> bool:
        return package != "scipy" and is_available(package)

    def is_met_now(requirement: imports.RequirementCache) -> bool:
        return requirement.requirement not in ("scipy", "matplotlib") and is_met(requirement)

    imports.package_available, imports.RequirementCache.__bool__ = is_available_now, is_met_now  # type: ignore[assignment,method-assign]
    try:
        import_module("torchmetrics")
    finally:
        imports.package_available, imports.RequirementCache.__bool__ = is_available, is_met  # type: ignore[method-assign]
    import_module("torchmetrics.utilities.plot").plt = _Pyplot("pyplot")  # type: ignore[attr-defined]


class _Pyplot(ModuleType):
    """pyplot, imported when an attribute of it is read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("matplotlib.pyplot"), name)
