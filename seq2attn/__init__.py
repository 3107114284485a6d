"""See what attention changed: train three translation models and draw BLEU over sentence length."""

__version__ = "0.1.0"
