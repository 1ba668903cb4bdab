"""Checkpoints: written whole and read through, looked up, and trusted or not."""
