"""The errors that the market engine raises: each names what was found where, and what was expected."""


class MarketError(Exception):
    """Base of all errors of this package.

    name      the argument, parameter, field or file
    found     what was there
    expected  what would have been right
    """

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(f"{name}: found {found}; expected {expected}")
        self.name, self.found, self.expected = name, found, expected

    def __reduce__(self) -> tuple:
        return type(self), (self.name, self.found, self.expected)


class InputError(MarketError):
    """An argument of a function that it cannot work with: a shape, a probability, NaN."""


class ParameterError(MarketError):
    """A parameter entry, an override or a scenario that breaks the rules of its file."""


class DatabaseError(MarketError):
    """The database cannot be built, opened or written."""
