"""Whether inputs are far from those of training: of whole episodes, and of streams and environments step by step."""
