"""Networks of a memory task before its training: the types of their factories, a trial on a few steps, standardization."""
