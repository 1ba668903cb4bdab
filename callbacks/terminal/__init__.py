"""What a run prints until its end."""
