"""Reinforcement learning: environments as vectors, collection, rollouts, agents."""
