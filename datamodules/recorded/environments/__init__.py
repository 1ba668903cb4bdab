"""Episodes that were played in an environment, and outcomes made of their rewards: what RewardDataModule is the base of."""
