"""How fast the models train and translate on this machine, beside what its matrix products allow."""
