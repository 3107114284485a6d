"""The study `parallel`: which work of training has to wait for other work"""
