"""What a run reports at its end: a table, summary.json, pictures."""
