"""The example of a service: streams by key, and a restart that loses none of them."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.service import Service
from memup_lightning.cli.main import main


def post(service: Service, key: str, content: str) -> Any:
    """Send a row, which one turn of the server answers."""
    thread = threading.Thread(target=service.handle_request)
    thread.start()
    try:
        url = f"http://localhost:{service.server_address[1]}/{key}"
        with urllib.request.urlopen(urllib.request.Request(url, content.encode()), timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())
    finally:
        thread.join()


def test_streams_have_a_state_each_which_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("own.npz", x=rng.normal(size=(12, 5, 2)), y=rng.integers(0, 2, (12, 5)))
    quiet = ["--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    logger = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=."]
    fit = ["fit", "--model=MemUP", "--data=ArrayDataModule", "--data.train=own.npz", *logger, *quiet]
    main([*fit, "--trainer.max_steps=1"])

    rows = [json.dumps({"x": [float(n), 1.0]}) for n in range(3)]
    service = Service(Path("lightning_logs"), Path("states.sqlite"), 0)
    first = [post(service, "a", row) for row in rows]
    assert set(first[0]) == {"value", "0", "1"}
    assert first[0]["0"] + first[0]["1"] == pytest.approx(1)
    assert [post(service, "b", row) for row in rows[:2]] == first[:2]
    assert "'x' is" in post(service, "b", '{"x": "far"}')["error"]
    assert "names no stream" in post(service, "", rows[0])["error"]
    service.server_close()
    service.states.close()

    again = Service(Path("lightning_logs"), Path("states.sqlite"), 0)
    assert again.step("b", json.loads(rows[2])) == first[2]
    assert again.step("c", json.loads(rows[2])) != first[2]
    again.server_close()
    again.states.close()

    main([*fit, "--trainer.max_steps=2"])  # the newest run, which the service takes
    retrained = Service(Path("lightning_logs"), Path("states.sqlite"), 0)
    begun = retrained.step("b", json.loads(rows[0]))
    assert "the stream b begins again with this row" in str(begun.pop("note"))
    assert begun == retrained.step("d", json.loads(rows[0]))
    assert retrained.step("b", json.loads(rows[1])) == retrained.step("d", json.loads(rows[1]))
    retrained.server_close()
    retrained.states.close()
