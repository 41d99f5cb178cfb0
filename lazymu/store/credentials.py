"""Options of object stores: what `storage_options`, the environment and ``~/.aws`` say."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lazymu.errors import AccessError, ArgumentError, explain
from lazymu.store.locations import redacted

FROM_FSSPEC = {
    "key": "aws_access_key_id",
    "secret": "aws_secret_access_key",
    "token": "aws_session_token",
    "username": "aws_access_key_id",
    "password": "aws_secret_access_key",
    "anon": "aws_skip_signature",
    "endpoint_url": "aws_endpoint",
    "region_name": "aws_region",
    "requester_pays": "aws_request_payer",
}
"""s3fs' names for what obstore calls otherwise."""
CHECK = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile in ~/.aws, or storage_options"
)
"""What to do where credentials are wrong or missing."""
VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
PROVIDERS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables by which obstore itself finds credentials."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def s3_config(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return obstore's configuration of a bucket.

    ``options`` are s3fs' or obstore's. Keys that they do not give are the environment's, those of a
    profile in ``~/.aws``, or on Amazon's machines the machine's; region and endpoint likewise.

    Raises
    ------
    AccessError
        If there are no credentials, which obstore would seek in vain for minutes.
    """
    given = {**options, **dict(options.get("client_kwargs") or {})}
    given.pop("client_kwargs", None)
    profile = given.pop("profile", None)
    config = {_obstore_name(name): value for name, value in given.items() if value is not None}
    kept = _profile(profile)
    if not _has_credentials(config, profile):
        config |= _credentials(kept, profile or os.environ.get("AWS_PROFILE", "default"))
    if not (_has_credentials(config, profile) or _has_machine_role(config)):
        raise no_credentials(url)
    endpoint = _first(ENDPOINTS) or kept.get("endpoint_url")
    if "aws_endpoint" not in config and endpoint:
        config["aws_endpoint"] = endpoint
    region = _first(REGIONS) or kept.get("region") or "us-east-1"
    config.setdefault("aws_region", region)
    return config


def _obstore_name(name: str) -> str:
    name = name.lower()
    if name in FROM_FSSPEC:
        return FROM_FSSPEC[name]
    return {"endpoint": "aws_endpoint", "region": "aws_region"}.get(name, name)


def _has_credentials(config: Mapping[str, Any], profile: str | None) -> bool:
    if any("access_key_id" in name for name in config) or config.get("aws_skip_signature"):
        return True
    unsigned = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true")
    return profile is None and (unsigned or any(os.environ.get(name) for name in PROVIDERS))


def _has_machine_role(config: Mapping[str, Any]) -> bool:
    """Return whether the machine may have credentials of its own, which a server on it tells."""
    if os.environ.get("AWS_METADATA_ENDPOINT") or "aws_metadata_endpoint" in config:
        return True
    return VENDOR.is_file() and "amazon" in VENDOR.read_text().lower()


def no_credentials(location: str) -> AccessError:
    """Return the error of a bucket without credentials for it."""
    rule = "no credentials were found for it"
    fix = f"{CHECK}; of public data pass storage_options={{'anon': True}}"
    return AccessError(explain("path", repr(redacted(location)), rule, fix))


def _first(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _profile(name: str | None) -> dict[str, str]:
    """Return what ``~/.aws/config`` and ``~/.aws/credentials`` say of a profile."""
    asked = name or os.environ.get("AWS_PROFILE")
    chosen = asked or "default"
    found: dict[str, str] = {}
    known = False
    for variable, file in (
        ("AWS_CONFIG_FILE", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ):
        parser = configparser.RawConfigParser()
        parser.read(Path(os.environ.get(variable, file)).expanduser())
        for section in (chosen, f"profile {chosen}"):
            if parser.has_section(section):
                known = True
                found |= dict(parser.items(section))
    if asked and not known:
        rule = "neither ~/.aws/config nor ~/.aws/credentials has it"
        fix = "check AWS_PROFILE, or add it by `aws configure`"
        raise ArgumentError(explain("profile", repr(chosen), rule, fix))
    return found


def _credentials(kept: Mapping[str, str], name: str) -> dict[str, str]:
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    found = {key: kept[key] for key in names if key in kept}
    indirect = [key for key in kept if key.startswith(("sso_", "role_", "credential_process"))]
    if indirect and not found:
        rule = f"its keys come by {indirect[0].partition('_')[0]}, which the AWS CLI has to ask for"
        fix = 'first run eval "$(aws configure export-credentials --format env)"'
        raise AccessError(explain("profile", repr(name), rule, fix))
    return found
