"""The data wing: episodes, their storage, and the stream of chunks. No networks, no Lightning, no Gymnasium."""
