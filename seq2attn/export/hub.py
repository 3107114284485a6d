"""The Hugging Face hub, or another server with its interface: the card of an exported model, and its upload"""

from __future__ import annotations

import re
from pathlib import Path

from seq2attn.errors import ConfigError, FetchError
from seq2attn.runs.folder import TrainedRun
from seq2attn.runs.model_card import card_text

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)

_USE = """
## Use with transformers

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{address}")
model = AutoModelForSeq2SeqLM.from_pretrained("{address}")
batch = tokenizer(["{example}"], return_tensors="pt", padding=True)
print(tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True))
```

The tokenizer needs the package `sentencepiece`. These files were written by `seq2attn export --to transformers`. They
hold the weights of the run above, in another order, and give the same logits up to rounding.
"""


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


def hub_card(run: TrainedRun, address: str) -> str:
    """The card of `run` with what the hub reads at its head, and how to use the model in `address` at its end."""
    env = run.folder.read_env()
    languages = [str(env[key]) for key in ("source_language", "target_language") if env.get(key)]
    head = [
        "---",
        *(["language:", *(f"- {language}" for language in dict.fromkeys(languages))] if languages else []),
        "library_name: transformers",
        "pipeline_tag: translation",
        "tags:",
        "- translation",
        "- seq2attn",
        "---",
        "",
    ]
    return "\n".join(head) + card_text(run.folder) + _USE.format(address=address, example="…")
