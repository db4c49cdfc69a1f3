"""Where S3 keys come from: containers, machines, web identities, roles, single sign-on and
commands. Keys that expire are fetched again in time, or when S3 says that they have expired. The
services are small servers of this test, which check the requests."""
import datetime
import hashlib
import json
import re
import urllib.parse

import pytest

import s3
from customer360 import generate, run_process
from odd_server import error

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


def test_a_machine(smelt, odd):
    services = Services(odd)
    done = read(smelt, services, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.stdout == "a\n1\n" and services.given == 1
    assert "top/secret" not in done.stderr and "token==" not in done.stderr


def test_a_container(smelt, odd, tmp_path):
    token = tmp_path / "token"
    token.write_text("Bearer of-the-container\n")
    services = Services(odd)
    for how in ({"AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer of-the-container"},
                {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}):
        done = read(smelt, services, AWS_CONTAINER_CREDENTIALS_FULL_URI=services.url + "/container",
                    **how)
        assert done.stdout == "a\n1\n"


def test_a_web_identity(smelt, odd, tmp_path):
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


def test_keys_that_s3_calls_expired_are_fetched_once_more(smelt, odd):
    services = Services(odd, good=2)
    done = read(smelt, services, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.stdout == "a\n1\n" and services.given == 2
    services = Services(odd, good=99)
    done = read(smelt, services, check=False, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.returncode == 1 and "ExpiredToken" in done.stderr
    assert services.given <= 4


def test_keys_that_expire_soon_are_fetched_again(smelt, odd):
    services = Services(odd, expires=in_time(seconds=100))
    done = read(smelt, services, AWS_EC2_METADATA_SERVICE_ENDPOINT=services.url)
    assert done.stdout == "a\n1\n" and services.given >= 2


def test_no_metadata(smelt, odd):
    nothing = odd(lambda h: h.reply(404, b"none", "text/plain"))
    done = read(smelt, nothing, check=False, AWS_EC2_METADATA_SERVICE_ENDPOINT=nothing.url)
    assert done.returncode == 1
    assert "machine's metadata" in done.stderr and "AWS_ACCESS_KEY_ID" in done.stderr


def test_a_command(smelt, odd, tmp_path):
    """credential_process: a program that prints keys, asked again before they expire."""
    program, config = tmp_path / "give", tmp_path / "config"
    config.write_text(f"[profile work]\ncredential_process = {program} --for smelt\n")
    env = {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "work"}
    services = Services(odd)
    for expires, asked in ((in_time(hours=1), 1), (in_time(seconds=100), 2)):
        answer = json.dumps({"Version": 1, "AccessKeyId": "id1", "SecretAccessKey": "top/secret+",
                             "SessionToken": "token==1/", "Expiration": expires})
        program.write_text(f"#!/bin/sh\n[ \"$*\" = '--for smelt' ] || exit 3\n"
                           f"echo asked >> {tmp_path}/asked\necho '{answer}'\n")
        program.chmod(0o755)
        (tmp_path / "asked").write_text("")
        done = read(smelt, services, **env)
        assert done.stdout == "a\n1\n" and "top/secret" not in done.stderr
        assert (tmp_path / "asked").read_text().count("asked") >= asked
    program.write_text("#!/bin/sh\nexit 7\n")
    done = read(smelt, services, check=False, **env)
    assert done.returncode == 1 and "the command ended with exit code 7" in done.stderr


ROLE = """[profile work]
role_arn = arn:aws:iam::1:role/reader
source_profile = %s
external_id = for smelt
role_session_name = nightly
[profile base]
aws_access_key_id = baseid
aws_secret_access_key = base/secret
[profile chain]
role_arn = arn:aws:iam::1:role/between
source_profile = base
[profile round]
role_arn = arn:aws:iam::1:role/round
source_profile = circle
[profile circle]
role_arn = arn:aws:iam::1:role/circle
source_profile = round
"""


class Roles(Services):
    """Of the token service, what it was asked: (whose keys, for which region and service, the form)."""

    def __init__(self, odd):
        self.asked = []
        super().__init__(odd)

    def identity(self, h):
        signed = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request",
                           h.headers["Authorization"])
        self.asked.append((*signed.groups(), dict(urllib.parse.parse_qsl(h.body.decode()))))
        super().identity(h)


@pytest.mark.parametrize("source, first", [("base", None), ("chain", "between")])
def test_a_role_taken_with_the_keys_of_another_profile(smelt, odd, tmp_path, source, first):
    config = tmp_path / "config"
    config.write_text(ROLE % source)
    services = Roles(odd)
    done = read(smelt, services, AWS_CONFIG_FILE=str(config), AWS_PROFILE="work",
                AWS_ENDPOINT_URL_STS=services.url)
    assert done.stdout == "a\n1\n"
    assert "base/secret" not in done.stderr and "top/secret" not in done.stderr
    *before, (key, region, service, form) = services.asked
    assert [form["RoleArn"] for *_, form in before] == [f"arn:aws:iam::1:role/{first}"] * len(before)
    assert (len(before), key) == ((1, "id1") if first else (0, "baseid"))
    assert (region, service) == ("us-east-1", "sts")
    assert form == {"Action": "AssumeRole", "Version": "2011-06-15", "ExternalId": "for smelt",
                    "RoleArn": "arn:aws:iam::1:role/reader", "RoleSessionName": "nightly"}


def test_roles_that_cannot_be_taken(smelt, odd, tmp_path):
    config = tmp_path / "config"
    services = Roles(odd)
    for text, profile, word in (
            (ROLE % "base", "round", "point to one another"),
            ("[profile a]\nrole_arn = r\ncredential_source = Nowhere\n", "a", "credential_source"),
            ("[profile a]\nsource_profile = b\n", "a", "no role_arn"),
            ("[profile a]\nrole_arn = r\nsource_profile = a\nmfa_serial = m\n", "a", "mfa_serial")):
        config.write_text(text)
        done = read(smelt, services, check=False, AWS_CONFIG_FILE=str(config), AWS_PROFILE=profile,
                    AWS_ENDPOINT_URL_STS=services.url)
        assert done.returncode == 1 and word in done.stderr, done.stderr
    assert not services.asked


def test_a_profile_that_is_not_there(smelt, odd, tmp_path):
    config = tmp_path / "config"
    config.write_text("[default]\naws_access_key_id = id1\naws_secret_access_key = s\n[profile work]\n")
    services = Services(odd)
    done = read(smelt, services, check=False, AWS_CONFIG_FILE=str(config), AWS_PROFILE="wrok")
    assert done.returncode == 1 and 'no profile "wrok"' in done.stderr
    assert not services.server.seen


def test_single_sign_on(smelt, odd, tmp_path):
    """What `aws sso login` left is shown to the portal; a session that has ended says how to renew it."""
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    session = "sso_account_id = 12\nsso_role_name = reader\n"
    (tmp_path / ".aws" / "config").write_text(
        f"[default]\nsso_session = corp\n{session}"
        "[sso-session corp]\nsso_start_url = https://corp/start\nsso_region = eu-west-1\n"
        f"[profile old]\nsso_start_url = https://old/start\nsso_region = eu-west-1\n{session}")
    services = Services(odd)
    plain = services.server.act

    def act(h):
        if not h.path.startswith("/federation/"):
            return plain(h)
        assert h.path == "/federation/credentials?account_id=12&role_name=reader"
        assert h.headers["x-amz-sso_bearer_token"] == "of-the-session"
        services.given += 1
        expires = int(datetime.datetime.now().timestamp() * 1000) + 3_600_000
        return h.reply(200, json.dumps({"roleCredentials": {
            "accessKeyId": "id1", "secretAccessKey": "top/secret+", "sessionToken": "token==1/",
            "expiration": expires}}).encode(), "application/json")
    services.server.act = act

    def ask(profile, **options):
        env = {"HOME": str(tmp_path), "AWS_ENDPOINT_URL_SSO": services.url, "AWS_PROFILE": profile}
        return read(smelt, services, AWS_CONFIG_FILE="", AWS_SHARED_CREDENTIALS_FILE="",
                    AWS_EC2_METADATA_DISABLED="true", **env, **options)
    for profile, name in (("", "corp"), ("old", "https://old/start")):
        token = cache / (hashlib.sha1(name.encode()).hexdigest() + ".json")
        for expires, is_good in ((in_time(hours=1), True), (in_time(hours=-1), False)):
            token.write_text(json.dumps({"accessToken": "of-the-session", "expiresAt": expires}))
            done = ask(profile, check=False)
            assert done.returncode == (0 if is_good else 1), done.stderr
            assert ("aws sso login --profile" in done.stderr) != is_good
            assert "of-the-session" not in done.stderr and "top/secret" not in done.stderr
    assert services.given == 2


def test_names_are_signed_as_they_are_sent(smelt, odd):
    """What stands on the wire is the key, encoded once."""
    services = Services(odd)
    done = smelt("sql", "SELECT a FROM read_json('s3://b/ü +%&=.json')", env={
        **NO_KEYS, **NO_FILES, "AWS_ENDPOINT_URL": services.url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": services.url})
    assert done.stdout == "a\n1\n"
    paths = [path for _, path, _ in services.server.seen if path.startswith("/b/")]
    assert paths and {urllib.parse.unquote(path) for path in paths} == {"/b/ü +%&=.json"}
    assert all(path == "/b/%C3%BC%20%2B%25%26%3D.json" for path in paths)


# ---- a real token service -----------------------------------------------------------------------


READ_ONLY = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}]}


def test_a_role_of_minio(smelt, minio, tmp_path):
    """Signed as its token service wants it; the keys write too."""
    config = tmp_path / "config"
    config.write_text(f"[profile work]\nrole_arn = arn:minio:iam::1:role/any\nsource_profile = base\n"
                      f"[profile base]\naws_access_key_id = {s3.KEY_ID}\n"
                      f"aws_secret_access_key = {s3.SECRET}\n")
    env = {**NO_KEYS, **NO_FILES, "AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "work",
           "AWS_ENDPOINT_URL": minio.endpoint, "AWS_ENDPOINT_URL_STS": minio.endpoint + "/"}
    done = smelt("doctor", "s3://lake/keys/role", env=env)
    assert "from the profile's role, for a time" in done.stdout and "delete         ok" in done.stdout


def test_keys_that_may_only_read(smelt, minio, tmp_path):
    """A run says that it may not write before it has begun, and what was there is as it was."""
    keys = minio.client("sts").assume_role(RoleArn="arn:minio:iam::1:role/any", RoleSessionName="reader",
                                           Policy=json.dumps(READ_ONLY))["Credentials"]
    env = {**NO_FILES, "AWS_ENDPOINT_URL": minio.endpoint, "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
           "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"], "AWS_SESSION_TOKEN": keys["SessionToken"]}
    minio.client().put_object(Bucket="lake", Key="keys/a.json", Body=b'{"a":1}\n')
    assert smelt("sql", "FROM 's3://lake/keys/a.json'", env=env).stdout == "a\n1\n"
    logs = generate(smelt, tmp_path / "logs", days=1, rows=100, seed=9)
    before = minio.keys("lake", "keys/")
    done = run_process(smelt, "delta", logs.folder, "s3://lake/keys/lake", check=False, env=env)
    assert done.returncode == 1
    assert "AccessDenied" in done.stderr and "check their permissions" in done.stderr
    assert minio.keys("lake", "keys/") == before
    assert keys["SecretAccessKey"] not in done.stderr and keys["SessionToken"] not in done.stderr
