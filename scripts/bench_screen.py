"""How long a command leaves a terminal blank, and how soon it answers a Ctrl-C, in a real pty.

    python scripts/bench_screen.py -- -m search.results ray_results/reference/cpu
    python scripts/bench_screen.py --interrupt-at "s/epoch" --after 5 -- -m search.run quickstart

It prints the time of the first output, the longest time without any, and, where a Ctrl-C was sent,
the time to the next output and to the end. ``--log FILE`` keeps what the terminal was sent.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path


def main() -> int:
    """Run the command and print the times; return its exit code."""
    options = _parser().parse_args()
    command = [word for word in options.command if word != "--"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, *command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, options.columns, 0, 0))
    began = time.perf_counter()
    outputs, text, seen, sent = [0.0], b"", 0.0, None
    while True:
        now = time.perf_counter() - began
        if options.interrupt_at and options.interrupt_at in text.decode(errors="replace"):
            seen = seen or now
        if seen and sent is None and now - seen >= options.after:
            sent = now
            os.kill(pid, signal.SIGINT) if options.kill else os.write(terminal, b"\x03")
        if not select.select([terminal], [], [], 0.05)[0]:
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        # A terminal echoes ^C by itself.
        if read.replace(b"^C", b""):
            outputs.append(time.perf_counter() - began)
        text += read
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if options.log:
        options.log.write_bytes(text)
    _report(outputs, time.perf_counter() - began, sent, code)
    return code


def _report(outputs: list[float], end: float, sent: float | None, code: int) -> None:
    gaps = [(after - before, before) for before, after in zip(outputs, outputs[1:], strict=False)]
    longest, at = max([*gaps, (end - outputs[-1], outputs[-1])])
    first = f"{outputs[1]:.2f} s" if len(outputs) > 1 else "never"
    print(f"first output {first}; longest silence {longest:.2f} s, at {at:.2f} s; end {end:.2f} s")
    if sent is not None:
        answer = next((at - sent for at in outputs if at > sent), float("nan"))
        print(
            f"Ctrl-C at {sent:.2f} s: answered after {answer:.3f} s, end after {end - sent:.2f} s"
        )
    print(f"exit code {code}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Times of a command in a terminal of its own.")
    parser.add_argument("--columns", type=int, default=80, help="of the terminal (80)")
    parser.add_argument("--interrupt-at", metavar="TEXT", help="send a Ctrl-C once this was shown")
    parser.add_argument("--after", type=float, default=0.0, help="seconds after that (0)")
    parser.add_argument("--kill", action="store_true", help="by a signal, not by the terminal")
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep what was shown")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="arguments of python")
    return parser


if __name__ == "__main__":
    sys.exit(main())
