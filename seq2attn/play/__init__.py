"""Trained models that translate in a browser, without a server"""
