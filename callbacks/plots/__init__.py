"""How a run is drawn."""
