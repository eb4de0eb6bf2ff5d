"""The completion scripts, in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from search.cli.command_table import COMMANDS
from search.cli.completion import SHELLS, command, main


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    made = {}
    for shell, write in SHELLS.items():
        made[shell] = folder / shell
        made[shell].write_text(write([command(name) for name in COMMANDS]), encoding="utf-8")
    return made


def bash(script: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        '_siamsearch; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_choices_spaces_and_settings(
    scripts: dict[str, Path],
) -> None:
    script, name = scripts["bash"], "siamsearch"
    assert bash(script, name, "re") == ["results", "retrain", "report", "replay"]
    assert bash(script, name, "run", "--re") == ["--resume", "--reuse", "--report"]
    assert bash(script, name, "run", "--algorithm", "r") == ["random", "rows"]
    assert bash(script, name, "run", "code") == ["code1", "code2"]
    assert bash(script, name, "run", "code2", "--set", "mom") == ["momentum="]
    assert bash(script, name, "run", "code2", "--set", "optimizer", "=") == [
        "adam",
        "adamw",
        "sgd",
    ]
    assert bash(script, name, "run", "code2", "--set", "optimizer", "=", "s") == ["sgd"]
    assert bash(script, name, "settings", "freeze") == [
        "freeze",
        "freeze_stages",
        "freeze_batchnorm",
    ]
    assert bash(script, name, "data", "ch") == ["check"]
    assert bash(script, name, "run", "code2", "--set", "flip", "=", "") == ["true", "false"]
    assert bash(script, name, "cluster", "code") == ["code1", "code2"]
    assert bash(script, name, "cluster", "--acc") == ["--account"]
    assert bash(script, name, "run", "--resume", "code") == ["code1", "code2"]
    assert bash(script, name, "--v") == ["--version"]
    assert bash(script, name, "completion", "") == ["bash", "zsh", "fish"]


def test_bash_leaves_what_is_a_file_to_the_shell(scripts: dict[str, Path]) -> None:
    assert bash(scripts["bash"], "siamsearch", "run", "code2", "--data", "") == []
    assert bash(scripts["bash"], "siamsearch", "results", "ray_re") == []


def test_a_meaning_is_as_the_help_prints_it() -> None:
    meanings = command("compare").options.values()
    assert any("the whole 95 % interval" in one for one in meanings)


def test_the_other_shells_are_told_what_takes_a_value(scripts: dict[str, Path]) -> None:
    fish, zsh = (scripts[shell].read_text(encoding="utf-8") for shell in ("fish", "zsh"))
    start = "complete -c siamsearch -n '__fish_seen_subcommand_from run' -l"
    assert f"{start} data -r -d " in fish and f"{start} resume -d " in fish
    assert f"{start} algorithm -x -a 'tpe " in fish
    assert "        --data) _files; return ;;" in zsh and "        --resume) " not in zsh
    assert "        --set) compadd -S '' -- net= " in zsh


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish: apt-get install fish")
def test_fish_completes_the_same(scripts: dict[str, Path], tmp_path: Path) -> None:
    def offered(line: str) -> list[str]:
        code = f"source {scripts['fish']}; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )
        return [shown.split("\t")[0] for shown in done.stdout.splitlines()]

    assert offered("siamsearch ret") == ["retrain"]
    assert offered("siamsearch run --algorithm t") == ["tpe"]
    assert offered("siamsearch run --resu") == ["--resume"]
    assert offered("siamsearch settings warm") == ["warmup"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh: apt-get install zsh")
def test_zsh_takes_the_script(scripts: dict[str, Path]) -> None:
    code = f"autoload -Uz compinit; compinit -D -u; source {scripts['zsh']}; print $_comps[siamsearch]"
    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("_siamsearch\n", "")


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fish"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "complete -c siamsearch -n __fish_use_subcommand -f -a results "
        "-d 'the ranked trials of a run'" in lines
    )
