"""Scores, intervals and pictures from strings and numbers; torch is never imported here."""
