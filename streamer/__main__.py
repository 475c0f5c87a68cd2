"""Entry point of the `streamer` command and of `python -m streamer`."""

import errno
import gc
import os
import sys

_INTERRUPTED = 130
_COLLECTED_AFTER = (150_000, 20, 100)


def main() -> None:
    """Run the command in the arguments.

    An interrupt during the import of the command, or a full disk under its
    output, ends it without a traceback.
    """
    # Imports create many small objects that stay. A search for cycles after every few hundred
    # objects would cost a tenth of the time.
    gc.set_threshold(*_COLLECTED_AFTER)
    # Otherwise, pydantic reads the entry points of every installed package, to find packages
    # that change its models. Streamer's models need none of them.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from streamer.cli import app  # noqa: PLC0415 - Ctrl-C can arrive during this slow import

        app(prog_name="streamer")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        # At the exit, the rest of the buffer can't be written either, so discard it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"streamer: the output can't be written: {error.strerror}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
