"""States of the memory that are kept: of every training lane, and of steps that are played again."""
