"""ViZDoom-Two-Colors, a scenario of our own: memory from pixels. See :mod:`memup_lightning.envs.two_colors.env`."""
