"""Attention weights over words, and everything that they are drawn as."""
