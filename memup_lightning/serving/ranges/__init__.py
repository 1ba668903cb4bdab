"""Whether inputs are far from those of training: of whole episodes, and of a stream step by step."""
