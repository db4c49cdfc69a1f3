"""Where keys come from: containers, machines and web identities give ones that expire, and they are
fetched again in time, or when S3 says that they have expired. The services are small ones of this
test, which check what they are asked with."""
import datetime
import json
import re
import urllib.parse

from test_s3_odd import error, odd  # noqa: F401 (a fixture)

NO_KEYS = {name: "" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                                 "AWS_PROFILE", "AWS_REGION")}
NO_FILES = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}


def in_time(**delta):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**delta)).strftime(
        "%Y-%m-%dT%H:%M:%SZ")


def keys_json(number, expires):
    return json.dumps({"Code": "Success", "AccessKeyId": f"id{number}", "SecretAccessKey": "top/secret+",
                       "Token": f"token=={number}/", "Expiration": expires}).encode()


class Services:
    """Metadata and S3 in one server; `good` is the number of the keys that S3 takes."""

    def __init__(self, odd, good=1, expires=None):
        self.good, self.given = good, 0
        self.expires = expires or in_time(hours=1)
        self.server = odd(self.act)
        self.url = self.server.url

    def act(self, h):
        if "/latest/" in h.path:
            self.machine(h)
        elif h.path.startswith("/container"):
            assert h.headers["Authorization"] == "Bearer of-the-container"
            self.give(h)
        elif h.command == "POST" and h.path == "/":
            self.identity(h)
        else:
            self.s3(h)

    def give(self, h):
        self.given += 1
        h.reply(200, keys_json(self.given, self.expires), "application/json")

    def machine(self, h):
        if h.command == "PUT":
            assert h.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            h.reply(200, b"session-7", "text/plain")
            return
        assert h.headers["X-aws-ec2-metadata-token"] == "session-7"
        if h.path.endswith("/security-credentials/"):
            h.reply(200, b"the-role\n", "text/plain")
        else:
            assert h.path.endswith("/the-role")
            self.give(h)

    def identity(self, h):
        self.given += 1
        h.reply(200, f"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
            <AccessKeyId>id{self.given}</AccessKeyId><SecretAccessKey>top/secret+</SecretAccessKey>
            <SessionToken>token=={self.given}/</SessionToken><Expiration>{self.expires}</Expiration>
            </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
                .encode())

    def s3(self, h):
        number = int(re.search(r"Credential=id(\d+)/", h.headers["Authorization"])[1])
        assert h.headers["x-amz-security-token"] == f"token=={number}/"
        if number < self.good:
            h.reply(400, error("ExpiredToken"))
        elif h.command == "HEAD":
            h.reply(200, b'{"a":1}\n', ETag='"e"')
        else:
            first, last = map(int, h.headers["Range"].removeprefix("bytes=").split("-"))
            h.reply(206, b'{"a":1}\n'[first:last + 1], ETag='"e"')


def read(smelt, services, check=True, **env):
    return smelt("sql", "SELECT a FROM read_json('s3://b/in/a.json')", check=check, timeout=60, env={
        **NO_KEYS, **NO_FILES, "AWS_ENDPOINT_URL": services.url, "SMELT_LOG": "debug", **env})


def test_a_machine(smelt, odd):  # noqa: F811
    services = Services(odd)
    done = read(smelt, services, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.stdout == "a\n1\n" and services.given == 1
    assert "top/secret" not in done.stderr and "token==" not in done.stderr


def test_a_container(smelt, odd, tmp_path):  # noqa: F811
    token = tmp_path / "token"
    token.write_text("Bearer of-the-container\n")
    services = Services(odd)
    for how in ({"AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer of-the-container"},
                {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}):
        done = read(smelt, services, AWS_CONTAINER_CREDENTIALS_FULL_URI=services.url + "/container",
                    **how)
        assert done.stdout == "a\n1\n"


def test_a_web_identity(smelt, odd, tmp_path):  # noqa: F811
    token = tmp_path / "token"
    token.write_text("jwt.of.the+pod\n")
    services = Services(odd)
    asked = []
    plain = services.server.act

    def act(h):
        asked.append(h.path)
        plain(h)
    services.server.act = act
    done = read(smelt, services, AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ROLE_ARN="arn:aws:iam::1:r",
                AWS_ENDPOINT_URL_STS=services.url)
    assert done.stdout == "a\n1\n" and services.given == 1 and asked[0] == "/"
    assert "jwt.of" not in done.stderr


def test_keys_that_s3_calls_expired_are_fetched_once_more(smelt, odd):  # noqa: F811
    services = Services(odd, good=2)
    done = read(smelt, services, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.stdout == "a\n1\n" and services.given == 2
    services = Services(odd, good=99)
    done = read(smelt, services, check=False, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.returncode == 1 and "ExpiredToken" in done.stderr
    assert services.given <= 4


def test_keys_that_expire_soon_are_fetched_again(smelt, odd):  # noqa: F811
    services = Services(odd, expires=in_time(seconds=100))
    done = read(smelt, services, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.stdout == "a\n1\n" and services.given >= 2


def test_no_metadata(smelt, odd):  # noqa: F811
    nothing = odd(lambda h: h.reply(404, b"none", "text/plain"))
    done = read(smelt, nothing, check=False, AWS_EC2_METADATA_SERVICE_ENDPOINT=nothing.url)
    assert done.returncode == 1
    assert "machine's metadata" in done.stderr and "AWS_ACCESS_KEY_ID" in done.stderr


def test_profiles_of_other_kinds_are_refused_by_name(smelt, odd, tmp_path):  # noqa: F811
    config = tmp_path / "config"
    nothing = odd(lambda h: h.reply(404, b"none", "text/plain"))
    for setting in ("credential_process = /bin/true", "sso_session = s", "source_profile = other"):
        config.write_text(f"[default]\n{setting}\n")
        done = read(smelt, nothing, check=False, AWS_CONFIG_FILE=str(config))
        assert done.returncode == 1
        assert setting.split(" ")[0] in done.stderr and "export-credentials" in done.stderr


def test_names_are_signed_as_they_are_sent(smelt, odd):  # noqa: F811
    """What stands on the wire is the key, encoded once."""
    services = Services(odd)
    done = smelt("sql", "SELECT a FROM read_json('s3://b/ü +%&=.json')", env={
        **NO_KEYS, **NO_FILES, "AWS_ENDPOINT_URL": services.url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": services.url})
    assert done.stdout == "a\n1\n"
    paths = [path for _, path, _ in services.server.seen if path.startswith("/b/")]
    assert paths and {urllib.parse.unquote(path) for path in paths} == {"/b/ü +%&=.json"}
    assert all(path == "/b/%C3%BC%20%2B%25%26%3D.json" for path in paths)
