"""Layers that several memory cores share."""
