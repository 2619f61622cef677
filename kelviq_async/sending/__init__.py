"""From a request to its answer: each layer is a ``Send`` around another ``Send``."""
