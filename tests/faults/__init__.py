"""Real faults, injected into real processes."""
