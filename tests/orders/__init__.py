"""A shop's app: what a project does that publishes events of its own."""
