"""Other people's queues, each in a module of its own that imports it: a site has those that it uses."""
