"""Scores, intervals and tests from strings and numbers, without torch"""
