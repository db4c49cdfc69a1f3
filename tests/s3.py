"""Real S3 servers on loopback: MinIO and versitygw from `tools/setup test`, each with its own free
port, keys and data. They are ended by their process ids."""
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

from common import ROOT

KEY_ID, SECRET = "smelt-test", "not-a-secret-0123"
KINDS = ["minio", "versitygw"]

def programs():
    """The folder of the servers' programs, or None where they were not built."""
    done = subprocess.run([ROOT / "tools" / "setup", "path", "s3-servers"], capture_output=True,
                          text=True, check=True)
    folder = done.stdout.strip()
    return folder + "/bin" if os.path.exists(folder + "/done") else None

def require():
    """Skips where the servers were not built: they take minutes and a Go compiler, which a user who runs
    one test need not have. `make test` builds them, and fails where it cannot."""
    import pytest
    if not programs():
        pytest.skip("no S3 servers: run `tools/setup test`")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificate(folder):
    """A certificate for 127.0.0.1 that no machine trusts, and its key, as files."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                    cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


class Server:
    """A server of one kind with its data in a folder."""

    def __init__(self, kind, folder, port=None, secret=SECRET):
        self.kind, self.folder, self.secret = kind, folder, secret
        self.port = port or free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self):
        address = f"127.0.0.1:{self.port}"
        env = {**os.environ, "MINIO_ROOT_USER": KEY_ID, "MINIO_ROOT_PASSWORD": self.secret,
               "MINIO_BROWSER": "off", "ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": self.secret}
        command = {"minio": ["minio", "server", "--quiet", "--address", address, "--console-address",
                             f"127.0.0.1:{free_port()}", self.folder],
                   "versitygw": ["versitygw", "-q", "--port", address, "posix", self.folder]}
        log = open(self.folder.parent / f"{self.kind}.log", "ab")
        first, *rest = command[self.kind]
        self.process = subprocess.Popen([f"{programs()}/{first}", *rest], env=env, stdout=log,
                                        stderr=log)
        self.wait()

    def wait(self):
        for _ in range(300):
            try:
                urllib.request.urlopen(self.endpoint + "/", timeout=5)
                return
            except urllib.error.HTTPError:
                return  # it answers: that nobody may list without keys
            except OSError:
                assert self.process.poll() is None, f"{self.kind} ended"
                time.sleep(0.1)
        raise AssertionError(f"{self.kind} does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)

    @property
    def env(self):
        """What a program of AWS tools, or smelt, needs to find it."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": KEY_ID,
                "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1"}

    def client(self, service="s3"):
        import boto3
        from botocore.config import Config
        return boto3.client(service, endpoint_url=self.endpoint, aws_access_key_id=KEY_ID,
                            aws_secret_access_key=self.secret, region_name="us-east-1",
                            config=Config(s3={"addressing_style": "path"}))

    def uploads(self, bucket):
        """Multipart uploads that were begun and neither ended nor aborted."""
        return self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    def make_bucket(self, name):
        self.client().create_bucket(Bucket=name)
        return name

    def upload(self, folder, bucket, prefix):
        client = self.client()
        for path in sorted(folder.iterdir()):
            client.upload_file(str(path), bucket, prefix + path.name)

    def keys(self, bucket, prefix=""):
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def download(self, bucket, prefix, folder):
        """What lies below the prefix, as files below the folder."""
        client = self.client()
        for key in self.keys(bucket, prefix):
            path = folder / key[len(prefix):].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, key, str(path))


class Http2:
    """nghttpx before a server: TLS with a certificate of its own, and HTTP/2, which it offers."""

    def __init__(self, server, folder):
        cert, key = make_certificate(folder)
        port = free_port()
        program = shutil.which("nghttpx", path=os.environ["PATH"] + ":/usr/sbin")
        self.env = {**server.env, "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
                    "AWS_CA_BUNDLE": str(cert)}
        self.process = subprocess.Popen(
            [program, "--conf=/dev/null", f"--frontend=127.0.0.1,{port}",
             f"--backend=127.0.0.1,{server.port}", "--no-ocsp", "--errorlog-file=/dev/null", key, cert])
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return
            except OSError:
                assert self.process.poll() is None, "nghttpx ended"
                time.sleep(0.05)
        raise AssertionError("nghttpx does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
