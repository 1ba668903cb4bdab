"""Reinforcement learning: environments, collectors, agents."""
