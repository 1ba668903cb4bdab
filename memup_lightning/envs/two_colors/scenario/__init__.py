"""The scenario that ViZDoom plays, made from rules: actors, maps, pictures, and the WAD that holds them."""
