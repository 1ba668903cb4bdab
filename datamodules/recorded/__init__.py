"""Datamodules of episodes that exist before training, streamed as chunks."""
