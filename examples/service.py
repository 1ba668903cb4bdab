"""Serve a trained model over HTTP: many streams, a state for each key, which a restart of the service does not lose.

A state is of the model that made it. After a restart with another model, of more training say, a stream begins again with
its next row; the answer to this row says so, under "note".

python -m examples.service RUN [PORT]    # RUN: a folder such as lightning_logs/version_0

curl localhost:8000/machine-7 -d '{"speed": 12.5, "mode": "idle"}'    # the next row of this machine
"""

from __future__ import annotations

import json
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from memup_lightning import MemUPError, Predictor


class Service(HTTPServer):
    def __init__(self, run: Path, states: Path, port: int) -> None:
        self.predictor = Predictor.load(run)
        self.states = sqlite3.connect(states, check_same_thread=False)
        self.states.execute("create table if not exists states (stream text primary key, state blob)")
        super().__init__(("localhost", port), Handler)

    def step(self, key: str, row: dict[str, object]) -> dict[str, object]:
        if not key:
            raise MemUPError("the address names no stream; give one, such as /machine-7")
        saved = self.states.execute("select state from states where stream = ?", [key]).fetchone()
        state, note = self.predictor.initial_state(), {}
        if saved:
            try:
                state = self.predictor.state_from_bytes(saved[0])
            except MemUPError as error:  # kept by another model, or damaged
                note = {"note": f"the stream {key} begins again with this row, what came before is forgotten: {error}"}
                print(note["note"], file=sys.stderr)
        prediction, state = self.predictor.step(row, state)
        with self.states:  # the state is on disk before the answer is sent
            self.states.execute("replace into states values (?, ?)", [key, state.to_bytes()])
        if prediction.probabilities is None:
            return {
                "value": float(prediction.value),
                "lower": float(prediction.lower),
                "upper": float(prediction.upper),
                **note,
            }
        shares = dict(zip(prediction.classes, map(float, prediction.probabilities), strict=True))
        return {"value": str(prediction.value), **shares, **note}


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        try:
            row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code, answer = 200, self.server.step(self.path.strip("/"), row)
        except (MemUPError, ValueError) as error:
            code, answer = 400, {"error": str(error)}
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


if __name__ == "__main__":
    service = Service(Path(sys.argv[1]), Path("states.sqlite"), int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
    print(f"serving http://localhost:{service.server_address[1]}/KEY")
    service.serve_forever()
