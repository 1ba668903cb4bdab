"""Cores of your own: the adapter of bare recurrent modules, and the check of a core's contract."""
