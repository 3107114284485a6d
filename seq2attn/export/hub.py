"""Uploading an exported model to the Hugging Face hub, or to another server with its interface"""

from __future__ import annotations

import re
from pathlib import Path

from seq2attn.errors import ConfigError, FetchError

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


def check_name(name: str) -> None:
    """Raises: ConfigError where `name` cannot name a repository of the hub."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--push {name}: expected the name of a repository, as in user/model")


def upload(folder: Path, name: str) -> str:
    """Upload the files in `folder` to the repository `name`, in one commit; the address of the repository.

    The repository is created, private, unless it exists. The server is that of the environment variable `HF_ENDPOINT`;
    the token is that of `HF_TOKEN`, or of `hf auth login`.

    Raises: FetchError where the server refuses or does not answer.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    files = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
    api = HfApi()
    try:
        address = api.create_repo(name, private=True, exist_ok=True)
        api.create_commit(address.repo_id, files, commit_message="Add a model trained by seq2attn")
    except Exception as error:  # the client raises its own errors and those of its HTTP library
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FetchError(
            f"{folder} is written, but was not uploaded to {name} ({reason}); log in with `hf auth login`, then "
            f"`hf upload {name} {folder}`"
        ) from error
    return str(address)
