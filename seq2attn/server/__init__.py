"""Translation over HTTP: requests that wait at the same time are translated as one batch"""
