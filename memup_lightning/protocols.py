"""The Protocols by which layers know each other."""
