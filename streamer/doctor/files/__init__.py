"""Files that a configuration names: who can read them, and how long their certificates are valid."""

from streamer.doctor.files.checks import file_checks, named_files, secret_files

__all__ = ["file_checks", "named_files", "secret_files"]
