"""`make install`: what lies where, the manual and the completions that the program's help gives, the unit."""
import os
import re
import shutil
import subprocess

import pytest

from common import ROOT

COMMANDS = re.findall(r"^SM_COMMAND\((\w+)\)", (ROOT / "src/cli/commands.def").read_text(), re.M)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The root of a machine on which it was installed in the usual place."""
    root = tmp_path_factory.mktemp("root")
    done = subprocess.run(["make", "--no-print-directory", "install", f"DESTDIR={root}"], cwd=ROOT, text=True,
                          capture_output=True, env={**os.environ, "MAKEFLAGS": ""}, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "usr/local"


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program}: run `tools/setup test`")


def test_the_program_and_its_pipelines(installed, tmp_path):
    """The files of the tree, and no history of runs that were made in there."""
    smelt = installed / "bin/smelt"
    listed = subprocess.run(["git", "ls-files", "pipelines"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(listed.stdout.split()) == sorted(
        str(path.relative_to(installed / "share/smelt")) for path in (installed / "share/smelt").rglob("*")
        if path.is_file())
    assert subprocess.run([smelt, "--version"], capture_output=True, text=True).stdout.startswith("smelt ")
    for name in ("delta", "direct"):
        pipeline = installed / f"share/smelt/pipelines/customer360/{name}.yaml"
        assert subprocess.run([smelt, "validate", pipeline], cwd=tmp_path).returncode == 0


@needs("groff")
def test_each_command_has_a_page(installed):
    pages = sorted((installed / "share/man/man1").iterdir())
    assert [page.name for page in pages] == sorted(["smelt.1", *(f"smelt-{name}.1" for name in COMMANDS)])
    for page in pages:
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-P-cbou", page], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), page
        told = " ".join(done.stdout.replace("\u2010\n", "").split())
        if page.name != "smelt.1":
            help_ = subprocess.run([installed / "bin/smelt", page.stem[6:], "--help"], capture_output=True, text=True)
            for option in re.findall(r"^  (--[\w-]+)", help_.stdout, re.M):
                assert option in told, (page.name, option)


def bash(installed, *words):
    script = ('source "$0/share/bash-completion/completions/smelt.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_smelt; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-eu", "-c", script, installed, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def fish(installed, *words):
    script = f'source {installed}/share/fish/vendor_completions.d/smelt.fish; complete -C "{" ".join(words)}"'
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, cwd="/dev",
                          env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", [bash, pytest.param(fish, marks=needs("fish"))])
@pytest.mark.parametrize("words, wanted", [
    (["smelt", "va"], ["validate"]),
    (["smelt", "table", "hist"], ["history"]),
    (["smelt", "contract", "acc"], ["accept"]),
    (["smelt", "export", "airflow", "p.yaml", "--for"], ["--form"]),
    (["smelt", "export", "airflow", "p.yaml", "--form", ""], ["bash", "docker", "taskflow"]),
    (["smelt", "table", "cluster", "t", "--curve", "z"], ["zorder"]),
    (["smelt", "run", "p.yaml", "--memory"], ["--memory-limit"]),
    (["smelt", "run", "p.yaml", "--var", "zz"], []),
])
def test_words_are_completed(installed, shell, words, wanted):
    assert sorted(shell(installed, *words)) == wanted


@needs("zsh")
def test_zsh_reads_its_completion(installed):
    """And takes each option from it: _arguments reads what the file says of the command."""
    folder = installed / "share/zsh/site-functions"
    script = (f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; "
              "_arguments() { print -rl -- $@ }; compdef() { :; }; words=(smelt table ''); CURRENT=3; "
              "autoload +X _smelt; _smelt")
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    assert "*--curve[cluster\\: zorder or hilbert (default\\: zorder)]:CURVE:(zorder hilbert)" in told
    assert any(line.startswith("1: :(show history ") for line in told)


@needs("systemd-analyze")
def test_the_unit_is_read_without_a_word(installed, tmp_path):
    text = (installed / "lib/systemd/system/smelt@.service").read_text()
    assert "\nExecStart=/usr/local/bin/smelt up $PIPELINES\n" in text
    unit = tmp_path / "smelt@.service"
    unit.write_text(text.replace("=/usr/local/bin/smelt", f"={installed}/bin/smelt"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # Of 10 points of exposure: network, files of its own and a user are left.
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    example = (installed / "share/doc/smelt/example.env").read_text()
    assert re.search(r"^PIPELINES=/\S+$", example, re.M)
