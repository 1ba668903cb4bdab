"""Tasks whose episodes are computed when they are read: a subclass of ProceduralEpisodes and its datamodule."""
