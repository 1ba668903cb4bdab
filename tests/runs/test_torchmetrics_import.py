"""What the import of torchmetrics leaves until it is used."""

from __future__ import annotations

import subprocess
import sys

from matplotlib import pyplot

from memup_lightning.runs.torchmetrics_import import _Pyplot
from tests.command_line import ROOT


def test_torchmetrics_comes_without_scipy_and_pyplot() -> None:
    """Modules are counted since a clock depends on the load."""
    code = """if True:
        import sys
        from memup_lightning.runs.torchmetrics_import import import_torchmetrics
        import_torchmetrics()
        import torchmetrics
        print([name for name in ("scipy.signal", "matplotlib.pyplot") if name in sys.modules])
        print([bool(torchmetrics.utilities.imports._MATPLOTLIB_AVAILABLE)])
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[True]"]


def test_pyplot_is_there_when_a_metric_draws() -> None:
    assert _Pyplot("pyplot").subplots is pyplot.subplots
