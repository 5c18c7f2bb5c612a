"""Errors a user can cause and cure: one line that names the thing, the numbers and the cure."""


class NsimError(Exception):
    """Base of all errors that the command line shows as one line."""

    exit_code = 2


class ChipError(NsimError):
    """A chip file that cannot be read, or says something impossible."""


class NetworkError(NsimError):
    """A network that cannot be read, or that the model does not cover."""


class InputError(NsimError):
    """Input data or prescribed activity that does not fit the network."""


class MappingError(NsimError):
    """A network that does not fit the chip, or a partition or placement that breaks a limit."""


class SimulationError(NsimError):
    """A simulation that stopped with work left."""


class ExperimentError(NsimError):
    """An experiment that does not exist, or is not here."""


class OptimizationError(NsimError):
    """An optimisation that is asked for what it does not know, or cannot do."""


class TrainingError(NsimError):
    """A training that is asked for what it does not know, that lacks a package, or that does not converge."""


class OutputError(NsimError):
    """A result that cannot be written."""


class InterruptedRunError(NsimError):
    """A run that the user stopped; what was done until then has been shown and written."""

    exit_code = 130  # 128 + SIGINT, as shells have it
