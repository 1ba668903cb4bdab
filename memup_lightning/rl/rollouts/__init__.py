"""Rollouts: what was played, its returns, its minibatches, and a recurrent core over its sequences."""
