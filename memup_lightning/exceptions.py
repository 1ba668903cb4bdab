"""The one exception that means "the user can mend this"; the command line prints it without a traceback."""


class MemUPError(ValueError):
    """Bad input or configuration. The message says what was wrong, with the value, and what to do."""
