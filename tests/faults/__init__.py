"""Real faults, injected into real processes: each test is one way in which the world goes wrong."""
