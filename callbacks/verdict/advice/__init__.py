"""What a verdict says to try first, and its words."""
