"""Datamodules of recorded episodes, streamed as chunks."""
