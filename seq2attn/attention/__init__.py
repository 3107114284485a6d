"""Attention weights over words: read from a model, and drawn."""
