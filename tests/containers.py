"""Images and containers without a Docker engine: buildah and podman with a store of their own in a folder, and
podman's service, which speaks Docker's protocol. Needs root."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from common import ROOT

DEBIAN = "docker.io/library/debian:bookworm-slim"  # what deploy/Dockerfile begins with
# Networks, cgroups and limits of a machine that is a container itself.
SETTINGS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""


def require():
    """A user's clone may have no root and no buildah: what needs them is told and counted as skipped there."""
    missing = [name for name in ("buildah", "podman", "runc", "debootstrap") if not shutil.which(name)]
    if missing or os.getuid() != 0:
        pytest.skip(f"no images can be built: {', '.join(missing) or 'not root'}; run `tools/setup interop` as root")


class Engine:
    """A store with a minimal Debian by the name of the official image, made by tools/debian."""

    def __init__(self, folder):
        self.folder = folder
        self.runroot = tempfile.mkdtemp(prefix="smelt-", dir="/tmp")  # podman takes 50 characters at most
        self.flags = ["--root", folder / "store", "--runroot", self.runroot, "--storage-driver", "vfs"]
        (folder / "containers.conf").write_text(SETTINGS)
        self.env = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}
        subprocess.run([ROOT / "tools/debian", folder / "debian"], check=True, capture_output=True, timeout=1200)
        empty = self.buildah("from", "scratch").stdout.strip()
        self.buildah("add", "-q", empty, folder / "debian", "/")
        self.buildah("commit", "-q", empty, DEBIAN)
        self.buildah("rm", empty)
        shutil.rmtree(folder / "debian")

    def run(self, *words, check=True, timeout=1800):
        done = subprocess.run(words, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def buildah(self, command, *args, **options):
        return self.run("buildah", *self.flags, command, *args, **options)

    def podman(self, command, *args, **options):
        return self.run("podman", *self.flags, command, *args, **options)

    def build(self, name, file):
        self.buildah("bud", "--pull-never", "--isolation", "chroot", "-t", name, "-f", file, ".")

    @contextlib.contextmanager
    def service(self):
        """The address of an engine that speaks Docker's protocol."""
        socket = pathlib.Path(self.runroot, "engine.sock")
        with open(self.folder / "service.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(["podman", *self.flags, "system", "service", "--time", "0", f"unix://{socket}"],
                                       env=self.env, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not socket.exists():
                assert process.poll() is None and time.monotonic() < deadline, "no service of podman"
                time.sleep(0.1)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(60)

    def close(self):
        shutil.rmtree(self.folder)
        shutil.rmtree(self.runroot)
