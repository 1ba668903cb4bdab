"""Checks of what a command was given, before anything runs."""
