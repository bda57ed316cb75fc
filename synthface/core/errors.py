"""The errors a user can cause; each message names the file, flag or value and the next step."""


class SynthfaceError(Exception):
    """Base of all errors that the command line shows as one line, with exit code 3."""


class ConfigError(SynthfaceError):
    """A flag or a configuration value is out of range or contradicts another."""


class DataError(SynthfaceError):
    """A data set, image or manifest is missing, damaged or of the wrong kind."""


class DivergedError(SynthfaceError):
    """A training left the finite numbers; other settings may not."""


class WeightsError(SynthfaceError):
    """A model file is missing, damaged, of the wrong kind or has the wrong hash."""


class AuditError(SynthfaceError):
    """The audit's inputs are inconsistent, so nothing may be concluded from them."""
