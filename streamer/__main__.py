"""Entry point of the `streamer` command and of `python -m streamer`."""

from streamer.cli import app


def main() -> None:
    """Run the command that the arguments name."""
    app(prog_name="streamer")


if __name__ == "__main__":
    main()
