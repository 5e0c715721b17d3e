"""The test kit: real servers, databases and clients, started, awaited and ended for certain."""
