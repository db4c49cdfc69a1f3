"""tools/setup installs what is missing, prints it first, and installs nothing twice."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from common import ROOT

TOOLS = ["bash", "env", "sed", "cut", "cat", "xargs", "dirname", "sha256sum", "mkdir", "tr", "true"]


def names_of(level):
    table = (ROOT / "tools" / "setup").read_text()
    return re.findall(rf"^(\S+) *\|{level} *\|", table, re.M)


class Machine:
    """A PATH of our own: fake apt-get, dpkg-query, sudo and id beside the real small tools."""

    def __init__(self, folder):
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.log.touch()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def program(self, name, script):
        path = self.bin / name
        path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        path.chmod(0o755)

    def with_apt(self, missing, install="true"):
        """A Debian on which all but `missing` is installed."""
        self.program("dpkg-query", 'for p in "$@"; do case " ' + " ".join(missing) + ' " in '
                     '*" $p "*) ;; *) [[ $p == -* ]] || echo "$p installed" ;; esac; done')
        self.program("apt-cache", "true")
        self.program("apt-get", f'echo "apt-get $DEBIAN_FRONTEND $*" >> {self.log}; '
                     f'case "$*" in *update*) : > {self.log}.updated ;; *) {install} ;; esac')

    def setup(self, *args):
        env = {"PATH": str(self.bin), "HOME": os.environ.get("HOME", "/"),
               "SMELT_CACHE": str(self.bin.parent / "cache")}
        return subprocess.run([ROOT / "tools" / "setup", *args], env=env, capture_output=True,
                              text=True)

    def calls(self):
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    machine.program("id", "echo 0")
    return machine


def test_nothing_is_installed_where_all_is_there(machine):
    machine.with_apt(missing=[])
    done = machine.setup("build")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls() == []


def test_only_what_is_missing_is_installed_and_named_before(machine):
    machine.with_apt(missing=["libzstd-dev", "clang-tidy-14"])
    done = machine.setup("build")
    assert done.returncode == 0
    assert "libzstd-dev: zstd" in done.stderr
    assert "clang-tidy" not in done.stderr  # the level test asks for it
    assert len(machine.calls()) == 1
    assert machine.calls()[0].startswith("apt-get noninteractive ")
    assert machine.calls()[0].endswith(" install -y --no-install-recommends libzstd-dev")


def test_old_package_lists_are_updated(machine):
    machine.with_apt(missing=["gcc"], install=f"[ -e {machine.log}.updated ]")
    assert machine.setup("build").returncode == 0
    assert [re.search("install|update", call).group() for call in machine.calls()] == [
        "install", "update", "install"]


def test_an_install_that_fails_fails(machine):
    machine.with_apt(missing=["gcc"], install="false")
    assert machine.setup("build").returncode != 0


def test_not_root_goes_by_sudo(machine):
    machine.with_apt(missing=["gcc"])
    machine.program("id", "echo 1000")
    refused = machine.setup("build")
    assert refused.returncode == 1
    assert "needs root or sudo to install: gcc" in refused.stderr
    assert machine.calls() == []
    machine.program("sudo", f'echo "sudo" >> {machine.log}; "$@"')
    assert machine.setup("build").returncode == 0
    assert machine.calls()[0] == "sudo"


def test_without_apt_what_is_missing_is_listed(machine):
    done = machine.setup("build")
    assert done.returncode == 1
    listed = re.findall(r"^  (\S+): ", done.stderr, re.M)
    seen = [name for name in ("tzdata",) if name not in listed]  # its files may be here, whatever is on PATH
    assert listed == [name for name in names_of("build") if name not in seen]


def test_without_apt_what_is_there_is_seen(machine):
    machine.program("gcc", "cat >/dev/null")  # reads what it is given: else the writer may die of SIGPIPE
    for command in ("pkg-config", "meson", "ninja"):
        machine.program(command, "true")
    done = machine.setup("build")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_environment_is_keyed_by_its_pins():
    paths = {subprocess.run([ROOT / "tools" / "setup", "path", name], capture_output=True, text=True,
                            check=True).stdout.strip()
             for name in ("peers", "duckdb-delta", "spark", "airflow", "jars", "bench", "browser")}
    assert len(paths) == 7
    assert all(re.fullmatch(r"[a-z-]+-[0-9a-f]{12}", pathlib.Path(path).name) for path in paths)
    assert not any(pathlib.Path(path).is_relative_to(ROOT) for path in paths)


@pytest.fixture
def with_peers(machine):
    """All packages and Python environments of the bench are there, servers are not."""
    machine.with_apt(missing=[])
    machine.program("python3", "echo 3.11")
    for tool in ("flock", "rm"):
        (machine.bin / tool).symlink_to(shutil.which(tool))
    for name in ("bench", "duckdb-delta"):
        home = pathlib.Path(machine.setup("path", name).stdout.strip())
        home.mkdir(parents=True)
        (home / "done").touch()
    return machine


@pytest.mark.parametrize("row", ["direct", "parse"])
def test_a_row_of_the_bench_needs_no_servers(with_peers, row):
    done = with_peers.setup("bench", row)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("row", [[], ["all"], ["s3"], ["s3-bronze"]])
def test_rows_in_s3_need_servers(with_peers, row):
    done = with_peers.setup("bench", *row)
    assert "building the servers of tools/s3-servers" in done.stderr


def test_a_level_that_is_none_is_wrong_usage(machine):
    done = machine.setup("everything")
    assert done.returncode == 2
    assert "tools/setup build" in done.stderr


def test_every_requirement_is_pinned():
    for file in [*(ROOT / "tests/peers").glob("requirements*.txt"), ROOT / "bench/requirements.txt"]:
        for line in file.read_text().splitlines():
            assert line.startswith("#") or re.match(r"[\w.-]+==\d\S*( ;.*)?$", line), f"{file}: {line}"
