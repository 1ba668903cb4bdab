"""Verdict of a run: measurements of its memory, and rules by which findings in plain words follow from them."""
