"""Datamodules of language: your own text, and facts hidden in prose."""
