"""Errors a user can meet and mend. Anything else that is raised is a bug of ours.

UnetlabError
├── ConfigError          an option is unknown, out of bounds, or does not go with another
├── DataError            pictures, masks and pairs
│   ├── NoPairs          nothing to train on
│   └── UnreadableFile   a picture, mask or archive that cannot be decoded or must not be
├── WorkspaceError       the workspace folder cannot be used
├── RunError             a run that does not exist, or is in the wrong state for what was asked
├── DeviceError          a device that is not there, or does not have enough memory
└── TrainingError        training cannot go on: loss not finite, validation set empty, ...

Each message says what was given, what is allowed and what to do. The page and the command line
show the message and never a traceback for it.
"""

import re


class UnetlabError(Exception):
    """Something the user can mend."""

    @property
    def code(self) -> str:
        """Its kind for programs: "config-error", "no-pairs"."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()


class ConfigError(UnetlabError):
    """An option is unknown, out of bounds, or does not go with another."""


class DataError(UnetlabError):
    """Pictures, masks or pairs are not what training needs."""


class NoPairs(DataError):
    """No picture has a mask."""


class UnreadableFile(DataError):
    """A file cannot be decoded, or must not be (too many pixels, a path that leaves its folder)."""


class WorkspaceError(UnetlabError):
    """The workspace folder is a file, cannot be written, or stands on a full disk."""


class RunError(UnetlabError):
    """A run does not exist or is in the wrong state."""


class DeviceError(UnetlabError):
    """A device is missing or too small."""


class TrainingError(UnetlabError):
    """Training cannot go on."""
