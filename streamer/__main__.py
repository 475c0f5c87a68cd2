"""From the command line to the commands: `streamer`, or `python -m streamer`."""

from streamer.cli import app


def main() -> None:
    """Run the command that the arguments name."""
    app(prog_name="streamer")


if __name__ == "__main__":
    main()
