"""From source sentences to translations, for any model that meets the contract."""
