"""Runs a broker for one command, or until it is stopped."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools.kafka.broker import STEADY, Broker
from tools.kafka.jars import KafkaMissing, jars
from tools.kafka.server import FULL_SPEED, BrokerFailed

ADDRESS = "STREAMER_KAFKA"
_STOP_DEADLINE_S = 15.0


def main(arguments: list[str]) -> int:
    """Run the subcommand `exec`, `start` or `stop`, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.kafka.broker", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    once = actions.add_parser("exec", help=f"start a broker, run a command with {ADDRESS}, stop it")
    once.add_argument("command", nargs=argparse.REMAINDER)
    actions.add_parser("start", help="start a broker that keeps running")
    actions.add_parser("stop", help="stop it")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.action == "exec":
            return _execute([word for word in chosen.command if word != "--"] or parser.error("no command"))
        return _start() if chosen.action == "start" else _stop()
    except (KafkaMissing, BrokerFailed) as failure:
        print(failure, file=sys.stderr)
        return 1


def _execute(command: list[str]) -> int:
    if os.environ.get(ADDRESS):
        return subprocess.run(command, check=False).returncode
    # A signal must stop the broker too, by leaving its context.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with Broker(settings=STEADY, java_options=FULL_SPEED) as broker:
        environment = os.environ | {ADDRESS: broker.bootstrap}
        return subprocess.run(command, check=False, env=environment).returncode


def _start() -> int:
    state = _state_file()
    if state.exists():
        print(f"a broker is already started ({state}): stop it first", file=sys.stderr)
        return 1
    broker = Broker(settings=STEADY, java_options=FULL_SPEED)
    broker.start(detached=True)
    kept = {"pid": broker.pid, "folder": str(broker.folder), "bootstrap": broker.bootstrap}
    state.write_text(json.dumps(kept), encoding="utf-8")
    print(f"export {ADDRESS}={broker.bootstrap}")
    return 0


def _stop() -> int:
    state = _state_file()
    if not state.exists():
        print("no broker was started", file=sys.stderr)
        return 1
    kept = json.loads(state.read_text(encoding="utf-8"))
    if _is_kafka(kept["pid"]):
        _end(kept["pid"])
    shutil.rmtree(kept["folder"], ignore_errors=True)
    state.unlink()
    return 0


def _state_file() -> Path:
    return jars().with_name("broker.json")


def _is_kafka(pid: int) -> bool:
    """Return true if `pid` is still the broker. The system reuses process ids."""
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return "kafka.Kafka" in shown.stdout


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_DEADLINE_S
    while _is_kafka(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
