"""The one exception class for problems that a user can cause and can mend."""


class Error(Exception):
    """A problem whose message names the thing, what was expected, what was found and what to do."""
