"""Episodes as a stream of chunks: samplers of lanes, the reading of steps, loaders, targets joined to chunks."""
