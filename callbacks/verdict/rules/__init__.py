"""Rules by which findings in plain words follow from the measurements of a run."""
