"""Entry point of the `streamer` command and of `python -m streamer`."""

import errno
import gc
import os
import sys

_INTERRUPTED = 130
_COLLECTED_AFTER = (50_000, 20, 100)


def main() -> None:
    """Run the command that the arguments name.

    An interrupt while the command is imported, and a full disk under its
    output, end it without a traceback.
    """
    # Imports and events make many small objects without cycles: to search them for
    # cycles after every few hundred would cost a tenth of the time.
    gc.set_threshold(*_COLLECTED_AFTER)
    try:
        from streamer.cli import app  # noqa: PLC0415 - it takes so long that Ctrl-C can meet it

        app(prog_name="streamer")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        # The rest of the buffer can't be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"streamer: the output can't be written: {error.strerror}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
