"""Training on selected steps: scores of steps, their refresh, context clusters."""
