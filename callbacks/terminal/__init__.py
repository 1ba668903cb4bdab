"""What a run prints while it goes on."""
