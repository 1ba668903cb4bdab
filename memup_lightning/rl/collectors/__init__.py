"""Collectors: episodes and rollouts from vector environments."""
