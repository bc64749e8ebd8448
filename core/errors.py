"""The package's own errors: each names the file or field, what was found and what was expected."""


class LungLensError(Exception):
    """Base of every error that a user can cause; `str(error)` is one plain sentence or two.

    `name` is the file, folder, column or option; `found` and `expected` complete the sentence
    "NAME: found FOUND; expected EXPECTED."
    """

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(f"{name}: found {found}; expected {expected}.")
        self.name = name
        self.found = found
        self.expected = expected

    def __reduce__(self) -> tuple:
        return (type(self), (self.name, self.found, self.expected))


class ImageError(LungLensError):
    """A file (or a member or frame of one) that cannot be read as a slice."""


class DataError(LungLensError):
    """A data folder or manifest that cannot be trained or tested on."""


class ConfigError(LungLensError):
    """A recipe or option with a value that contradicts the rest or lies out of range."""


class RunError(LungLensError):
    """A run folder that is missing, incomplete or damaged."""


class WeightsError(LungLensError):
    """Start weights that are not there or do not fit the network."""
