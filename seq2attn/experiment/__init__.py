"""From several runs to one result: presets, evaluation, reproduction"""
