"""The command that prints what completes ``siamsearch`` in a shell.

    source <(siamsearch completion bash)      in ~/.bashrc
    source <(siamsearch completion zsh)       in ~/.zshrc, below compinit
    siamsearch completion fish > ~/.config/fish/completions/siamsearch.fish

The script has the commands, their options and choices, the ready spaces and the settings of --set,
as the parsers have them: completing starts no Python.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from facesiam import cli
from facesiam.config import SETTINGS
from search.cli.command_table import COMMANDS

NAME = "siamsearch"


@dataclass(frozen=True)
class Command:
    """What a shell can complete after the name of a command."""

    name: str
    does: str
    options: dict[str, str]
    """Meaning of each option, by its name with dashes."""
    values: dict[str, list[str]]
    """Words that may follow an option; [] where a file, or anything else, does."""
    words: list[str] = field(default_factory=list)
    """What may stand in it without dashes, besides files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 0."""
    options = parser().parse_args(arguments)
    return cli.run(lambda: _main(options.shell))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(
        prog=cli.program("search.cli.completion"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    return parser


def _main(shell: str) -> int:
    print(SHELLS[shell]([command(name) for name in COMMANDS]), end="")
    return cli.DONE


def command(name: str) -> Command:
    """Return what a shell can complete of one command, from its parser."""
    module, does = COMMANDS[name]
    found = Command(name, does, {}, {}, list(_words(name)))
    for action in _actions(_parser_of(module)):
        choices = [str(choice) for choice in action.choices or ()]
        if not action.option_strings:
            found.words.extend(choices)
        for option in action.option_strings:
            found.options[option] = " ".join((action.help or "").replace("%%", "%").split())
            if action.nargs != 0:
                found.values[option] = choices
    if "--set" in found.values:
        found.values["--set"].extend(f"{setting}=" for setting in SETTINGS)
    return found


def _parser_of(module: str) -> argparse.ArgumentParser:
    """Return the parser of a command, which its module or package has as ``parser``."""
    if module == "search.run":  # a module that only runs
        module = "search.cli.run_parser"
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    made: argparse.ArgumentParser = found.parser()
    return made


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments and options of a parser, those of its sub-commands too."""
    for action in parser._actions:  # argparse has no public name for them
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)


def _words(name: str) -> Iterator[str]:
    if name in ("run", "replay", "space", "doctor", "cluster"):
        from search.space.shipped import names

        yield from names()
    if name == "settings":
        yield from SETTINGS


def bash(commands: Sequence[Command]) -> str:
    """Return the script for bash. Where it has no word, bash completes files."""
    own = "\n".join(
        f"    {one.name})\n"
        + _bash_values(one)
        + f"      [[ $current == -* ]] && words={shlex.quote(' '.join(one.options))} "
        + f"|| words={shlex.quote(' '.join(one.words))} ;;"
        for one in commands
    )
    settings = "\n".join(
        f"      {name}) words={shlex.quote(' '.join(known))} ;;"
        for name, known in _known_values().items()
    )
    return f"""\
_{NAME}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
  local before=${{COMP_WORDS[COMP_CWORD - 2]}} words=""
  COMPREPLY=()
  if [[ $current == = ]]; then  # bash takes --set lr= for three words
    before=$previous previous== current=""
  fi
  if (( COMP_CWORD == 1 )); then
    words={shlex.quote(" ".join(["--help", "--version", *(one.name for one in commands)]))}
  elif [[ $previous == = ]]; then
    case $before in
{settings}
    esac
  else
    case ${{COMP_WORDS[1]}} in
{own}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}}
complete -o default -F _{NAME} {NAME}
"""


def _bash_values(one: Command) -> str:
    """Return the lines that complete what follows an option."""
    lines = ["      case $previous in"]
    files = [option for option, known in one.values.items() if not known]
    for option, known in one.values.items():
        if known:
            reply = f'COMPREPLY=($(compgen -W {shlex.quote(" ".join(known))} -- "$current"))'
            more = "compopt -o nospace 2>/dev/null; " if option == "--set" else ""
            lines.append(f"        {option}) {reply}; {more}return 0 ;;")
    if files:
        lines.append(f"        {'|'.join(files)}) return 0 ;;")
    return "\n".join([*lines, "      esac"]) + "\n"


def zsh(commands: Sequence[Command]) -> str:
    """Return the script for zsh."""
    names = "\n".join(f"      {shlex.quote(f'{one.name}:{one.does}')}" for one in commands)
    own = "\n".join(_zsh_command(one) for one in commands)
    settings = "\n".join(
        f"      {name}=*) compset -P '*='; compadd -- {' '.join(known)}; return ;;"
        for name, known in _known_values().items()
    )
    return f"""\
#compdef {NAME}
_{NAME}() {{
  local -a found
  if (( CURRENT == 2 )); then
    found=(
{names}
    )
    _describe command found
    return
  fi
  if [[ $words[CURRENT-1] == --set ]]; then
    case $words[CURRENT] in
{settings}
    esac
  fi
  case $words[2] in
{own}
  esac
}}
compdef _{NAME} {NAME}
"""


def _zsh_command(one: Command) -> str:
    lines = [f"    {one.name})", "      case $words[CURRENT-1] in"]
    for option, known in one.values.items():
        suffix = "-S '' " if option == "--set" else ""
        does = f"compadd {suffix}-- {' '.join(known)}" if known else "_files"
        lines.append(f"        {option}) {does}; return ;;")
    options = " ".join(
        shlex.quote(f"{option}:{meaning}".replace("\n", " "))
        for option, meaning in one.options.items()
    )
    words = f"compadd -- {' '.join(one.words)}; " * bool(one.words)
    lines += [
        "      esac",
        f"      if [[ $words[CURRENT] == -* ]]; then found=({options}); _describe option found",
        f"      else {words}_files; fi ;;",
    ]
    return "\n".join(lines)


def fish(commands: Sequence[Command]) -> str:
    """Return the script for fish, a line for each word."""
    first = f"complete -c {NAME} -n __fish_use_subcommand -f"
    lines = [f"{first} -a {one.name} -d {_fish(one.does)}" for one in commands]
    for one in commands:
        start = f"complete -c {NAME} -n '__fish_seen_subcommand_from {one.name}'"
        if one.words:
            lines.append(f"{start} -a {_fish(' '.join(one.words))}")
        for option, meaning in one.options.items():
            flag = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            takes = ""
            if option in one.values:
                known = one.values[option]
                takes = f" -x -a {_fish(' '.join(known))}" if known else " -r"
            lines.append(f"{start} {flag}{takes} -d {_fish(meaning)}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    """Return text in quotes, as fish reads it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _known_values() -> dict[str, list[str]]:
    """Return the values of the settings that have a list of them."""
    return {
        name: ["true", "false"] if setting.type is bool else list(setting.choices)
        for name, setting in SETTINGS.items()
        if setting.type is bool or setting.choices
    }


SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""What writes the script of a shell."""


if __name__ == "__main__":
    sys.exit(main())
