"""The model card of an exported model, as the Hugging Face hub shows it"""

from __future__ import annotations

from seq2attn.runs.folder import TrainedRun
from seq2attn.runs.model_card import card_text

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
