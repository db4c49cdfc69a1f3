"""`make dist`: the package without a finding of lintian, installed on an empty Debian; the archives."""
import hashlib
import subprocess
import tarfile

import pytest

from common import ROOT
from containers import DEBIAN

pytestmark = pytest.mark.deploy


def make():
    done = subprocess.run([ROOT / "tools/dist"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (ROOT / "build/dist").iterdir()}


@pytest.fixture(scope="module")
def dist():
    """The files of build/dist: the package, the archive of the program, that of the source."""
    first = make()
    assert first == make()  # the same each time
    folder = ROOT / "build/dist"
    found = [*folder.glob("smelt_*.deb"), *folder.glob("smelt-*-linux-*.tar.gz")]
    source = [path for path in folder.iterdir() if path not in found]
    assert len(found) == 2 and len(source) == 1
    return [*found, *source]


def test_lintian_finds_nothing(dist):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", dist[0]], capture_output=True,
                          text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_package_on_an_empty_machine(containers, dist):
    machine = containers.buildah("from", "--pull-never", DEBIAN).stdout.strip()

    def run(*words):
        return containers.buildah("run", "--isolation", "chroot", machine, "--", *words).stdout

    containers.buildah("copy", machine, dist[0], "/tmp/smelt.deb")
    containers.buildah("copy", machine, dist[1], "/tmp/smelt.tar.gz")
    run("apt-get", "update")
    run("apt-get", "install", "-y", "--no-install-recommends", "/tmp/smelt.deb")
    run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "bash", "-euc", """
        cd "$(mktemp -d)"
        smelt generate logs logs --days 2 --rows 500
        smelt run /usr/share/smelt/pipelines/customer360/delta.yaml --date 2022-04-02
        smelt sql 'SELECT count(*) AS n FROM gold.customer360'""")
    assert "missing" not in run("bash", "-c", "dpkg --verify smelt; dpkg -L smelt")
    run("apt-get", "remove", "-y", "smelt")
    # Its libraries are still there: the other archive runs where it is unpacked.
    assert run("bash", "-euc", "cd /opt; tar -xf /tmp/smelt.tar.gz; smelt-*/bin/smelt --version").startswith("smelt ")
    containers.buildah("rm", machine)


def test_the_source_is_that_of_the_commit(dist):
    listed = subprocess.run(["git", "ls-tree", "-r", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.split()
    with tarfile.open(dist[2]) as archive:
        assert sorted(member.name.split("/", 1)[1] for member in archive if not member.isdir()) == sorted(listed)


def test_the_archive_names_what_it_needs(dist):
    with tarfile.open(dist[1]) as archive:
        names = [member.name for member in archive]
        folder = names[0].split("/")[0]
        text = archive.extractfile(f"{folder}/README").read().decode()
    assert f"{folder}/bin/smelt" in names and f"{folder}/lib/systemd/system/smelt@.service" in names
    assert all(name in text for name in ("libzstd.so.1", "libcurl4", "libssl3"))
