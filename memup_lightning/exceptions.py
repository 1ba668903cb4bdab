"""The exception for mistakes of a user; the command line prints it without a traceback."""


class MemUPError(ValueError):
    """Bad input or configuration. The message says what was wrong, with the value, and what to do."""


def check_at_least(minimum: int, **values: int | None) -> None:
    """Refuse the first of some settings that is below a minimum; None is not compared.

    Raises:
        MemUPError: with the setting's name and value.
    """
    for name, value in values.items():
        if value is not None and value < minimum:
            raise MemUPError(f"{name}={value}: must be at least {minimum}")
