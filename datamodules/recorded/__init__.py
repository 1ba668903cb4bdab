"""Data modules of recorded episodes, streamed as chunks."""
